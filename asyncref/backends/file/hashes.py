"""A cache of content hashes, so that a file that did not change is not read again: SQLite in the user's cache folder.

A file is known by device, inode, size, and the times of its last change in nanoseconds; every write changes the
last of them (ctime), which nobody can set. A file that changed less than three seconds before it was hashed, by the
clock of its file system, is not kept: a write within the same tick of it would leave no trace. The cache may be
deleted at any time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from asyncref.backends.file.clocks import Clocks

_LOG: Final = logging.getLogger("asyncref.scan")
_SETTLED_NS: Final = 3_000_000_000
_KEPT_S: Final = 90 * 86_400
_WAITING: Final = 4096
_TOGETHER: Final = 256
_BUSY_MS: Final = 2000
_SIGN: Final = 1 << 63
_LATEST_NS: Final = (_SIGN - 1) // 10**9 * 10**9 - 1
_LAYOUT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS hashes (
    device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, md5 BLOB, hashed_s INTEGER,
    PRIMARY KEY (device, inode)
) WITHOUT ROWID"""
_MARKS: Final = ",".join("?" * _TOGETHER)
_FIND: Final = f"SELECT inode, size, mtime_ns, ctime_ns, md5 FROM hashes WHERE device = ? AND inode IN ({_MARKS})"  # noqa: S608
_KEEP: Final = "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?)"


class State(NamedTuple):
    """What tells a file's content from another, as its file system says."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> State:
        """From a stat."""
        times_ns = found.st_mtime_ns, found.st_ctime_ns
        if max(times_ns) > _LATEST_NS or min(times_ns) < -_LATEST_NS:
            times_ns = _bounded(times_ns[0]), _bounded(times_ns[1])
        return cls(found.st_dev, found.st_ino, found.st_size, *times_ns)


def _bounded(time_ns: int) -> int:
    """A time that 64 bits hold, of one before 1677 or after 2262; as `asyncref._entries.folder` has it."""
    if abs(time_ns) <= _LATEST_NS:
        return time_ns
    return _SIGN - 1 if time_ns > 0 else -_SIGN


class Hashes:
    """The cache. Every call blocks, some milliseconds at most; calls of several threads wait for each other.

    A cache that cannot be read or written is not used, with a warning in the log: it is an economy, no truth.

    Args:
        path: The database; made when first needed.
        clocks: By which files' times are.
    """

    def __init__(self, path: Path, clocks: Clocks | None = None) -> None:
        self._path, self._clocks = path, clocks or Clocks()
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._waiting: list[tuple[int | bytes, ...]] = []
        self._broken = False

    def find(self, states: Sequence[State]) -> list[bytes | None]:
        """The MD5 of each file; None if it is not known. Cost: about 1 µs a file."""
        if not states:
            return []
        devices = {state.device for state in states}
        with self._lock:
            for device in devices:
                if not self._clocks.is_own(device):
                    changed_ns = max(state.ctime_ns for state in states if state.device == device)
                    self._clocks.see(device, changed_ns, steady_ns=time.monotonic_ns())
            if not (database := self._open()):
                return [None] * len(states)
            known: dict[State, bytes] = {}
            try:
                for device in devices:
                    inodes = [_signed(state.inode) for state in states if state.device == device]
                    for start in range(0, len(inodes), _TOGETHER):
                        some = inodes[start : start + _TOGETHER]
                        some += some[-1:] * (_TOGETHER - len(some))
                        for inode, size, mtime_ns, ctime_ns, md5 in database.execute(_FIND, (_signed(device), *some)):
                            known[State(device, _unsigned(inode), size, mtime_ns, ctime_ns)] = md5
            except sqlite3.Error as error:
                self._give_up(error)
            return [known.get(state) for state in states]

    def keep(self, state: State, md5: bytes, *, hashed_ns: int, steady_ns: int = 0) -> None:
        """Remember a file's MD5, unless it changed shortly before it was hashed.

        Args:
            state: As it was before and after it was read.
            md5: Of all its bytes.
            hashed_ns: When reading began, nanoseconds since 1970.
            steady_ns: The same by the monotonic clock.
        """
        reached_ns = self._clocks.reached_ns(state.device, wall_ns=hashed_ns, steady_ns=steady_ns)
        if max(state.mtime_ns, state.ctime_ns) > reached_ns - _SETTLED_NS:
            return
        row = _signed(state.device), _signed(state.inode), state.size, state.mtime_ns, state.ctime_ns, md5
        with self._lock:
            self._waiting.append((*row, hashed_ns // 1_000_000_000))
            if len(self._waiting) >= _WAITING:
                self._write()

    def close(self) -> None:
        """Write what waits, forget what was hashed more than 90 days ago, and close. Idempotent."""
        with self._lock:
            if self._waiting:
                self._write(forget=True)
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> sqlite3.Connection | None:
        if self._database is None and not self._broken:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._database = sqlite3.connect(
                    self._path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
                )
                (layout,) = self._database.execute("PRAGMA user_version").fetchone()
                if layout not in (0, _LAYOUT):
                    raise sqlite3.DatabaseError(f"made by another version of asyncref (layout {layout})")
                self._database.execute("PRAGMA synchronous = NORMAL")
                self._database.execute(_SCHEMA)
                if not layout:
                    self._database.execute(f"PRAGMA user_version = {_LAYOUT}")
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._database

    def _write(self, *, forget: bool = False) -> None:
        rows, self._waiting = self._waiting, []
        if not (database := self._open()):
            return
        try:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_KEEP, rows)
            if forget:
                database.execute("DELETE FROM hashes WHERE hashed_s < ?", (int(time.time()) - _KEPT_S,))
            database.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _LOG.warning("the cache of hashes %s is not used: %s", self._path, error)
        self._broken = True
        if self._database is not None:
            self._database.close()
            self._database = None


def _signed(number: int) -> int:
    """SQLite's integers have a sign; device and inode numbers of 64 bits have none."""
    return number - 2 * _SIGN if number >= _SIGN else number


def _unsigned(number: int) -> int:
    return number + 2 * _SIGN if number < 0 else number
