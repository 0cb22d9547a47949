"""Threads that move bodies from sockets to files; without TLS by the kernel alone: no byte comes into this process (Linux).

splice(2) moves what a socket has into a pipe without a copy, and from there into the page cache with one: a third of the cost
of reading and writing. A file system that cannot do that gets the same bytes by a write. What comes over TLS is decrypted into
one buffer of the thread's own, which stays in the processor's cache, and written from there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import ssl
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import Final, Self, cast

if sys.platform != "win32":
    import fcntl

POURS: Final = all(hasattr(os, name) for name in ("splice", "eventfd")) and hasattr(select, "epoll")
"""Whether this system can do it."""
_MOST_THREADS: Final = 4
_PIPE_BYTES: Final = 2**20  # most that an unprivileged process may ask for
_IDLE_S: Final = 2.0  # a thread ends that had nothing to do for so long; the next body starts another
_COPY_BYTES: Final = 2**18
_CANNOT: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if POURS else 0


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
        self.mover: _Mover | None = None
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


class Pump:
    """The threads of one pool, started when first needed; for calls from its loop only."""

    def __init__(self) -> None:
        self._movers = [_Mover() for _ in range(min(_MOST_THREADS, os.cpu_count() or 1))]

    def start(self, pour: Pour, connected: socket.socket) -> None:
        """Begin; `pour.ended` tells when it is over.

        Args:
            pour: What.
            connected: The nonblocking socket, which nobody else reads meanwhile.
        """
        pour.source = os.dup(connected.fileno())  # its owner may close its own at any time
        if isinstance(connected, ssl.SSLSocket):
            pour.secured = connected
            pour.held = connected.makefile("rb", buffering=0)  # and then keeps its descriptor until this is closed
        # The same thread for one file: two would wait for each other in it.
        at = next((mover for mover in self._movers if pour.file in mover.files), None)
        pour.mover = at or min(self._movers, key=lambda mover: len(mover.files))
        files = pour.mover.files
        files[pour.file] = files.get(pour.file, 0) + 1
        pour.ended.add_done_callback(lambda _: _leave(files, pour.file))
        pour.mover.tell(pour)

    def stop(self, pour: Pour) -> None:
        """End it where it stands; `pour.ended` has to be waited for all the same."""
        assert pour.mover is not None
        pour.is_stopped = True
        pour.mover.tell(pour)


def _leave(files: dict[int, int], file: int) -> None:
    files[file] -= 1
    if not files[file]:
        del files[file]


class _Mover:
    """One thread.

    Attributes:
        files: How many stretches go to each, by descriptor; the pump's.
        rounds: How often it has looked at its sockets.
        is_waiting: It waits for them.
    """

    def __init__(self) -> None:
        self.files: dict[int, int] = {}
        self.rounds = 0
        self.is_waiting = False
        self._told: deque[Pour] = deque()
        self._lock = threading.Lock()
        self._bell = -1
        self._hot = memoryview(bytearray(_COPY_BYTES))

    def tell(self, pour: Pour) -> None:
        """Have the thread look at a new stretch, or at one that was stopped."""
        with self._lock:
            self._told.append(pour)
            if self._bell < 0:
                self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                threading.Thread(target=self._run, name="asyncref-pump", daemon=True).start()
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        under_way: dict[int, Pour] = {}
        failure = OSError("the thread that moved it ended")
        try:
            with select.epoll() as poll, _Pipe() as pipe:
                poll.register(self._bell, select.EPOLLIN)
                while self._turn(poll, pipe, under_way):
                    pass
        except OSError as error:  # such as no descriptors left
            failure = error
        finally:
            self._give_up(under_way, failure)

    def _turn(self, poll: select.epoll, pipe: _Pipe, under_way: dict[int, Pour]) -> bool:
        """Wait, and move what came; False at the end of the thread."""
        self.is_waiting = True
        ready = poll.poll(_IDLE_S)
        self.is_waiting = False
        self.rounds += 1
        for descriptor, _ in ready:
            pour = under_way.get(descriptor)  # none: the bell
            if pour is not None and (pour.is_stopped or _move(pour, pipe, self._hot)):
                self._end(under_way.pop(descriptor), poll)
        with self._lock:
            told = list(self._told)
            self._told.clear()
            if not (ready or told or under_way):
                self._silence_bell()
                return False
            with suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        for pour in told:
            self._take(pour, under_way, poll, pipe)
        return True

    def _give_up(self, under_way: dict[int, Pour], failure: OSError) -> None:
        """Let nobody wait for a thread that has ended."""
        with self._lock:
            if self._bell < 0:
                return
            left = [pour for pour in [*under_way.values(), *self._told] if pour.source >= 0]
            self._told.clear()
            self._silence_bell()
        for pour in dict.fromkeys(left):
            pour.broke = failure
            self._end(pour, None)

    def _silence_bell(self) -> None:
        os.close(self._bell)
        self._bell = -1

    def _take(self, pour: Pour, under_way: dict[int, Pour], poll: select.epoll, pipe: _Pipe) -> None:
        if pour.source in under_way and under_way[pour.source] is pour:  # it was stopped
            self._end(under_way.pop(pour.source), poll)
        elif pour.source >= 0:  # a new one; else it had ended before it was stopped
            is_over = pour.is_stopped or _write(pour, pour.lying) or not pour.left
            if is_over or _move(pour, pipe, self._hot):  # at once: of what OpenSSL holds, no socket tells
                self._end(pour, None)
            else:
                poll.register(pour.source, select.EPOLLIN)
                under_way[pour.source] = pour

    def _end(self, pour: Pour, poll: select.epoll | None) -> None:
        if poll is not None:
            poll.unregister(pour.source)
        os.close(pour.source)
        if pour.held is not None:
            pour.held.close()
        pour.source = -1
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            pour.ended.get_loop().call_soon_threadsafe(_settle, pour.ended)


class _Pipe:
    """A pipe that is empty between two calls of `_move`."""

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


def _move(pour: Pour, pipe: _Pipe, buffer: memoryview) -> bool:
    """Move all that a socket has; whether that was the end.

    One after the other, not a piece of each: what has just come lies in the processor's cache still.
    """
    if pour.secured is not None:
        return _decrypt(pour, pour.secured, buffer)
    while True:
        try:
            if pour.copies:
                data = os.read(pour.source, min(pour.left, _COPY_BYTES))
                pour.left -= len(data)
                is_over = not data or _write(pour, memoryview(data))
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
        if _write(pour, buffer[:filled]):
            return True
        if filled < most:
            return not is_dry
    return True


def _empty(pour: Pour, pipe: _Pipe, left: int) -> bool:
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
            if _write(pour, memoryview(data)):
                break
    except OSError as error:
        pour.failure = error
    if left or pour.failure is not None:
        pipe.renew()
    return pour.failure is not None


def _write(pour: Pour, data: memoryview) -> bool:
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


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
