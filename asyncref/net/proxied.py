"""Requests through a proxy, by aiohttp: its answers in the same shape as those of `asyncref.net.wire`."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yarl

from asyncref.net.wire import Headers, Origin

READ_BUFFER_BYTES: Final = 2**18
"""aiohttp's own bound is twice as much a connection."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and its password apart: in the URL aiohttp would show it in errors."""

    url: yarl.URL
    headers: Mapping[str, str]


def proxy_of(proxies: Mapping[str, str] | None, origin: Origin) -> Proxy | None:
    """The proxy for an origin, if any.

    Args:
        proxies: Proxy URLs by scheme; None reads the environment, which takes 20 µs.
        origin: Where requests go.
    """
    if proxies is None:
        proxies = getproxies()
        if not proxies or proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(origin.host):
            return None
    chosen = proxies.get("https" if origin.is_tls else "http") or proxies.get("all")
    if not chosen:
        return None
    url = yarl.URL(chosen if "://" in chosen else f"http://{chosen}")
    if url.user is None:
        return Proxy(url, {})
    pair = f"{url.user}:{url.password or ''}".encode()
    return Proxy(url.with_user(None), {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"})


class ProxiedResponse:
    """An answer that came through a proxy; see `wire.Response`."""

    __slots__ = ("_response", "_rest", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = Headers(
            (name.decode("utf-8", "surrogateescape").lower(), value.decode("utf-8", "surrogateescape"))
            for name, value in response.raw_headers
        )
        self._response = response
        self._rest = b""

    async def chunk(self, least: int = 0) -> bytes:
        """The next bytes of the body as they come; empty at its end."""
        del least
        rest, self._rest = self._rest, b""
        return rest or await self._response.content.readany()

    async def read_into(self, view: memoryview) -> int:
        """Fill a view with the next bytes of the body, fewer only before its end; how many it took."""
        filled = 0
        while filled < len(view) and (chunk := await self.chunk()):
            count = min(len(chunk), len(view) - filled)
            view[filled : filled + count] = chunk[:count]
            self._rest = chunk[count:]
            filled += count
        return filled

    def close(self) -> None:
        """Leave the answer. Idempotent."""
        self._response.release()


async def send(
    session: aiohttp.ClientSession,
    proxy: Proxy,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    data: bytes | None,
) -> ProxiedResponse:
    """Send one request through a proxy.

    Raises:
        aiohttp.ClientError: There is no answer.
        OSError: Nor this way.
    """
    own = proxy.headers
    if url.startswith("http:"):  # aiohttp sends `proxy_headers` with CONNECT only
        headers, own = {**headers, **own}, {}
    response = await session.request(
        method,
        yarl.URL(url, encoded=True),
        headers=headers,
        data=data,
        allow_redirects=False,
        proxy=proxy.url,
        proxy_headers=own,
    )
    return ProxiedResponse(response)


def new_session(
    context: ssl.SSLContext,
    *,
    connections: int,
    connect_timeout_s: float,
    idle_timeout_s: float,
    keepalive_s: float,
    tcp_keepalive: bool,
    user_agent: str,
) -> aiohttp.ClientSession:
    """A session that adds nothing of its own; `trust_env` would also send passwords from ~/.netrc."""
    connector = aiohttp.TCPConnector(
        limit=connections,
        ssl=context,
        keepalive_timeout=keepalive_s,
        ttl_dns_cache=60,
        socket_factory=_keepalive_socket if tcp_keepalive else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        skip_auto_headers=("Accept",),
        read_bufsize=READ_BUFFER_BYTES,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s),
    )


def _keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made
