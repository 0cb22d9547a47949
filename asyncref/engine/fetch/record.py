"""What a folder was last seen to hold, kept in the cache folder: a second fetch looks at files, it does not read them.

    HASH.seen           of one target folder: 16 bytes that name the format, then rows in no order
    HASH.RANDOM.new     rows of a run that has not ended, or was killed: locked by it, written at least once a second

A row, 56 bytes:

    16  blake2b of the file's path below the folder, and of its content's size and pin
     8  modification time in nanoseconds
     8  time of the last change of the inode, in nanoseconds, taken after the file had its name
     8  inode
     8  size in bytes
     8  since which start of the machine it holds; 1: the file was forced to the disk, so it holds after any

A file whose times, inode and size are still those is the one whose content was checked then, as git trusts its index; a
power cut, which may leave zeros under a right size and time, makes rows void that were not forced to the disk.
Whoever wants files read again asks for `checksum="always"`. Losing the record costs reading the files once, and fetching those
again that have no checksum which can be computed. Blocking calls only.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asyncref.engine.fetch.disk import lock, machine_start
from asyncref.engine.fetch.small import Seen
from asyncref.errors import FetchError
from asyncref.model import Pin

_MAGIC: Final = b"asyncref-seen/2\n"
_ROW: Final = np.dtype(
    [
        *((name, "<u8") for name in ("low", "high")),
        *((name, "<i8") for name in ("mtime_ns", "ctime_ns")),
        ("inode", "<u8"),
        ("size", "<i8"),
        ("start", "<u8"),
    ]
)
_numbers: Final = struct.Struct("<qqQqQ").pack
_SYNCED: Final = 1  # not 0: rows that a power cut left as zeros hold never
_ROWS_HELD: Final = 256
_HELD_S: Final = 0.25
_LARGE_BYTES: Final = 2**20  # of a file whose row is written at once: 5 µs beside what fetching it again would cost


class Record:
    """The record of one folder: what earlier runs saw, and what this one sees.

    Memory: 16 bytes a file of the earlier runs. What this run sees goes to a file beside the record's, which the next one
    finds even if this one is killed, and which `commit` makes part of the record.

    Args:
        folder: Of all records.
        root: The target folder, without links in its path.
    """

    def __init__(self, folder: Path, root: str) -> None:
        self._root = root
        self._path = _path_of(folder, root)
        self._start = _start()
        self._new = self._path.with_suffix(f".{secrets.token_hex(8)}.new")
        self._left, parts = _left_behind(self._path)
        self._rows = _valid([*parts, _load(self._path)], self._start)
        self._order = np.argsort(self._rows["low"], kind="stable")
        self._sorted = self._rows["low"][self._order]
        self._kept: list[npt.NDArray[np.int64]] = []
        self._held: list[bytes] = []
        self._written_s = 0.0
        self._fd = -1
        self._failed = False  # a full or read-only cache folder costs time in the next run, nothing else

    def settled(self, batch: pa.RecordBatch, locals_: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which rows of a manifest lie there unchanged: one look at each file that the record knows, about 5 µs.

        Args:
            batch: Rows of `ENTRY_SCHEMA`.
            locals_: Their files below the folder.
        """
        found = np.zeros(batch.num_rows, np.bool_)
        if not len(self._rows):
            return found
        keys = np.frombuffer(b"".join(_keys(batch, locals_)), "<u8").reshape(-1, 2)
        places = np.searchsorted(self._sorted, keys[:, 0])
        known = places < len(self._sorted)
        rows = self._order[np.where(known, places, 0)]
        known &= (self._rows["low"][rows] == keys[:, 0]) & (self._rows["high"][rows] == keys[:, 1])
        wanted = self._rows[rows][["mtime_ns", "ctime_ns", "inode", "size"]].tolist()
        for at in np.flatnonzero(known).tolist():
            try:
                seen = os.lstat(f"{self._root}/{locals_[at]}")
            except OSError:
                continue
            found[at] = (seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_size) == wanted[at]
        self._kept.append(rows[found])
        return found

    def add(self, local: str, pin: Pin, seen: os.stat_result | Seen, *, synced: bool = False) -> None:
        """Note a file that was just checked.

        Args:
            local: Its path below the folder.
            pin: The manifest's, of its content.
            seen: What the system said of it before its content was looked at, or after it was written and had its name.
            synced: It was forced to the disk.
        """
        key = _key(local, pin.size, pin.etag, pin.version, pin.checksum)
        if key is None or self._failed:
            return
        start = _SYNCED if synced else self._start
        self._held.append(key + _numbers(seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_size, start))
        now_s = time.monotonic()
        if len(self._held) >= _ROWS_HELD or now_s - self._written_s > _HELD_S or seen.st_size >= _LARGE_BYTES:
            self._written_s = now_s
            self._write()

    def commit(self, *, synced: bool) -> None:
        """Make one file of what was kept and what was seen; nothing if nothing changed.

        Args:
            synced: All that was written to the folder was forced to the disk since.
        """
        self._write()
        kept = [self._rows[rows] for rows in self._kept]
        news = self._fd >= 0 or bool(self._left)
        if self._failed or not (news or (synced and any((rows["start"] != _SYNCED).any() for rows in kept))):
            self.close()
            return
        draft = self._new.with_suffix(".draft")
        try:
            with draft.open("wb") as file:
                file.write(_MAGIC)
                for rows in (*kept, _load(self._new)):
                    changed = np.array(rows)
                    changed["start"] = np.where(synced, _SYNCED, changed["start"])
                    file.write(changed.tobytes())
            draft.replace(self._path)
            for path in (self._new, *self._left):
                path.unlink(missing_ok=True)
        except OSError:  # then what was seen stays beside the record
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave what was seen beside the record, where the next run finds it. Idempotent."""
        self._write()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self) -> None:
        if not self._held or self._failed:
            return
        try:
            if self._fd < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._fd = os.open(self._new, flags, 0o666)
                lock(self._fd, str(self._new))
                self._held.insert(0, _MAGIC)
            data = b"".join(self._held)
            self._failed = os.write(self._fd, data) < len(data)
        except (OSError, FetchError):
            self._failed = True
        self._held.clear()


def rename(folder: Path, root: Path, to: Path) -> None:
    """A target folder has another name by now."""
    with suppress(OSError):
        _path_of(folder, os.path.realpath(root)).replace(_path_of(folder, os.path.realpath(to)))


def _path_of(folder: Path, root: str) -> Path:
    return folder / f"{hashlib.blake2b(os.fsencode(root), digest_size=16).hexdigest()}.seen"


def _start() -> int:
    """Names this start of the machine; never 0 or 1."""
    return int.from_bytes(hashlib.blake2b(machine_start().encode(), digest_size=8).digest(), "little") | 2


def _left_behind(path: Path) -> tuple[list[Path], list[npt.NDArray[Any]]]:
    """What runs that have ended without a `commit` saw, the latest first; runs that still go on are passed over."""
    found = []
    with suppress(OSError):
        for left in path.parent.glob(f"{path.stem}.*.new"):
            with suppress(OSError, FetchError), left.open("rb") as file:
                lock(file.fileno(), str(left))
                found.append((left.stat().st_mtime_ns, left))
    found.sort(reverse=True)
    return [left for _, left in found], [_load(left) for _, left in found]


def _load(path: Path) -> npt.NDArray[Any]:
    """The rows of a file; none where it is missing, cut or of another format."""
    try:
        held = path.stat().st_size - len(_MAGIC)
        with path.open("rb") as file:
            fits = file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return np.empty(0, _ROW)
    if not fits or held < _ROW.itemsize:
        return np.empty(0, _ROW)
    return np.memmap(path, _ROW, "r", len(_MAGIC), (held // _ROW.itemsize,))


def _valid(parts: Sequence[npt.NDArray[Any]], start: int) -> npt.NDArray[Any]:
    """The rows that hold since this start of the machine. Of equal keys the first one counts."""
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    holds = (rows["start"] == _SYNCED) | (rows["start"] == start)
    return rows if holds.all() else rows[holds]


def _keys(batch: pa.RecordBatch, locals_: Sequence[str]) -> list[bytes]:
    """Keys of a batch's rows; one that no file has where nothing pins a row."""
    etags = [
        f'"{bare.hex()}"' if bare is not None else etag
        for bare, etag in zip(batch["etag16"].to_pylist(), batch["etag"].to_pylist(), strict=True)
    ]
    checksums = [
        f"md5:{bare.hex()}" if bare is not None else checksum
        for bare, checksum in zip(batch["md5"].to_pylist(), batch["checksum"].to_pylist(), strict=True)
    ]
    sizes = cast("list[int | None]", batch["size"].to_pylist())
    versions = cast("list[str | None]", batch["version"].to_pylist())
    rows = zip(locals_, sizes, etags, versions, checksums, strict=True)
    return [_key(*row) or bytes(16) for row in rows]


def _key(local: str, size: int | None, etag: str | None, version: str | None, checksum: str | None) -> bytes | None:
    if etag is None and checksum is None and version is None:
        return None
    text = f"{local}\0{size}\0{etag}\0{version}\0{checksum}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
