"""One pooled HTTP client: bytes as stored, no bound on a whole transfer, foreign errors mapped by one table.

Requests go over `asyncref.net.wire`; where a proxy is in between, over aiohttp. Nothing of the environment is
read behind one's back: no ~/.netrc, no cookies, and the proxies are chosen here, as botocore and curl do.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from importlib import import_module
from time import monotonic
from typing import Final

import anyio.to_thread

from asyncref.errors import AsyncrefError, InvalidURIError, OptionError, ProtocolError
from asyncref.net import wire
from asyncref.net.foreign import FOREIGN, ours_for
from asyncref.net.proxies import Detour, Proxy, proxy_of
from asyncref.net.response import Held, Pour, Response
from asyncref.net.settings import HttpSettings, ssl_context
from asyncref.net.wire import Origin

PAGE_BYTES: Final = 64 * 2**20
"""Longest answer that is read whole: a page of a listing takes a hundredth."""
_ERROR_BYTES: Final = 2**16
_PROXIED: Final = "asyncref.net.proxied"  # loaded when a proxy is in between: aiohttp takes 80 ms


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Way:
    """How a server is reached."""

    origin: Origin
    proxy: Proxy | None


@dataclass(slots=True)
class _Here:
    """What belongs to one loop of one process: connections of another loop, or of before a fork, are of no use."""

    loop: asyncio.AbstractEventLoop
    process: int
    wire: wire.WirePool
    detour: Detour | None = None


class HttpPool:
    """Connections to a storage, opened when first needed.

    Args:
        settings: How to reach it.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._here: _Here | None = None
        self._ways: dict[str, _Way] = {}
        self._context: ssl.SSLContext | None = None

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        uri: str,
        data: bytes | None = None,
        is_page: bool = False,
    ) -> _Exchange:
        """Send one request; its connection goes back to the pool on leaving the context.

        Used as `async with pool.request(...) as response`.

        Args:
            method: `GET`, `HEAD`, or `POST` where a token is asked for.
            url: Finished and encoded: sent as it stands.
            headers: As sent; `Accept-Encoding: identity` is added unless they hold one.
            uri: Whom it is for; for errors.
            data: The body to send.
            is_page: The answer is to be read whole, by `read`, and has to come at a pace; an object's may take its time.

        Raises:
            ConnectionFailedError: Nothing answered.
            BrokenBodyError: The answer began and did not end as it should.
            InvalidURIError: The URL or a header cannot be sent.
        """
        return _Exchange(self.send(method, url, headers, uri=uri, data=data, is_page=is_page))

    async def fetch(
        self, method: str, url: str, headers: Mapping[str, str], *, uri: str, data: bytes | None = None
    ) -> Reply:
        """Send one request and read its answer whole; raises as `request` does."""
        response = await self.send(method, url, headers, uri=uri, data=data, is_page=True)
        try:
            return Reply(response.status, response.headers, await self.read(response, url=url, uri=uri))
        finally:
            response.close()

    async def chunks(self, response: Response, *, url: str, uri: str) -> AsyncIterator[bytes]:
        """An answer's bytes as they come, each chunk at most 512 KiB; a body no longer than that in one.

        Raises:
            BrokenBodyError: They end before the announced length, or stall.
        """
        while True:
            try:
                chunk = await response.chunk()
            except FOREIGN as error:
                raise self._error(error, url=url, uri=uri) from error
            if not chunk:
                return
            yield chunk

    async def read(self, response: Response, *, url: str, uri: str, most_bytes: int = PAGE_BYTES) -> bytes:
        """The rest of an answer, whole.

        Raises:
            BrokenBodyError: It ends before the announced length, stalls, or comes at less than 1 KiB/s for too long.
            ProtocolError: It is longer than `most_bytes`.
        """
        body = await self._begun(response, most_bytes, url=url, uri=uri)
        if len(body) > most_bytes:
            where = wire.split_url(url)[0]
            raise ProtocolError(f"{where}: the answer is longer than {most_bytes:,} bytes", uri=uri)
        return body

    async def view(self, response: Response, *, url: str, uri: str) -> memoryview | bytes:
        """The rest of an answer, whole, where it lies if it can: until the answer is closed. Raises as `read` does."""
        try:
            lying = await response.whole()
        except FOREIGN as error:
            raise self._error(error, url=url, uri=uri) from error
        return await self.read(response, url=url, uri=uri) if lying is None else lying

    async def read_error(self, response: Response, *, url: str, uri: str) -> bytes:
        """What an answer of an error's status says, 64 KiB at most; the rest is left. Raises `BrokenBodyError` as `read` does."""
        return (await self._begun(response, _ERROR_BYTES, url=url, uri=uri))[:_ERROR_BYTES]

    async def _begun(self, response: Response, most_bytes: int, *, url: str, uri: str) -> bytes:
        """The rest of an answer up to its end, or beyond so many bytes."""
        pieces: list[bytes] = []
        size, began_s = 0, monotonic()
        try:
            while size <= most_bytes and (chunk := await response.chunk(min(wire.BUFFER_BYTES, most_bytes + 1))):
                pieces.append(chunk)
                size += len(chunk)
                # The wire counts by itself; aiohttp does not.
                if monotonic() - began_s > self._settings.idle_timeout_s + size / wire.LEAST_BYTES_PER_S:
                    raise wire.TrickleError(f"{size:,} bytes")
        except FOREIGN as error:
            raise self._error(error, url=url, uri=uri) from error
        return b"".join(pieces)  # of one piece: the same object

    async def read_into(self, response: Response, view: memoryview, *, url: str, uri: str) -> int:
        """Fill a view with an answer's next bytes, which are not copied on their way; see `wire.Response.read_into`.

        Returns:
            How many bytes it took: fewer than fit before the body's end, or before an error that the next call
            raises; 0 at the end.

        Raises:
            BrokenBodyError: They end before the announced length, or stall.
        """
        try:
            return await response.read_into(view)
        except FOREIGN as error:
            raise self._error(error, url=url, uri=uri) from error

    async def pour(self, way: Pour, file: int, offset: int, length: int, *, url: str, uri: str) -> int:
        """Move an answer's next bytes to an open file, by a thread; see `wire.Response.pour`.

        Args:
            way: The answer's `pour`.
            file: The file's descriptor.
            offset: Where in it.
            length: How many bytes.
            url: What was asked for.
            uri: Whom it is for.

        Returns:
            How many there are now: fewer than `length` before the body's end, or before an error that the next call raises.

        Raises:
            BrokenBodyError: They end before the announced length, or stall.
            OSError: The file cannot take them.
        """
        try:
            return await way(file, offset, length)
        except wire.WireError as error:
            raise self._error(error, url=url, uri=uri) from error

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        uri: str,
        data: bytes | None = None,
        is_page: bool = False,
    ) -> Response:
        """What `request` does on entry; whoever calls it has to `close` the response."""
        here = self._here
        if here is None or here.loop is not asyncio.get_running_loop() or here.process != os.getpid():
            here = self._here = self._open()
        place, target = wire.split_url(url)
        try:
            way = self._ways.get(place) or self._find_way(place)
            request = wire.request_of(
                method, target, way.origin.said, headers, user_agent=self._settings.user_agent, data=data
            )
        except ValueError as error:
            raise InvalidURIError(f"this cannot be asked for: {error}", uri=uri) from error
        try:
            if way.proxy is not None:
                detour = here.detour or await self._open_detour(here)
                return await detour.send(way.proxy, method, url, headers=headers, data=data)
            return await here.wire.send(
                way.origin,
                request,
                bodyless=method == "HEAD",
                is_repeatable=method in {"GET", "HEAD"},
                is_page=is_page,
            )
        except FOREIGN as error:
            raise self._error(error, url=url, uri=uri) from error

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        here, self._here = self._here, None
        if here is not None and here.loop is asyncio.get_running_loop() and here.process == os.getpid():
            await here.wire.aclose()
            if here.detour is not None:
                await here.detour.aclose()

    def _find_way(self, place: str) -> _Way:
        """Looked up once a server: reading the environment's proxies takes 20 µs."""
        origin = wire.origin_of(place)
        way = self._ways[place] = _Way(origin, proxy_of(self._settings.proxies, origin))
        return way

    def _error(self, error: BaseException, *, url: str, uri: str) -> AsyncrefError:
        """Our error for one of the wire's or the system's."""
        settings = self._settings
        return ours_for(
            error,
            server=wire.split_url(url)[0],
            uri=uri,
            connect_timeout_s=settings.connect_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )

    def _open(self) -> _Here:
        """Pools in this loop and process; those of another are dropped, not closed."""
        loop, settings = asyncio.get_running_loop(), self._settings
        made = wire.WirePool(
            loop,
            connections=settings.connections,
            connect_timeout_s=settings.connect_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            keepalive_s=settings.keepalive_s,
            tcp_keepalive=settings.tcp_keepalive,
            tls=self._trust,
        )
        return _Here(loop, os.getpid(), made)

    async def _trust(self) -> ssl.SSLContext:
        """The TLS context, made once, in a thread: reading the system's authorities takes 20 ms."""
        if self._context is None:
            try:
                self._context = await anyio.to_thread.run_sync(ssl_context, self._settings)
            except OSError as error:
                raise OptionError(f"verify or client_cert cannot be used: {error}") from error
        return self._context

    async def _open_detour(self, here: _Here) -> Detour:
        context = await self._trust()
        if here.detour is None:
            settings = self._settings
            here.detour = import_module(_PROXIED).Detour(
                context,
                connections=settings.connections,
                connect_timeout_s=settings.connect_timeout_s,
                idle_timeout_s=settings.idle_timeout_s,
                keepalive_s=settings.keepalive_s,
                tcp_keepalive=settings.tcp_keepalive,
                user_agent=settings.user_agent,
            )
        return here.detour


class _Exchange(Held):
    """One request as a context; a class, since a generator's takes 2 µs more."""

    __slots__ = ("_sending",)

    def __init__(self, sending: Coroutine[None, None, Response]) -> None:
        super().__init__()
        self._sending = sending

    async def __aenter__(self) -> Response:
        self._response = await self._sending
        return self._response
