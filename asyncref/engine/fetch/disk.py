"""System calls that a target needs and Python lacks or leaves to the caller. Blocking calls only."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Final, cast

from asyncref.errors import FetchError

if sys.platform != "win32":
    import fcntl

_READ_BYTES: Final = 2**20
_SLICE_BYTES: Final = 64 * 2**20
_SLOW_S: Final = 0.002  # for a slice, of which a file system of extents only takes note
_AT_FDCWD: Final = -100  # linux/fcntl.h
_RENAME_NOREPLACE: Final = 1  # linux/fs.h

Bytes = bytes | bytearray | memoryview


def write_at(fd: int, chunks: Sequence[Bytes], offset: int) -> None:
    """Write all chunks, one after the other, from an offset on."""
    view = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def write_unnamed(folder: str, to: str, chunks: Sequence[Bytes], *, fsync: bool) -> os.stat_result | None:
    """Write a file that has no name until it is whole, and give it one that nothing has (Linux, where the file system can).

    Half the cost of a temporary: nobody else can open it, so there is nothing to lock and to look after, and a killed process
    leaves nothing.

    Args:
        folder: Of the file.
        to: Its path.
        chunks: Its bytes.
        fsync: Force it to the disk before it has a name.

    Returns:
        What the system says of it; None: something has the name, and nothing was done.

    Raises:
        NotImplementedError: There are no such files here; nothing was done.
        OSError: As the system says of the bytes.
    """
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except (AttributeError, OSError) as error:
        raise NotImplementedError from error
    try:
        write_at(fd, chunks, 0)
        if fsync:
            os.fsync(fd)
        try:
            # With a folder's descriptor, which an absolute path has no use for, Python calls linkat, which follows.
            os.link(f"/proc/self/fd/{fd}", to, src_dir_fd=fd, follow_symlinks=True)
        except FileExistsError:
            return None
        except OSError as error:  # no /proc, or no links
            raise NotImplementedError from error
        return os.fstat(fd)  # now: a link changes ctime
    finally:
        os.close(fd)


def lock(fd: int, what: str) -> None:
    """Lock an open file against other processes, or fail at once.

    Raises:
        FetchError: Another process holds it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FetchError(f"another fetch is writing {what}", hint="wait until it has ended") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
            raise  # those four: a file system without locks, where two fetches into one folder are not told apart


def reserve(fd: int, size_bytes: int) -> None:
    """Set a file's size and reserve its space, so that a full disk is known before the bytes have come.

    By fallocate itself: where a file system has none, glibc's posix_fallocate writes a byte to each of its blocks. One that takes
    long for a slice does what the writes do anyway, and those from several threads (a tmpfs), or asks a server: what is left is
    left to them.
    """
    os.ftruncate(fd, size_bytes)
    for start in range(0, size_bytes, _SLICE_BYTES):
        begun_s = monotonic()
        if not _allocate(fd, start, min(_SLICE_BYTES, size_bytes - start)) or monotonic() - begun_s > _SLOW_S:
            return


def _allocate(fd: int, start: int, length: int) -> bool:
    """Reserve a slice; False where that cannot be."""
    if (call := _fallocate()) is None:
        return False
    while call(fd, 0, start, length):
        number = ctypes.get_errno()
        if number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return cast("Callable[[int, int, int, int], int] | None", call)


def rename_new(path: str, to: str) -> bool:
    """Rename a file unless something has the other name already, which no look before it can promise: then False.

    By renameat2 (Linux, where the file system can), by a link otherwise; a file system that has neither is looked at.
    """
    if (call := _renameat2()) is not None:
        if not call(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(to), _RENAME_NOREPLACE):
            return True
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            return False
        if number not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), path, None, to)
    try:
        os.link(path, to)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        if os.path.lexists(to):
            return False
        os.replace(path, to)  # noqa: PTH105  a Path costs some microseconds an object
    else:
        os.unlink(path)  # noqa: PTH108
    return True


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # without argtypes, which cost 1.3 µs a call
    return cast("Callable[[int, bytes, int, bytes, int], int] | None", call)


def is_at(path: str, held: os.stat_result) -> bool:
    """Whether an open file still has this name."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return (found.st_ino, found.st_dev) == (held.st_ino, held.st_dev)


def are_equal(one: int, other: int) -> bool:
    """Whether two open files have the same bytes."""
    if os.fstat(one).st_size != os.fstat(other).st_size:
        return False
    at = 0
    while data := os.pread(one, _READ_BYTES, at):
        if data != os.pread(other, len(data), at):
            return False
        at += len(data)
    return True


def sync_all(folder: str) -> None:
    """Force everything written to a folder's file system to the disk: one call where there is one (Linux)."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(fd)


@cache
def machine_start() -> str:
    """Names the time since the machine started; where that cannot be told, this process only."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return uuid.uuid4().hex
