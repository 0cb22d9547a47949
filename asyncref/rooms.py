"""Temporary folders of runs, locked as long as their process lives, so that those of killed runs are known and removed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

PREFIX: Final = "asyncref-run-"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class Room:
    """A folder of one's own.

    Attributes:
        path: Where it is.
    """

    path: Path
    _lock: FileIO | None

    def close(self) -> None:
        """Remove it, and all in it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def open_room(base: Path | None = None) -> Room:
    """Make a folder, after removing those in which nobody is any more. Blocks: some milliseconds where there are none.

    Args:
        base: In which folder; None: the system's for temporary files.
    """
    base = Path(tempfile.gettempdir()) if base is None else base
    sweep(base)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    return Room(path, _taken(path))


def sweep(base: Path) -> None:
    """Remove the folders of runs that were killed. One without a lock, as where file systems have none, is left alone."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        found = [Path(item.path) for item in os.scandir(base) if item.name.startswith(PREFIX)]
        for folder in found:
            with suppress(OSError), FileIO(folder / _LOCK, "r+") as lock:  # another user's cannot be opened
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _taken(path: Path) -> FileIO | None:
    """A folder's lock, held; None where there are none. It gets its name once it is held, so that nobody finds it free."""
    if sys.platform == "win32":
        return None
    draft = path / "lock.new"
    with suppress(OSError):
        lock = FileIO(draft, "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path / _LOCK)
        except OSError:
            lock.close()
            raise
        return lock
    return None
