"""Folders of scans that outlive their process, so that the same request continues: named by it, locked, cleaned up.

FOLDER/scan-SHA256/   one for each reference of a scan; gone when its manifest is built
  lock                held while a process works in it
  ledger              see `ledger`: the request, then what is covered
  rows-NNN.arrow      rows, one file for each run that was interrupted (see `spool`)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Final

import anyio
import orjson

from asyncref.engine.flow import Meter
from asyncref.engine.scan.ledger import Ledger, Span, header, line
from asyncref.engine.scan.spool import Keep, Spool
from asyncref.errors import OptionError, ScanError

if sys.platform != "win32":
    import fcntl

_PIECE_BYTES: Final = 2**20
KEPT_FOR: Final = timedelta(days=7)
"""What was begun longer ago is listed anew: a manifest should not hold what lay there weeks before."""


@dataclass(slots=True)
class Resumable:
    """The folders of one scan.

    Args:
        base: Where they lie.
        meter: Its counters go on where the earlier run's stood.
        started: When this run began, UTC; with something to continue, when the first run of the scan did.
        targets: All references of the scan, as JSON: a part of every request.
        resumes: How often the scan was continued, this time included.
    """

    base: Path
    meter: Meter
    started: datetime
    targets: list[dict[str, Any]]
    resumes: int = 0
    _folders: list[Path] = field(default_factory=list)
    _locks: list[FileIO] = field(default_factory=list)
    _told: Counter[str] = field(default_factory=Counter)

    async def open(self, spool: Spool, request: Mapping[str, Any]) -> Ledger | None:
        """Let a spool outlive its scan, and give back what an interrupted scan by the same request left.

        Args:
            spool: Still empty.
            request: All that decides which rows come: as JSON, and not one secret.

        Returns:
            None if there is nothing to continue; then the listing begins anew.

        Raises:
            ScanError: Another process has this very scan under way.
            OptionError: The folder cannot be used.
        """
        ledger = await anyio.to_thread.run_sync(self._open, spool, {**request, "targets": self.targets})
        if ledger is None:
            return None
        self.started = min(self.started, ledger.started)
        self.resumes = max(self.resumes, ledger.resumes + 1)
        rows = sum(block.rows for block in ledger.blocks)
        self.meter.objects += rows
        self.meter.bytes += ledger.size
        self.meter.listed.add(ledger.listed)
        self.meter.skipped.update(ledger.skipped)
        self.meter.requests.update(ledger.requests)
        self._told.update(ledger.requests)
        self.meter.note(
            f"continues the scan begun at {ledger.started:%Y-%m-%d %H:%M:%S} UTC, which had {rows:,} objects"
        )
        if ledger.damaged:
            self.meter.note("some of what it had set aside was damaged, and is listed again")
        return ledger

    def release(self, *, remove: bool) -> None:
        """Give the folders free.

        Args:
            remove: Delete them: the manifest is built, or nothing of them can be used.
        """
        for folder in self._folders if remove else ():
            (folder / "ledger").unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        for lock in self._locks:
            lock.close()

    def _open(self, spool: Spool, request: Mapping[str, Any]) -> Ledger | None:
        text = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
        folder = self.base / f"scan-{hashlib.sha256(text).hexdigest()}"
        try:
            self._take(folder)
            _prune(self.base)
            found = _usable(folder)
            if found is None:
                _clear(folder)
            elif found.damaged:  # or their ranges would be covered twice, should the disk give them back one day
                _replace(folder / "ledger", found.text)
            first_line = header(request, self.started)
            ledger = FileIO(folder / "ledger", "a")
            ledger.write(first_line if found is None else line({"resumed": 1, "at": self.started.isoformat()}))
            spool.attach(Keep(folder, ledger, first_line, self._news), found.blocks if found else [])
        except OSError as error:
            raise OptionError(f"this scan cannot be kept here: {error}", uri=str(folder)) from error
        return found

    def _take(self, folder: Path) -> None:
        lock = None
        while lock is None:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder)
        self._folders.append(folder)
        self._locks.append(lock)

    def _news(self) -> Mapping[str, int]:
        news = {kind: count - self._told[kind] for kind, count in self.meter.requests.items()}
        self._told = Counter(self.meter.requests)
        return {kind: count for kind, count in news.items() if count}


def _locked(folder: Path) -> FileIO | None:
    """The folder's lock, held; None if the folder was removed meanwhile.

    Raises:
        ScanError: Another process holds it.
    """
    path = folder / "lock"
    try:
        lock = FileIO(path, "a")
    except FileNotFoundError:
        return None
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
    except BlockingIOError:
        lock.close()
        raise ScanError(
            "another process has this very scan under way",
            uri=str(folder),
            hint="wait for it, or give another folder to resume from",
        ) from None
    except FileNotFoundError:
        pass
    lock.close()
    return None


def _usable(folder: Path) -> Ledger | None:
    """What of an earlier run's work is as it was written; None if that is nothing, or too old."""
    try:
        found = Ledger.load((folder / "ledger").read_bytes(), partial(_holds, folder))
    except FileNotFoundError:
        return None
    if found is None or not found.blocks or datetime.now(UTC) - found.started > KEPT_FOR:
        return None
    return found


def _holds(folder: Path, span: Span) -> bool:
    """Whether rows lie there as they were written: 0.1 s a million."""
    check, left = 0, span.length
    try:
        with (folder / span.file).open("rb") as file:
            file.seek(span.offset)
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                check = zlib.crc32(piece, check)
                left -= len(piece)
    except OSError:
        return False
    return not left and check == span.check


def _replace(path: Path, text: bytes) -> None:
    """Put another file in its place, durably: at any moment there is the one or the other."""
    draft = path.with_name("ledger.new")
    with draft.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _clear(folder: Path) -> None:
    (folder / "ledger").unlink(missing_ok=True)
    for rows in folder.glob("rows-*"):
        rows.unlink()


def _prune(base: Path) -> None:
    """Remove what nobody came back for."""
    eldest = (datetime.now(UTC) - 2 * KEPT_FOR).timestamp()
    for folder in base.glob("scan-*"):
        with suppress(OSError, ScanError):
            if (folder / "lock").stat().st_mtime < eldest and (lock := _locked(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()
