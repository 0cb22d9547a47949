"""Requests through a proxy, by aiohttp: its answers and errors in the same shape as those of `asyncref.net.wire`.

Loaded where there is a proxy: aiohttp takes 80 ms.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import aiohttp
import yarl

from asyncref.net import wire
from asyncref.net.proxies import Proxy, ProxyRefusedError, ProxySilentError

READ_BUFFER_BYTES: Final = 2**18
"""aiohttp's own bound is twice as much a connection."""
# aiohttp's words hold the URL with its query: `ClientResponseError.__str__`, `InvalidURL.__init__`.
_TELLS_URL: Final = (aiohttp.ClientResponseError, aiohttp.InvalidURL)
# The first class that fits decides; those that the system raises as well are its own and stay as they are.
_TABLE: Final[tuple[tuple[type[BaseException], type[wire.WireError] | None], ...]] = (
    (ssl.SSLError, None),
    (aiohttp.ClientProxyConnectionError, ProxySilentError),
    (aiohttp.ClientHttpProxyError, ProxyRefusedError),
    (aiohttp.ConnectionTimeoutError, wire.ConnectTimeoutError),
    (aiohttp.ServerTimeoutError, wire.SilenceError),
    (aiohttp.ClientPayloadError, wire.CutShortError),
    (aiohttp.ClientConnectorError, wire.ConnectError),
    (aiohttp.ServerDisconnectedError, wire.NoAnswerError),
    (aiohttp.ClientResponseError, wire.MalformedError),
    (aiohttp.ClientError, wire.WireError),
)


class ProxiedResponse:
    """An answer that came through a proxy; see `wire.Response`."""

    __slots__ = ("_response", "_rest", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = wire.Headers(
            [
                (name.decode("utf-8", "surrogateescape").lower(), value.decode("utf-8", "surrogateescape"))
                for name, value in response.raw_headers
            ]
        )
        self._response = response
        self._rest = b""

    async def chunk(self, least: int = 0) -> bytes:
        """The next bytes of the body as they come; empty at its end."""
        del least
        rest, self._rest = self._rest, b""
        if rest:
            return rest
        with _as_the_wires():
            return await self._response.content.readany()

    async def whole(self) -> memoryview | None:
        """None: it lies nowhere as a whole."""
        return None

    async def read_into(self, view: memoryview) -> int:
        """Fill a view with the next bytes of the body, fewer only before its end; how many it took."""
        filled = 0
        while filled < len(view) and (chunk := await self.chunk()):
            count = min(len(chunk), len(view) - filled)
            view[filled : filled + count] = chunk[:count]
            self._rest = chunk[count:]
            filled += count
        return filled

    @property
    def pour(self) -> None:
        """None: aiohttp has the socket."""

    def close(self) -> None:
        """Leave the answer. Idempotent."""
        self._response.release()


class Detour:
    """A session that adds nothing of its own; `trust_env` would also send passwords from ~/.netrc."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        connections: int,
        connect_timeout_s: float,
        idle_timeout_s: float,
        keepalive_s: float,
        tcp_keepalive: bool,
        user_agent: str,
    ) -> None:
        connector = aiohttp.TCPConnector(
            limit=connections,
            ssl=context,
            keepalive_timeout=keepalive_s,
            ttl_dns_cache=60,
            socket_factory=_keepalive_socket if tcp_keepalive else None,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
            skip_auto_headers=("Accept",),
            read_bufsize=READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s),
        )

    async def send(
        self, proxy: Proxy, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None
    ) -> ProxiedResponse:
        """Send one request through a proxy.

        Raises:
            WireError: There is no answer.
            OSError: Nor this way.
        """
        own = proxy.headers
        if url.startswith("http:"):  # aiohttp sends `proxy_headers` with CONNECT only
            headers, own = {**headers, **own}, {}
        with _as_the_wires():
            response = await self._session.request(
                method,
                yarl.URL(url, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
                proxy=yarl.URL(proxy.url),
                proxy_headers=own,
            )
        return ProxiedResponse(response)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()


@contextmanager
def _as_the_wires() -> Iterator[None]:
    """Raise the wire's error, or the system's, in the place of aiohttp's."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError as error:
        raise socket.gaierror(str(error.os_error)) from error
    except aiohttp.ClientError as error:
        ours = next(ours for foreign, ours in _TABLE if isinstance(error, foreign))
        if ours is None:
            raise
        cause = None if isinstance(error, _TELLS_URL) else error  # a traceback shows it, and a URL may be signed
        raise ours(_said(error)) from cause


def _said(error: aiohttp.ClientError) -> str:
    """What an error says, without the URL."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.message} (status {error.status})"
    if isinstance(error, aiohttp.InvalidURL):
        return "a URL that cannot be asked for"
    return str(error) or type(error).__name__


def _keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made
