"""Reading one file: its MD5, its ranges, and whether it changed meanwhile. Blocking; run in threads."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from asyncref.backends.file.failure import path_of, translated
from asyncref.backends.file.hashes import State
from asyncref.errors import ChangedError, NotFoundError, UnsupportedError
from asyncref.model import Pin

if sys.platform != "win32":
    import fcntl

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BUFFER_BYTES: Final = 1 << 18  # stays in the cache; a fresh 1 MiB for each read costs a sixth more
# linux/fs.h: _IOW(0x94, 13, struct file_clone_range); the same on all architectures but a few with other _IOW.
_FICLONERANGE: Final = 0x4020940D
_NOT_SHARED: Final = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ETXTBSY}
)
STEP_BYTES: Final = 64 << 20
"""What one call hashes at most: about 0.1 s, after which a cancelled task notices."""
_STEP_S: Final = 0.2  # a slow mount is not mistaken for one that hangs


class OpenFile:
    """A regular file, open for reading.

    Args:
        path: Absolute, on this machine.
        uri: For errors.

    Attributes:
        size: Bytes when it was opened.
        state: What it was then.
        opened_ns: When that was, nanoseconds since 1970.
        steady_ns: The same by the monotonic clock.

    Raises:
        NotFoundError: Nothing there, or a folder.
        UnsupportedError: A socket, pipe or device.
        AccessDeniedError: Not readable.
    """

    def __init__(self, path: str, uri: str) -> None:
        self._uri = uri
        raw = path_of(path)
        try:
            # Looked at before it is opened: to open a device may do something, to open a pipe waits.
            mode = os.stat(raw).st_mode  # noqa: PTH116  bytes paths, whatever the locale
            self._fd = os.open(raw, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK) if stat.S_ISREG(mode) else -1
        except OSError as error:
            raise translated(error, uri) from error
        _require_regular(mode, uri)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._buffer = memoryview(b"")
        self._hashed_bytes = 0
        try:
            self._before = self._fstat()
            _require_regular(self._before.st_mode, uri)
        except BaseException:
            self.close()
            raise
        self.opened_ns, self.steady_ns = time.time_ns(), time.monotonic_ns()
        self.state = State.of(self._before)
        self.size = self.state.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def modified(self) -> datetime:
        """When it was last written to, as it was opened."""
        return _EPOCH + timedelta(microseconds=self.state.mtime_ns // 1000)

    def read_at(self, start: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the file's end."""
        try:
            return os.pread(self._fd, length, start)
        except OSError as error:
            raise translated(error, self._uri) from error

    def share(self, fd: int, start: int, stop: int) -> bool:
        """Let another file have the bytes `start` to `stop` at the same place, its blocks those of this one.

        Returns:
            False where the file system cannot: then nothing was done.

        Raises:
            ChangedError: This file changed since it was opened.
        """
        if sys.platform == "win32":
            return False
        try:
            fcntl.ioctl(fd, _FICLONERANGE, struct.pack("qQQQ", self._fd, start, stop - start, start))
        except OSError as error:
            if error.errno not in _NOT_SHARED:
                raise translated(error, self._uri) from error
            return False
        self.require_unchanged()
        return True

    def hash_step(self) -> Pin | None:
        """Hash up to `STEP_BYTES` more; the pin once the whole file went through.

        Raises:
            ChangedError: The file changed since it was opened.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(_BUFFER_BYTES, self.size + 1)))
        stop, late_s = self._hashed_bytes + STEP_BYTES, time.monotonic() + _STEP_S
        while self._hashed_bytes < stop and (not self._hashed_bytes or time.monotonic() < late_s):
            try:
                count = os.readv(self._fd, [self._buffer])
            except OSError as error:
                raise translated(error, self._uri) from error
            if not count:
                return self._pin()
            self._md5.update(self._buffer[:count])
            self._hashed_bytes += count
        return None

    def require_unchanged(self) -> None:
        """Look again.

        Raises:
            ChangedError: Size, times or identity are no longer what they were when it was opened.
        """
        if State.of(self._fstat()) != self.state:
            raise ChangedError("the file changed while it was read", uri=self._uri)

    def _pin(self) -> Pin:
        self.require_unchanged()
        if self._hashed_bytes != self.size:
            raise ChangedError(f"{self._hashed_bytes} bytes were read of {self.size}", uri=self._uri)
        return Pin(size=self.size, checksum=f"md5:{self._md5.hexdigest()}", modified=self.modified)

    def _fstat(self) -> os.stat_result:
        try:
            return os.fstat(self._fd)
        except OSError as error:
            raise translated(error, self._uri) from error


def _require_regular(mode: int, uri: str) -> None:
    if stat.S_ISDIR(mode):
        raise NotFoundError("a folder, not a file", uri=uri)
    if not stat.S_ISREG(mode):
        raise UnsupportedError("a socket, pipe or device, not a file", uri=uri)
