"""The folder that a fetch writes to: temporaries beside their files, checks, renames. Blocking calls only.

A file is written under a temporary name in its own folder, locked there against a second fetch, checked,
and renamed. Nothing is written through a symbolic link that leads out of the folder. Someone who can
write to the folder and swaps a checked folder for a link in mid-run is not defended against.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.content import Match, match
from asyncref.engine.fetch.disk import Bytes, sync_all, write_at, write_unnamed
from asyncref.engine.fetch.paths import RESERVED
from asyncref.engine.fetch.plan import Parts
from asyncref.engine.fetch.temporary import Temporary, begin
from asyncref.errors import FetchError, TargetError
from asyncref.model import Pin

_FOLDERS_KEPT: Final = 100_000  # memory; to judge or make a folder again does no harm
_CLOSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_EFFECTIVE: Final = os.access in os.supports_effective_ids
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class There(Enum):
    """What already lies where a file should go."""

    NOTHING = "nothing"
    SAME_SIZE = "same_size"  # a regular file that may be the one
    OTHER = "other"  # a file of another size, or a link


class Target:
    """One folder.

    Args:
        root: The folder; made when first needed.
        bare: Nothing lay there before this run, so there are no temporaries of earlier ones to go on with.

    Attributes:
        refusal: Why nothing at all can be written here, once that was seen.
        unnamed: Files that have no name until they are whole can be made here, as far as is known.
    """

    def __init__(self, root: Path, *, bare: bool = False) -> None:
        self.root = os.path.realpath(root)
        self.unnamed = bare
        self.refusal: FetchError | None = None
        self._made: set[str] = set()

    def lies(self, local: str, size_bytes: int | None) -> There:
        """What lies where a file should go; makes its folder if nothing does."""
        full = self.file_of(local)
        try:
            found = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            self.prepare(local)
            return There.NOTHING
        if not stat.S_ISREG(found.st_mode) or size_bytes not in (None, found.st_size):
            return There.OTHER
        return There.SAME_SIZE

    def match(self, local: str, pin: Pin) -> tuple[Match, os.stat_result]:
        """Whether a file that lies there has the pinned content, and what the system said of it before."""
        fd = os.open(self.file_of(local), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            seen = os.fstat(fd)
            return match(fd, pin), seen
        finally:
            os.close(fd)

    def put(self, local: str, chunks: Sequence[Bytes], *, keep: bool, fsync: bool) -> os.stat_result:
        """Write one small file whole.

        Args:
            local: The file.
            chunks: Its bytes.
            keep: A file that lies there is not replaced; with the same bytes it is taken for this one.
            fsync: Force it to the disk before its rename.

        Returns:
            What the system says of it.

        Raises:
            FetchError: Another fetch is writing the same file; with `keep`, other bytes lie there.
            OSError: As the system says.
        """
        if self.unnamed and keep:
            file = self.file_of(local)
            try:
                if (seen := write_unnamed(file.rpartition("/")[0], file, chunks, fsync=fsync)) is not None:
                    return seen
            except NotImplementedError:
                self.unnamed = False
        temporary = self.open(local, 0, is_small=True)
        try:
            write_at(temporary.fd, chunks, 0)
            return temporary.finish(keep=keep, fsync=fsync)
        except BaseException:
            temporary.discard()
            raise

    def open(
        self, local: str, size_bytes: int, about: tuple[str, Pin, Parts] | None = None, *, is_small: bool = False
    ) -> Temporary:
        """Open and lock the temporary of a file: empty but for its reserved size, or with what an earlier run left.

        Args:
            local: The file.
            size_bytes: Space to reserve; 0 for none.
            about: Reference, pin and parts of the object, to go on with an earlier run's; None: begin afresh.
            is_small: Held in memory and written at once: no journal can be about a file of its size, so none is looked for.
        """
        return begin(self.temporary_of(local), self.file_of(local), size_bytes, about, is_small=is_small)

    def make(self) -> None:
        """Make the folder itself."""
        os.makedirs(self.root, exist_ok=True)  # noqa: PTH103  as above

    def prepare(self, local: str) -> None:
        """Make the folder of a file that is to be written, or fail before its bytes were asked for.

        Raises:
            FetchError: Nothing at all can be written.
            OSError: Nothing can be written there.
        """
        folder = self.file_of(local).rpartition("/")[0]
        if folder in self._made:
            return
        if len(self._made) > _FOLDERS_KEPT:
            self._made.clear()
        try:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103  as above
            if folder == self.root or not os.access(folder, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE):
                self._probe(folder)
        except OSError as error:
            if error.errno in _CLOSED:
                self._probe_root()
            raise
        self._made.add(folder)

    def _probe_root(self) -> None:
        try:
            self._probe(self.root)
        except OSError as error:
            self.refusal = unwritable(error, self.root, at_all=True)
            raise self.refusal or error from error

    @staticmethod
    def _probe(folder: str) -> None:
        """Write a file: what else is said of a folder's rights may be wrong, on network file systems above all."""
        path = f"{folder}/{RESERVED}{secrets.token_hex(8)}.probe"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.unlink(path)  # noqa: PTH108  as above

    def flush(self) -> None:
        """Force everything written to the disk."""
        sync_all(self.root)

    def file_of(self, local: str) -> str:
        """Where an entry's file lies."""
        return f"{self.root}/{local}"

    def temporary_of(self, local: str) -> str:
        """Where it is written to until it is complete."""
        mark = hashlib.blake2b(os.fsencode(local), digest_size=8).hexdigest()
        return f"{self.file_of(local).rpartition('/')[0]}/{RESERVED}{mark}.part"


def unwritable(error: OSError, root: str, *, at_all: bool = False) -> FetchError | None:
    """The one clear error where a target cannot take anything more; None if only one file is concerned.

    Args:
        error: What the system said.
        root: The target.
        at_all: It concerns the target itself, not a file in it.
    """
    if error.errno not in _UNWRITABLE and not at_all:
        return None
    message = f"cannot write to {root}: {os.strerror(error.errno or 0).lower()}"
    if error.errno in _UNWRITABLE - _CLOSED:
        return FetchError(message, hint="what is complete stays; make room and run the same fetch again")
    return TargetError(message, hint="choose a folder that this user may write to")
