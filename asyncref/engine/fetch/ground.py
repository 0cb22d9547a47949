"""What a target's file system can hold, and what lies there already. Blocking calls that leave nothing."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.paths import RESERVED, Conflict

_FOLDERS_KEPT: Final = 100_000  # memory; to judge a folder again does no harm
_TEMPORARY_BYTES: Final = 64  # room for a temporary's name
_LEAST_PATH_BYTES: Final = 1024
_NAMES_ASKED: Final = 1000


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

    def tells_case(self, *, may_write: bool = False) -> bool:
        """Whether names in the folder are told apart by case: asked of names in it, each in the other case.

        Its own name does not tell: that lies in the folder above, which may be another file system (a mounted FAT), and
        ext4 has folders that do not tell case in one that does.

        Args:
            may_write: Where nothing lies in it that could be asked, make a file and remove it.
        """
        folder = str(self._nearest)
        told = told_case(_names_in(folder), partial(_is_same, folder))
        if told is None and may_write:
            told = _told_by_probe(folder)
        if told is None:
            told = self._told_above()
        return told is not False

    def _told_above(self) -> bool | None:
        """What the names of folders above tell, as long as they lie in the same file system."""
        for path in (self._nearest, *self._nearest.parents):
            if os.path.ismount(path):
                return None
            told = told_case([path.name], partial(_is_same, str(path.parent)))
            if told is not None:
                return told
        return None

    def is_file(self) -> bool:
        """Whether something that is no folder lies under the folder's name."""
        return self.root.exists() and not self.root.is_dir()

    def has_anything(self) -> bool:
        """Whether the folder exists and holds anything."""
        return self.root.is_dir() and any(self.root.iterdir())

    def survey(self, files: Iterable[tuple[str, str]]) -> list[Conflict]:
        """What lies in the way: links out of the folder, files for folders, folders for files.

        Args:
            files: Path of the entry and its file below the folder, in path order.
        """
        conflicts: list[Conflict] = []
        known: dict[str, str | None] = {"": None}
        for path, local in files:
            folder = local.rpartition("/")[0]
            if len(known) > _FOLDERS_KEPT:
                known = {"": None}
            reason = self._judge(folder, known)
            if reason is None and _kind(f"{self.root}/{local}") == stat.S_IFDIR:
                reason = "a folder lies where the file should go"
            if reason is not None:
                conflicts.append(Conflict(path, reason))
        return conflicts

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


def told_case(names: Collection[str], is_same: Callable[[str, str], bool]) -> bool | None:
    """Whether a folder tells case, by names that are in it; None if none of them can be written in another case.

    Args:
        names: Some or all of them.
        is_same: Whether two names are one file's.
    """
    for name in names:
        other = name.swapcase()
        if other != name and name.isascii():  # of other letters the one case may have several in the other
            return other in names or not is_same(name, other)
    return None


def _names_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in islice(entries, _NAMES_ASKED)}
    except OSError:
        return set()


def _is_same(folder: str, one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(f"{folder}/{one}"), os.lstat(f"{folder}/{other}"))
    except OSError:
        return False


def _told_by_probe(folder: str) -> bool | None:
    """By a file that is made and removed; None where none can be made."""
    name = f"{RESERVED}Case-{secrets.token_hex(8)}"
    path = f"{folder}/{name}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return None
    try:
        return told_case([name], partial(_is_same, folder))
    finally:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108


def _kind(path: str) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
