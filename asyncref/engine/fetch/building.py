"""A folder that appears under its final name only when it is whole. Blocking calls only.

It is built beside its final name as `NAME.incomplete`, which holds a marker file: what is being built, and a
lock against a second process. A folder of that name without the marker is somebody else's and refused.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.disk import lock
from asyncref.engine.fetch.paths import RESERVED
from asyncref.errors import FetchError

_MARKER: Final = f"{RESERVED}building"


class Building:
    """One folder under construction. Made, nothing is written yet.

    Args:
        root: Its final name; nothing may be there.
        mark: What is built. Work that was begun for another mark is thrown away.

    Attributes:
        folder: Where it is built.
        goes_on: Work for this mark lies there, now locked.

    Raises:
        FetchError: Another process is building it, or a foreign folder, or a link, lies there.
    """

    def __init__(self, root: Path, mark: str) -> None:
        self.root = root
        self.folder = root.with_name(f"{root.name}.incomplete")
        self._marker = self.folder / _MARKER
        self._mark = mark.encode()
        self._fd = -1
        self._check()
        with suppress(FileNotFoundError):
            self._open(os.O_RDWR)
        self.goes_on = self._fd >= 0 and os.pread(self._fd, len(self._mark) + 1, 0) == self._mark

    def begin(self) -> None:
        """Make the folder, or empty the one that was begun for another mark."""
        if self.goes_on:
            return
        if self._fd < 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check()
            self._open(os.O_RDWR | os.O_CREAT)
        self._clear()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, self._mark, 0)

    def _check(self) -> None:
        if self.folder.is_symlink():
            raise FetchError(f"{self.folder} is a link; what is built there would lie elsewhere", hint="remove it")
        if self.folder.exists() and not self._marker.exists() and any(self.folder.iterdir()):
            raise FetchError(
                f"{self.folder} exists and was not made by a fetch", hint="remove it, or choose another folder"
            )

    def _open(self, flags: int) -> None:
        self._fd = os.open(self._marker, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            lock(self._fd, str(self.root))
        except BaseException:
            self.close()
            raise

    def commit(self) -> None:
        """Give the whole folder its name.

        Raises:
            FetchError: Somebody else made a folder of that name meanwhile.
        """
        try:
            self.folder.rename(self.root)
        except OSError as error:
            raise FetchError(f"cannot name the finished folder {self.root}: {error.strerror}") from error
        # After the rename: a folder without its marker would be taken for somebody else's after a crash here.
        (self.root / _MARKER).unlink()

    def close(self) -> None:
        """Release the lock; what was built so far stays. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _clear(self) -> None:
        for child in self.folder.iterdir():
            if child.name == _MARKER:
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
