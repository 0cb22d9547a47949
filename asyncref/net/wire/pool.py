"""Connections kept by origin, the last used first; one slot an exchange, handed on in the order they were asked for."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from asyncref.net.wire.connection import BUFFER_BYTES, Connection
from asyncref.net.wire.dial import Dialer
from asyncref.net.wire.faults import NoAnswerError
from asyncref.net.wire.origin import Origin
from asyncref.net.wire.pump import Pump
from asyncref.net.wire.receiver import Receiver
from asyncref.net.wire.response import Response

_MOST_TICK_S: Final = 1.0
LEAST_BYTES_PER_S: Final = 1024
"""A page, an error or a head that comes more slowly, for as long as silence is borne, is given up."""


class WirePool:
    """Exchanges requests for answers, in one loop of one process.

    Args:
        loop: The loop.
        connections: Most exchanges at once.
        connect_timeout_s: Bound on a new connection.
        idle_timeout_s: Bound on silence, held to within half of it: there is one timer, not one a read.
        keepalive_s: How long a connection is kept that nobody uses.
        tcp_keepalive: Whether the system is to probe them.
        tls: Gives the TLS context.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        connections: int,
        connect_timeout_s: float,
        idle_timeout_s: float,
        keepalive_s: float,
        tcp_keepalive: bool,
        tls: Callable[[], Awaitable[ssl.SSLContext]],
    ) -> None:
        self._loop = loop
        self._dialer = Dialer(loop, timeout_s=connect_timeout_s, tls=tls, probes=tcp_keepalive)
        self._pump = Pump()
        self._keepalive_s = keepalive_s
        self._tick_s = min(idle_timeout_s / 4, keepalive_s / 4 or _MOST_TICK_S, _MOST_TICK_S)
        self._silent_ticks = math.ceil(idle_timeout_s / self._tick_s) + 1  # the first may come at once
        self._least = max(1, int(LEAST_BYTES_PER_S * idle_timeout_s))
        self._free = connections
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Origin, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._buffers: list[memoryview] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(
        self, origin: Origin, request: bytes, *, bodyless: bool, is_repeatable: bool, is_page: bool = False
    ) -> Response:
        """Send a request; its slot is taken until the answer is closed.

        Args:
            origin: To whom.
            request: Head and body as they go out.
            bodyless: Whether it is a HEAD.
            is_repeatable: Whether it may be sent once more when a kept connection proves dead before any
                byte of an answer (RFC 9112 §9.3.1); if not, it goes over a new one.
            is_page: The body has to come at `LEAST_BYTES_PER_S`; an object's may take its time.

        Raises:
            WireError: There is no answer.
            OSError: The name is unknown, or TLS failed.
        """
        if self._free:
            self._free -= 1
        else:
            await self._turn()
        try:
            kept = self._kept(origin) if is_repeatable else None
            if kept is not None:
                try:
                    return await self._ask(kept, request, bodyless=bodyless, is_page=is_page)
                except NoAnswerError:
                    pass
            made = await self._dialer.dial(origin, self._forget)
            if self._is_closed:
                made.abort()
            self._all.add(made)
            self._keep_time()
            return await self._ask(made, request, bodyless=bodyless, is_page=is_page)
        except BaseException:
            self._hand_on()
            raise

    async def aclose(self) -> None:
        """Close every connection, also those in use. Idempotent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in self._all.copy():
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    async def _ask(self, connection: Connection, request: bytes, *, bodyless: bool, is_page: bool) -> Response:
        # numpy's memory is not touched before it is used: a small answer takes one page of it.
        buffer = self._buffers.pop() if self._buffers else np.empty(BUFFER_BYTES, np.uint8).data
        try:
            receiver = await connection.ask(request, buffer, bodyless=bodyless, is_page=is_page, least=self._least)
        except BaseException:
            connection.abort()
            connection.leave()
            self._buffers.append(buffer)
            raise
        return Response(connection, receiver, self._pump, self._release)

    def _release(self, connection: Connection, receiver: Receiver) -> None:
        if connection.leave() and not self._is_closed:
            connection.idle_since_s = self._loop.time()
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            connection.abort()
        self._buffers.append(receiver.buffer)
        self._hand_on()

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_open and self._loop.time() - connection.idle_since_s <= self._keepalive_s:
                return connection
            connection.abort()
        return None

    def _forget(self, connection: Connection) -> None:
        self._all.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)

    async def _turn(self) -> None:
        """Wait for a slot, in turn."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._hand_on()  # it was handed over, and the task cancelled in the same turn of the loop
            raise

    def _hand_on(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _keep_time(self) -> None:
        if self._timer is None and self._all and not self._is_closed:
            self._timer = self._loop.call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        """Find silent connections and those kept for too long; ends when there are none at all."""
        for connection in self._all.copy():
            connection.tick(self._silent_ticks)
        now = self._loop.time()
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since_s > self._keepalive_s:
                idle.pop(0).abort()
        in_use = len(self._all) - sum(map(len, self._idle.values()))
        del self._buffers[in_use:]
        self._timer = None
        self._keep_time()
