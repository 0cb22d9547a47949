"""What a target's file system can hold, and what lies there already. Blocking calls that write nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.paths import Conflict

_FOLDERS_KEPT: Final = 100_000  # memory; to judge a folder again does no harm
_TEMPORARY_BYTES: Final = 64  # room for a temporary's name
_LEAST_PATH_BYTES: Final = 1024


class Ground:
    """One folder, which need not exist yet.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._nearest = next(path for path in (self.root, *self.root.parents) if path.exists())

    def name_limits(self) -> tuple[int, int]:
        """Most bytes a name, and a path below the folder."""
        try:
            name_max, path_max = (os.pathconf(self._nearest, name) for name in ("PC_NAME_MAX", "PC_PATH_MAX"))
        except (OSError, ValueError, AttributeError):
            name_max, path_max = 255, _LEAST_PATH_BYTES
        return name_max, path_max - len(os.fsencode(self.root)) - _TEMPORARY_BYTES

    def tells_case(self) -> bool:
        """Whether the file system tells upper from lower case: asked of a name that exists, in the other case."""
        for path in (self._nearest, *self._nearest.parents):
            if path.name.swapcase() != path.name:
                other = path.with_name(path.name.swapcase())
                return not (other.exists() and other.samefile(path))
        return True

    def has_anything(self) -> bool:
        """Whether the folder exists and holds anything."""
        return self.root.exists() and (not self.root.is_dir() or any(self.root.iterdir()))

    def survey(self, files: Iterable[tuple[str, str]]) -> list[Conflict]:
        """What lies in the way: links out of the folder, files for folders, folders for files.

        Args:
            files: Path of the entry and its file below the folder, in path order.
        """
        conflicts: list[Conflict] = []
        known = self._judged_root()
        for path, local in files:
            folder = local.rpartition("/")[0]
            if len(known) > _FOLDERS_KEPT:
                known = self._judged_root()
            reason = self._judge(folder, known)
            if reason is None and _kind(f"{self.root}/{local}") == stat.S_IFDIR:
                reason = "a folder lies where the file should go"
            if reason is not None:
                conflicts.append(Conflict(path, reason))
        return conflicts

    def _judged_root(self) -> dict[str, str | None]:
        return {"": None if self.root.is_dir() else f"{self.root} is no folder"}

    def _judge(self, folder: str, known: dict[str, str | None]) -> str | None:
        if folder in known:
            return known[folder]
        reason = self._judge(folder.rpartition("/")[0], known)
        if reason is None:
            full = self.root / folder
            kind = _kind(str(full))
            if kind == stat.S_IFLNK and not full.resolve().is_relative_to(self.root):
                reason = f"{folder} is a link that leads out of the folder"
            elif kind is not None and not full.is_dir():
                reason = f"{folder} is no folder"
        known[folder] = reason
        return reason


def _kind(path: str) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
