"""Objects kept on this machine, shared by all fetches: found by content and pin, checked before they are used. Blocking calls only.

    objects/lock           held by whoever evicts
    objects/ab/KEY         the bytes
    objects/ab/KEY.sum     32 bytes: their SHA-256; its modification time says when they were last used

Both files get their names by a rename, the sum first, so bytes without a sum are never met, whoever is killed when. An
entry that does not have its sum any more (a hard link of it was edited) is removed. Eviction unlinks the least recently
used: a process that has such a file open reads it to its end.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asyncref.engine.fetch.content import sum_of
from asyncref.engine.fetch.disk import Bytes, write_at
from asyncref.engine.fetch.sources import Place
from asyncref.engine.fetch.temporary import Temporary
from asyncref.model import Entry, Source
from asyncref.uri import Reference

if sys.platform != "win32":
    import fcntl

DEFAULT_BYTES: Final = 10 * 2**30
_FULL_HASH: Final = re.compile(r"(md5|sha1|sha256|sha512):")
_HASH_TAG: Final = re.compile(r'"[0-9a-f]{32}(-[0-9]+)?"')
_FICLONE: Final = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_COPY_BYTES: Final = 2**26
_ALGORITHM: Final = "sha256"
_SUM: Final = ".sum"
_ABANDONED_S: Final = 24 * 3600
_KEPT_SHARE: Final = 0.9  # of the bound after an eviction, so that not every object added causes one


@dataclass(slots=True)
class Cache:
    """One folder of objects.

    Args:
        folder: Made when first needed; its files are the cache's own.
        most_bytes: Bound on the bytes kept. Processes that add at the same time may pass it by what they add.
        links: Hard links instead of copies: no space, and an edit of one file is an edit of all.

    Attributes:
        hits: Objects taken from it.
        failure: Why it can take nothing more.
    """

    folder: Path
    most_bytes: int = DEFAULT_BYTES
    links: bool = False
    hits: int = 0
    failure: str | None = None
    _held_bytes: int | None = None

    def has(self, key: str) -> bool:
        """Whether something lies under a key; `take` tells whether it is right."""
        return os.path.lexists(self._path(key))

    def take(self, key: str, size_bytes: int, temporary: Temporary, *, link: bool = True) -> bool:
        """Bring an object into an open, empty temporary, by the file system's own sharing, a hard link or a copy.

        Args:
            key: Its key.
            size_bytes: Of the object.
            temporary: Where to; linked instead of filled where links are wanted.
            link: A link will do: nobody reads the temporary itself.

        Returns:
            Whether it was there, whole and right.
        """
        path = self._path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if self._bring(fd, path, size_bytes, temporary, link=link and self.links):
                self.hits += 1
                return True
        except _UnreadableError:
            os.ftruncate(temporary.fd, 0)
        finally:
            os.close(fd)
        self._remove(path)
        return False

    def add(self, key: str, size_bytes: int, data: Bytes | None, temporary: Temporary | None) -> None:
        """Keep an object that was just fetched and checked, from memory or from its temporary.

        A cache that cannot be written costs the next fetch, not this one: the reason is in `failure`.
        """
        path = self._path(key)
        if self.failure or size_bytes > self.most_bytes:
            return
        try:
            if not os.path.lexists(path):
                self._put(path, size_bytes, data, temporary)
        except OSError as error:
            self.failure = os.strerror(error.errno or 0).lower()

    def sweep(self) -> None:
        """Remove what was not used for longest, until the bound holds. Nothing if another process is about it."""
        with (self.folder / "lock").open("ab") as held:
            if sys.platform != "win32":
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
            self._clear()
            found = sorted(self._entries())
            self._held_bytes = sum(size for _, size, _ in found)
            if self._held_bytes <= self.most_bytes:
                return
            for _, size, path in found:
                if self._held_bytes <= self.most_bytes * _KEPT_SHARE:
                    break
                self._remove(path)
                self._held_bytes -= size

    def _entries(self) -> list[tuple[int, int, str]]:
        """Last use, size and path of every object."""
        found = []
        for folder in os.scandir(self.folder):
            for file in os.scandir(folder) if folder.is_dir(follow_symlinks=False) else ():
                if not file.name.endswith(_SUM):
                    with suppress(FileNotFoundError):
                        size = file.stat(follow_symlinks=False).st_size
                        found.append((self._used_ns(file.path), size, file.path))
        return found

    def _clear(self) -> None:
        """Remove what processes that were killed left: drafts, and sums without bytes."""
        for path in self.folder.glob(f"*/*{_SUM}"):
            with suppress(FileNotFoundError):
                if not path.with_suffix("").exists() and path.stat().st_mtime < time.time() - _ABANDONED_S:
                    path.unlink()

    def _used_ns(self, path: str) -> int:
        try:
            return os.stat(path + _SUM).st_mtime_ns  # noqa: PTH116  a Path costs some microseconds an object
        except FileNotFoundError:
            return 0  # of a process that was killed while it added, or that adds now: the first to go

    def _bring(self, fd: int, path: str, size_bytes: int, temporary: Temporary, *, link: bool) -> bool:
        """Fill or link a temporary; False if what lies here is not right.

        Raises:
            _UnreadableError: It cannot be read. Any other error is the target's.
        """
        with _ours():
            wanted = Path(path + _SUM).read_bytes()
            if os.fstat(fd).st_size != size_bytes:
                return False
            linked = link and sum_of(fd, 0, size_bytes, _ALGORITHM) == wanted
        if not (linked and self._link(fd, path, temporary)):
            copy(fd, temporary.fd, size_bytes, read=_read)
            # Of the copy: what is given out was checked. Shared blocks are all that the file has by now.
            right = os.fstat(temporary.fd).st_size == size_bytes
            if not right or sum_of(temporary.fd, 0, size_bytes, _ALGORITHM) != wanted:
                os.ftruncate(temporary.fd, 0)
                return False
        with suppress(OSError):
            os.utime(path + _SUM)
        return True

    def _link(self, fd: int, path: str, temporary: Temporary) -> bool:
        """Give the temporary's place to a link of the cached file; False where that cannot be, and it is copied."""
        link = temporary.path.removesuffix(".part") + ".link"
        with suppress(FileNotFoundError):
            os.unlink(link)  # noqa: PTH108  a Path costs some microseconds an object; of a run that was killed
        try:
            os.link(path, link)
        except OSError:
            return False  # another file system, one without links, too many of them, evicted meanwhile
        if os.path.samestat(os.stat(link), os.fstat(fd)):  # noqa: PTH116
            temporary.linked = link
            return True
        os.unlink(link)  # noqa: PTH108  another file came to lie there meanwhile, which nobody has checked
        return False

    def _put(self, path: str, size_bytes: int, data: Bytes | None, temporary: Temporary | None) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        if self._held_bytes is None:
            self._held_bytes = sum(size for _, size, _ in self._entries())
        draft = f"{path}.{secrets.token_hex(8)}{_SUM}"  # process numbers repeat among containers
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            if data is not None:
                write_at(fd, (data,), 0)
                digest = hashlib.sha256(data).digest()
            else:
                assert temporary is not None
                digest = self._fill(fd, draft, size_bytes, temporary)
            beside = f"{draft}{_SUM}"
            Path(beside).write_bytes(digest)
            os.replace(beside, path + _SUM)  # noqa: PTH105
            os.replace(draft, path)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft)  # noqa: PTH108
            raise
        finally:
            os.close(fd)
        self._held_bytes += size_bytes
        if self._held_bytes > self.most_bytes:
            self.sweep()

    def _fill(self, fd: int, draft: str, size_bytes: int, temporary: Temporary) -> bytes:
        """Copy or link a temporary's file; its sum."""
        if self.links:
            with suppress(OSError):  # another file system, or one without links: it is copied
                os.link(temporary.path, f"{draft}.link")
                os.replace(f"{draft}.link", draft)  # noqa: PTH105
                return sum_of(temporary.fd, 0, size_bytes, _ALGORITHM)
        copy(temporary.fd, fd, size_bytes)
        return sum_of(fd, 0, size_bytes, _ALGORITHM)

    def _path(self, key: str) -> str:
        return f"{self.folder}/{key[:2]}/{key}"

    @staticmethod
    def _remove(path: str) -> None:
        for name in (path, path + _SUM):
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108


