"""One file while it is fetched: locked under a temporary name beside its final one, then renamed or removed. Blocking calls only."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from asyncref.engine.fetch.disk import are_equal, is_at, lock, rename_new, reserve
from asyncref.engine.fetch.journal import Journal, forget, journal_beside
from asyncref.engine.fetch.plan import Parts
from asyncref.errors import FetchError
from asyncref.model import Pin


@dataclass(slots=True)
class Temporary:
    """An open, locked temporary, the file that it becomes, and which parts of it are there.

    Attributes:
        is_small: It is there for a moment only.
        linked: A complete file beside it that becomes the final one in its place.
    """

    fd: int
    path: str
    final: str
    journal: Journal | None = None
    is_small: bool = False
    linked: str | None = None

    def finish(self, *, keep: bool, fsync: bool) -> os.stat_result:
        """Give a complete file its name and close it; what the system says of it, for the record.

        Args:
            keep: A file that lies there is not replaced; with the same bytes it is taken for this one.
            fsync: Force it to the disk before its rename.

        Raises:
            FetchError: With `keep`, other bytes lie there. Or the temporary does not lie where it did. It stays open.
        """
        if fsync:
            os.fsync(self.fd)
        if not self._is_there():
            raise FetchError("its temporary was removed or replaced by another process")
        if self.journal is not None:
            self.journal.forget()
        source = self.linked or self.path
        if not keep:
            os.replace(source, self.final)  # noqa: PTH105  a Path costs some microseconds an object
        elif not rename_new(source, self.final):
            seen = _equal(source, self.final, fsync=fsync)
            self.discard()
            return seen
        if self.linked is None:
            seen = os.fstat(self.fd)  # now: a rename changes ctime
        else:
            seen = os.lstat(self.final)
            os.unlink(self.path)  # noqa: PTH108  as above
        self._close()
        return seen

    def discard(self) -> None:
        """Remove it. Idempotent."""
        if self.fd < 0:
            return
        try:
            if self._is_there() or not os.path.lexists(self.path):
                if self.journal is not None:
                    self.journal.forget()
                with suppress(FileNotFoundError):
                    os.unlink(self.path)  # noqa: PTH108  as above
            if self.linked is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self.linked)  # noqa: PTH108  as above
        finally:
            self._close()

    def leave(self) -> None:
        """Close it: one with parts that a later run can use stays, any other is removed. Idempotent."""
        if self.journal is None or not self.journal.done:
            self.discard()
        elif self.fd >= 0:
            self._close()

    def _is_there(self) -> bool:
        """Whether its name is still its own: somebody may have removed it, and another fetch have begun in its place."""
        return self.is_small or is_at(self.path, os.fstat(self.fd))

    def _close(self) -> None:
        if self.journal is not None:
            self.journal.close()
        os.close(self.fd)
        self.fd = -1


def begin(path: str, final: str, size_bytes: int, about: tuple[str, Pin, Parts] | None, *, is_small: bool) -> Temporary:
    """Open and lock a temporary; see `Target.open`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        fd = os.open(path, flags, 0o666)
        try:
            lock(fd, final)
            held = os.fstat(fd)
            if is_at(path, held):
                journal = Journal(journal_beside(path), *about, inode=held.st_ino) if about else None
                temporary = Temporary(fd, path, final, journal, is_small)
                if journal is None or held.st_size != size_bytes or not journal.load():
                    if held.st_size or not is_small:
                        forget(journal_beside(path))  # before anything takes the place of the bytes that it names
                    _empty(temporary, held.st_size, size_bytes)
                return temporary
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # its owner renamed it between our opening and our locking it


def _empty(temporary: Temporary, held_bytes: int, size_bytes: int) -> None:
    """Empty a temporary and reserve its space; one that cannot have it is removed."""
    try:
        if held_bytes:
            os.ftruncate(temporary.fd, 0)
        if size_bytes:
            reserve(temporary.fd, size_bytes)
    except OSError:
        os.unlink(temporary.path)  # noqa: PTH108  as above
        raise


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
