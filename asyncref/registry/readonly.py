"""A SQLite registry that is only read: one that this user may not write, and one that is not there."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

_WAL: Final = 2  # the file format's "read version" (byte 19) of a database with a write-ahead log


def may_write(path: Path) -> bool:
    """Whether this user may write a database: its file, and beside it the files that SQLite makes."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def needs_stillness(path: Path) -> bool:
    """Whether SQLite can read a database only as one that nobody writes: its write-ahead log's files cannot be made.

    Where they are there already, somebody has it open, and SQLite reads along.
    """
    with path.open("rb") as file:
        head = file.read(20)
    made = Path(f"{path}-wal").exists() and Path(f"{path}-shm").exists()
    return head[19:] == bytes([_WAL]) and not made and not os.access(path.parent, os.W_OK)


def state(path: Path) -> tuple[int, int, int, bool]:
    """What differs if somebody wrote a database meanwhile."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, Path(f"{path}-wal").exists()


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a database that this user may not write."""
    how = "immutable=1" if needs_stillness(path) else "mode=ro"
    return _connect(f"{path.as_uri()}?{how}", timeout_s)


def connect_empty(timeout_s: float) -> sqlite3.Connection:
    """A database in memory, which stands for one that is not there."""
    return _connect("file::memory:", timeout_s)


def _connect(uri: str, timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
