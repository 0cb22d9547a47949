"""Threads that move bodies from sockets to files, a few of a pool's (Linux)."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
import threading
from collections import deque
from contextlib import suppress
from typing import Final

from asyncref.net.wire.pour import COPY_BYTES, Pipe, Pour, move, write

POURS: Final = all(hasattr(os, name) for name in ("splice", "eventfd")) and hasattr(select, "epoll")
"""Whether this system can do it."""
_MOST_THREADS: Final = 4
_IDLE_S: Final = 2.0  # a thread ends that had nothing to do for so long; the next body starts another


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
        self._hot = memoryview(bytearray(COPY_BYTES))

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
        failure: OSError | None = OSError("the thread that moved it ended")
        try:
            with select.epoll() as poll, Pipe() as pipe:
                poll.register(self._bell, select.EPOLLIN)
                while self._turn(poll, pipe, under_way):
                    pass
                failure = None  # from here on all that is told belongs to the next thread
        except OSError as error:  # such as no descriptors left
            failure = failure and error
        finally:
            if failure is not None:
                self._give_up(under_way, failure)

    def _turn(self, poll: select.epoll, pipe: Pipe, under_way: dict[int, Pour]) -> bool:
        """Wait, and move what came; False at the end of the thread."""
        self.is_waiting = True
        ready = poll.poll(_IDLE_S)
        self.is_waiting = False
        self.rounds += 1
        for descriptor, _ in ready:
            pour = under_way.get(descriptor)  # none: the bell
            if pour is not None and (pour.is_stopped or move(pour, pipe, self._hot)):
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
            left = [pour for pour in [*under_way.values(), *self._told] if pour.source >= 0]
            self._told.clear()
            self._silence_bell()
        for pour in dict.fromkeys(left):
            pour.broke = failure
            self._end(pour, None)

    def _silence_bell(self) -> None:
        os.close(self._bell)
        self._bell = -1

    def _take(self, pour: Pour, under_way: dict[int, Pour], poll: select.epoll, pipe: Pipe) -> None:
        if pour.source in under_way and under_way[pour.source] is pour:  # it was stopped
            self._end(under_way.pop(pour.source), poll)
        elif pour.source >= 0:  # a new one; else it had ended before it was stopped
            is_over = pour.is_stopped or write(pour, pour.lying) or not pour.left
            if is_over or move(pour, pipe, self._hot):  # at once: of what OpenSSL holds, no socket tells
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


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
