"""Makes connections: names looked up once a minute, addresses tried side by side (RFC 8305), TLS on top."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohappyeyeballs

from asyncref.net.wire.connection import Connection
from asyncref.net.wire.faults import ConnectError, ConnectTimeoutError
from asyncref.net.wire.origin import Origin
from asyncref.net.wire.tls import can_watch, open_tls

_DNS_S: Final = 60.0
_NEXT_ADDRESS_S: Final = 0.25
Address = aiohappyeyeballs.AddrInfoType


class Dialer:
    """Opens connections in one loop.

    Args:
        loop: The loop.
        timeout_s: Bound on each: name, connection and TLS together.
        tls: Gives the TLS context.
        probes: Whether the system is to probe idle connections.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        timeout_s: float,
        tls: Callable[[], Awaitable[ssl.SSLContext]],
        probes: bool,
    ) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._tls = tls
        self._probes = probes
        self._known: dict[tuple[str, int], tuple[float, Sequence[Address]]] = {}
        self._asking = asyncio.Lock()

    async def dial(self, origin: Origin, forget: Callable[[Connection], None]) -> Connection:
        """A new connection.

        Raises:
            ConnectTimeoutError: It took too long.
            ConnectError: Nobody listens, or the system refused.
            socket.gaierror: The name is unknown.
            ssl.SSLError: TLS failed.
        """
        context = await self._tls() if origin.is_tls else None
        bound = asyncio.timeout(self._timeout_s)
        try:
            async with bound:
                return await self._dial(origin, context, forget)
        except (ssl.SSLError, socket.gaierror):
            raise
        except OSError as error:  # TimeoutError is one
            self._known.pop((origin.host, origin.port), None)
            if bound.expired():
                raise ConnectTimeoutError from None
            raise ConnectError(str(error)) from error

    async def _dial(
        self, origin: Origin, context: ssl.SSLContext | None, forget: Callable[[Connection], None]
    ) -> Connection:
        made = await aiohappyeyeballs.start_connection(
            await self._addresses(origin), happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=self._loop
        )
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._probes:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            name = origin.host.rstrip(".") if context else None
            connection = Connection(self._loop, origin, forget)
            if context is not None and name is not None and can_watch(self._loop):
                await open_tls(self._loop, made, context, name, connection)
            else:
                await self._loop.create_connection(lambda: connection, sock=made, ssl=context, server_hostname=name)
        except BaseException:
            with contextlib.suppress(OSError):
                made.close()
            raise
        return connection

    async def _addresses(self, origin: Origin) -> Sequence[Address]:
        """A name's addresses; those who ask at the same time wait for one answer."""
        place = origin.host, origin.port
        async with self._asking:
            until_s, found = self._known.get(place, (0.0, []))
            if not found or until_s < self._loop.time():
                found = await self._loop.getaddrinfo(*place, type=socket.SOCK_STREAM)
                self._known[place] = self._loop.time() + _DNS_S, found
            return found
