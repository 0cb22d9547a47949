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
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.content import Match, match
from asyncref.engine.fetch.disk import Bytes, are_equal, is_at, lock, rename_new, reserve, sync_all, write_at
from asyncref.engine.fetch.journal import Journal, forget, journal_beside
from asyncref.engine.fetch.paths import RESERVED
from asyncref.engine.fetch.plan import Parts
from asyncref.errors import FetchError
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


@dataclass(slots=True)
class Temporary:
    """An open, locked temporary, the file that it becomes, and which parts of it are there.

    Attributes:
        linked: A complete file beside it that becomes the final one in its place.
    """

    fd: int
    path: str
    final: str
    journal: Journal | None = None
    linked: str | None = None


class Target:
    """One folder.

    Args:
        root: The folder; made when first needed.

    Attributes:
        refusal: Why nothing at all can be written here, once that was seen.
    """

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
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
        temporary = self.open(local, 0, is_small=True)
        try:
            write_at(temporary.fd, chunks, 0)
            return self.finish(temporary, keep=keep, fsync=fsync)
        except BaseException:
            self.discard(temporary)
            raise

    def open(
        self, local: str, size_bytes: int, about: tuple[str, Pin, Parts] | None = None, *, is_small: bool = False
    ) -> Temporary:
        """Open and lock the temporary of a file: empty but for its reserved size, or with what an earlier run left.

        Args:
            local: The file.
            size_bytes: Space to reserve; 0 for none.
            about: Reference, pin and parts of the object, to go on with an earlier run's; None: begin afresh.
            is_small: Of one part: no journal can be about a file of its size, so none is looked for.
        """
        final = self.file_of(local)
        path = self.temporary_of(local)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            fd = os.open(path, flags, 0o666)
            try:
                lock(fd, final)
                held = os.fstat(fd)
                if is_at(path, held):
                    journal = Journal(journal_beside(path), *about, inode=held.st_ino) if about else None
                    if journal is not None and held.st_size == size_bytes and journal.load():
                        return Temporary(fd, path, final, journal)
                    if not is_small:
                        forget(journal_beside(path))  # before anything takes the place of the bytes that it names
                    temporary = Temporary(fd, path, final, journal)
                    self._empty(temporary, held.st_size, size_bytes)
                    return temporary
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # its owner renamed it between our opening and our locking it

    def _empty(self, temporary: Temporary, held_bytes: int, size_bytes: int) -> None:
        """Empty a temporary and reserve its space; one that cannot have it is removed."""
        try:
            if held_bytes:
                os.ftruncate(temporary.fd, 0)
            if size_bytes:
                reserve(temporary.fd, size_bytes)
        except OSError:
            os.unlink(temporary.path)  # noqa: PTH108  as above
            raise

    def finish(self, temporary: Temporary, *, keep: bool, fsync: bool) -> os.stat_result:
        """Give a complete file its name and close it; what the system says of it, for the record.

        Args:
            temporary: Complete; it stays open if this fails.
            keep: A file that lies there is not replaced; with the same bytes it is taken for this one.
            fsync: Force it to the disk before its rename.

        Raises:
            FetchError: With `keep`, other bytes lie there.
        """
        if fsync:
            os.fsync(temporary.fd)
        if temporary.journal is not None:
            temporary.journal.forget()
        source = temporary.linked or temporary.path
        if not keep:
            os.replace(source, temporary.final)  # noqa: PTH105  a Path costs some microseconds an object
        elif not rename_new(source, temporary.final):
            seen = _equal(source, temporary.final, fsync=fsync)
            self.discard(temporary)
            return seen
        if temporary.linked is None:
            seen = os.fstat(temporary.fd)  # now: a rename changes ctime
        else:
            seen = os.lstat(temporary.final)
            os.unlink(temporary.path)  # noqa: PTH108
        os.close(temporary.fd)
        temporary.fd = -1
        return seen

    def discard(self, temporary: Temporary) -> None:
        """Remove a temporary. Idempotent."""
        if temporary.fd < 0:
            return
        try:
            if temporary.journal is not None:
                temporary.journal.forget()
            for path in (temporary.path, temporary.linked):
                if path is not None:
                    with suppress(FileNotFoundError):  # somebody tidied up
                        os.unlink(path)  # noqa: PTH108  as above
        finally:
            os.close(temporary.fd)
            temporary.fd = -1

    def leave(self, temporary: Temporary) -> None:
        """Close a temporary: one with parts that a later run can use stays, any other is removed. Idempotent."""
        if temporary.journal is None or not temporary.journal.done:
            self.discard(temporary)
        elif temporary.fd >= 0:
            temporary.journal.close()
            os.close(temporary.fd)
            temporary.fd = -1

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


def _equal(path: str, other: str, *, fsync: bool) -> os.stat_result:
    """What the system says of a file that lies there, if it has the very bytes of another one.

    Raises:
        FetchError: It has not.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would wait for its writer
    ours = os.open(path, flags)
    try:
        try:
            theirs = os.open(other, flags)
        except OSError:  # a link, or nobody may read it
            raise another_file_error() from None
        try:
            seen = os.fstat(theirs)
            if not stat.S_ISREG(seen.st_mode) or not are_equal(ours, theirs):
                raise another_file_error()
            if fsync:
                os.fsync(theirs)
            return seen
        finally:
            os.close(theirs)
    finally:
        os.close(ours)


def another_file_error() -> FetchError:
    """A file that is not the entry's lies where it should go."""
    return FetchError("another file lies there", hint="overwrite=True replaces it")


def unwritable(error: OSError, root: str, *, at_all: bool = False) -> FetchError | None:
    """The one clear error where a target cannot take anything more; None if only one file is concerned.

    Args:
        error: What the system said.
        root: The target.
        at_all: It concerns the target itself, not a file in it.
    """
    if error.errno not in _UNWRITABLE and not at_all:
        return None
    reason = os.strerror(error.errno or 0).lower()
    hint = "what is complete stays; make room and run the same fetch again"
    if error.errno in _CLOSED:
        hint = "choose a folder that this user may write to"
    return FetchError(f"cannot write to {root}: {reason}", hint=hint)
