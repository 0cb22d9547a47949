"""A folder that appears under its final name only when it is whole. Blocking calls only.

It is built beside its final name as `NAME.incomplete`, which holds a marker file: what is being built, and a
lock against a second process. A folder of that name without the marker is somebody else's and refused.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.disk import lock
from asyncref.engine.fetch.paths import RESERVED
from asyncref.errors import FetchError

_MARKER: Final = f"{RESERVED}building"


class Building:
    """One folder under construction.

    Args:
        root: Its final name; nothing may be there.
        mark: What is built. Work that was begun for another mark is thrown away.

    Raises:
        FetchError: Another process is building it, or a foreign folder lies there.
    """

    def __init__(self, root: Path, mark: str) -> None:
        self.root = root
        self.folder = self.folder_of(root)
        self._marker = self.folder / _MARKER
        if self.folder.exists() and not self._marker.exists() and any(self.folder.iterdir()):
            raise FetchError(
                f"{self.folder} exists and was not made by a fetch", hint="remove it, or choose another folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            lock(self._fd, str(root))
            if os.pread(self._fd, len(mark) + 1, 0) != mark.encode():
                self._clear()
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, mark.encode(), 0)
        except BaseException:
            os.close(self._fd)
            raise

    @staticmethod
    def folder_of(root: Path) -> Path:
        """Where a folder of that final name is built."""
        return root.with_name(f"{root.name}.incomplete")

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
        """Release the lock; what was built so far stays."""
        os.close(self._fd)

    def _clear(self) -> None:
        for child in self.folder.iterdir():
            if child.name == _MARKER:
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