def where_of(place: Place, source: Source) -> str:
    """What tells one bucket of a name from another: the server that is asked, and the account."""
    if place.backend.traits.hierarchical:
        return ""  # of a file or a URL the reference says all
    asked = place.backend.source(Reference(source.scheme, source.container, source.prefix))
    return f"{asked.endpoint or ''} {asked.account or ''}".strip()


def key_of(entry: Entry, where: str = "") -> str | None:
    """The name under which an entry's bytes are kept; None for what nothing pins, or is empty.

    Equal checksums make one entry of equal bytes wherever they lie. Equal ETags of 32 hex digits (an MD5, one of a
    multipart upload, or a random number) do so within one bucket; any other pin counts together with the reference.

    Args:
        entry: The row.
        where: See `where_of`.
    """
    pin = entry.pin
    if not pin.size:
        return None
    if pin.checksum and _FULL_HASH.match(pin.checksum):
        told = f"{pin.checksum} {pin.size}"
    elif pin.etag and _HASH_TAG.fullmatch(pin.etag):
        told = f"{where}\0{'/'.join(entry.ref.split('/')[:3])} {pin.etag} {pin.size}"
    elif pin.etag or pin.version or pin.checksum:
        told = f"{where}\0{entry.ref}\0{pin.version}\0{pin.etag}\0{pin.checksum}\0{pin.size}"
    else:
        return None
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


class _UnreadableError(Exception):
    """What lies in the cache cannot be read: as good as not there."""


@contextmanager
def _ours() -> Iterator[None]:
    """The cache's own files: an error is not the target's."""
    try:
        yield
    except OSError as error:
        raise _UnreadableError from error


def _read(fd: int, length: int, offset: int) -> bytes:
    with _ours():
        return os.pread(fd, length, offset)


def copy(fd: int, to: int, size_bytes: int, *, read: Callable[[int, int, int], bytes] = os.pread) -> None:
    """Copy an open file into an empty one: blocks shared where the file system can (FICLONE), else by the kernel.

    Args:
        fd: The file.
        to: The empty one.
        size_bytes: Of the file.
        read: As `os.pread`, of the file.
    """
    if sys.platform == "linux":
        try:
            fcntl.ioctl(to, _FICLONE, fd)
        except OSError:
            pass  # another file system, or one without shared blocks: an ordinary copy says what else is wrong
        else:
            return
    at = 0
    while at < size_bytes and (data := read(fd, min(_COPY_BYTES, size_bytes - at), at)):
        write_at(to, (data,), at)
        at += len(data)
