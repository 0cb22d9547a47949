"""One stretch of a body on its way from a socket to a file, and the system calls that move it (Linux).

Without TLS by the kernel alone, no byte comes into this process: splice(2) moves what a socket has into a pipe without a copy, and
from there into the page cache with one, about half the cost of reading and writing. A file system that cannot do that gets the same
bytes by a write. What comes over TLS is decrypted into one buffer of the thread's own, which stays in the processor's cache, and written
from there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
from contextlib import suppress
from typing import Final, Protocol, Self, cast

if sys.platform != "win32":
    import fcntl

COPY_BYTES: Final = 2**18
_PIPE_BYTES: Final = 2**20  # most that an unprivileged process may ask for
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if hasattr(os, "splice") else 0


class Mover(Protocol):
    """A thread that looks after stretches.

    Attributes:
        rounds: How often it has looked at its sockets.
        is_waiting: It waits for them.
    """

    rounds: int
    is_waiting: bool

    def tell(self, pour: Pour) -> None:
        """Have it look at a new one, or at one that was stopped."""


class Pour:
    """One stretch of a body on its way to a file.

    Args:
        file: The open file's descriptor; the caller's, open until this has ended.
        offset: Where in it.
        lying: The first bytes, which were received already; they stay as they are until this has ended.
        more: How many come behind them, from the socket.

    Attributes:
        moved: Bytes that are in the file, from `offset` on without a gap.
        broke: The socket failed.
        failure: The file failed: no space, no such device.
        copies: Its system or file system has no splice for it.
        ended: Done once nothing is written any more and both descriptors are left alone.
    """

    __slots__ = ("_rounds", "_seen", "broke", "copies", "ended", "failure", "file", "held", "is_stopped", "left", "lying", "moved", "mover", "offset", "secured", "source")  # fmt: skip

    def __init__(self, file: int, offset: int, lying: memoryview, more: int) -> None:
        self.file = file
        self.offset = offset
        self.lying = lying
        self.left = more
        self.moved = 0
        self.broke: OSError | None = None
        self.failure: OSError | None = None
        self.is_stopped = self.copies = False
        self.source = -1
        self.secured: ssl.SSLSocket | None = None
        self.held: socket.SocketIO | None = None
        self.mover: Mover | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seen = self._rounds = 0

    def is_quiet(self) -> bool:
        """Whether nothing came since the last call although it was looked for: a thread that a disk holds up does not look."""
        assert self.mover is not None
        moved, rounds = self.moved, self.mover.rounds
        looked = self.mover.is_waiting or rounds != self._rounds
        quiet = looked and moved == self._seen
        self._seen, self._rounds = moved, rounds
        return quiet


class Pipe:
    """A pipe that is empty between two calls of `move`."""

    __slots__ = ("bytes", "into", "out")

    def __init__(self) -> None:
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def renew(self) -> None:
        """Throw away what is in it."""
        self._close()
        self._open()

    def _open(self) -> None:
        self.out, self.into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # too many of that size already
            fcntl.fcntl(self.into, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.bytes = fcntl.fcntl(self.into, fcntl.F_GETPIPE_SZ)

    def _close(self) -> None:
        os.close(self.out)
        os.close(self.into)


def move(pour: Pour, pipe: Pipe, buffer: memoryview) -> bool:
    """Move all that a socket has; whether that was the end.

    One after the other, not a piece of each: what has just come lies in the processor's cache still.
    """
    if pour.secured is not None:
        return _decrypt(pour, pour.secured, buffer)
    while True:
        try:
            if pour.copies:
                data = os.read(pour.source, min(pour.left, COPY_BYTES))
                pour.left -= len(data)
                is_over = not data or write(pour, memoryview(data))
            else:
                came = os.splice(pour.source, pipe.into, min(pour.left, pipe.bytes), flags=_FLAGS)
                pour.left -= came
                is_over = not came or _empty(pour, pipe, came)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CANNOT and not pour.copies:
                pour.copies = True  # and nothing was taken
                continue
            pour.broke = error
            return True
        if is_over or not pour.left:
            return True


def _decrypt(pour: Pour, secured: ssl.SSLSocket, buffer: memoryview) -> bool:
    """Move all that a socket with TLS has, or OpenSSL of it; whether that was the end."""
    while pour.left:
        filled, most, is_dry = 0, min(pour.left, len(buffer)), False
        try:
            while filled < most:
                count = cast("int", secured.read(most - filled, buffer[filled:most]))  # a record at most
                if not count:
                    break
                filled += count
        except ssl.SSLWantReadError:
            is_dry = True
        except OSError as error:
            pour.broke = error
        pour.left -= filled
        if write(pour, buffer[:filled]):
            return True
        if filled < most:
            return not is_dry
    return True


def _empty(pour: Pour, pipe: Pipe, left: int) -> bool:
    """Move what is in the pipe to the file; whether that failed."""
    try:
        while left and not pour.copies:
            try:
                count = os.splice(pipe.out, pour.file, left, offset_dst=pour.offset + pour.moved)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                pour.copies = True
            else:
                pour.moved += count
                left -= count
        while left:
            data = os.read(pipe.out, left)
            left -= len(data)
            if write(pour, memoryview(data)):
                break
    except OSError as error:
        pour.failure = error
    if left or pour.failure is not None:
        pipe.renew()
    return pour.failure is not None


def write(pour: Pour, data: memoryview) -> bool:
    """Write bytes behind those that are there; whether that failed."""
    try:
        while data:
            count = os.pwrite(pour.file, data, pour.offset + pour.moved)
            pour.moved += count
            data = data[count:]
    except OSError as error:
        pour.failure = error
        return True
    return False
