"""One pooled HTTP client: bytes as stored, no bound on a whole transfer, foreign errors mapped by one table.

Nothing of the environment is read behind one's back: aiohttp's `trust_env` would take proxies but also send
passwords from ~/.netrc, so it is off and the proxies are chosen here, as botocore and curl do.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio.to_thread
import yarl

from asyncref.errors import AsyncrefError, BrokenBodyError, ConnectionFailedError

_READ_BUFFER_BYTES: Final = 2**18  # fewer pauses than aiohttp's 64 KiB; times two is the bound a connection
_TLS_HINT: Final = "AWS_CA_BUNDLE or verify= names the authority to trust"

# The first class that fits decides; `{}` is what the error says.
_TABLE: Final[tuple[tuple[type[BaseException], type[AsyncrefError], str, str | None], ...]] = (
    (
        aiohttp.ClientConnectorCertificateError,
        ConnectionFailedError,
        "the server's certificate is not trusted: {}",
        _TLS_HINT,
    ),
    (aiohttp.ClientConnectorSSLError, ConnectionFailedError, "TLS failed: {}", _TLS_HINT),
    (
        aiohttp.ClientProxyConnectionError,
        ConnectionFailedError,
        "the proxy does not answer: {}",
        "see HTTPS_PROXY and NO_PROXY",
    ),
    (aiohttp.ClientHttpProxyError, ConnectionFailedError, "the proxy refused: {}", "see HTTPS_PROXY and NO_PROXY"),
    (aiohttp.ClientConnectorDNSError, ConnectionFailedError, "the host is unknown: {}", None),
    (aiohttp.ConnectionTimeoutError, ConnectionFailedError, "no connection within {connect_timeout_s:g} s", None),
    (aiohttp.ServerTimeoutError, BrokenBodyError, "nothing came for {idle_timeout_s:g} s", None),
    (aiohttp.ClientPayloadError, BrokenBodyError, "the answer ended early: {}", None),
    (aiohttp.ClientConnectorError, ConnectionFailedError, "cannot connect: {}", None),
    (aiohttp.ServerDisconnectedError, ConnectionFailedError, "the server hung up without an answer", None),
    (aiohttp.ClientResponseError, BrokenBodyError, "the answer is not HTTP: {}", None),
    (aiohttp.ClientError, ConnectionFailedError, "{}", None),
    (TimeoutError, ConnectionFailedError, "no answer in time", None),
    (OSError, ConnectionFailedError, "{}", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How to reach servers.

    Attributes:
        connections: Most connections at once.
        connect_timeout_s: Bound on establishing one.
        idle_timeout_s: Bound on silence.
        keepalive_s: How long an idle connection is kept.
        proxies: Proxy URLs by scheme of the request; None reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.
        verify: Whether to check certificates, or the file or folder of authorities.
        client_cert: A file with certificate and key, or a pair of files.
        tcp_keepalive: Ask the system to probe idle connections.
        user_agent: As sent.
    """

    connections: int = 128
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    keepalive_s: float = 12.0
    proxies: Mapping[str, str] | None = field(default=None, repr=False)  # may hold passwords
    verify: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    tcp_keepalive: bool = False
    user_agent: str = "asyncref"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpPool:
    """Connections to a storage, opened when first needed.

    Args:
        settings: How to reach it.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._opening: asyncio.Lock | None = None
        self._proxies: dict[yarl.URL, tuple[yarl.URL | None, dict[str, str]]] = {}

    @asynccontextmanager
    async def request(
        self, method: str, url: str, headers: Mapping[str, str], *, uri: str, data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request; its connection goes back to the pool on leaving the context.

        Args:
            method: `GET`, `HEAD`, or `POST` where a token is asked for.
            url: Finished and encoded: sent as it stands.
            headers: As sent; `Accept-Encoding: identity` is added unless they hold one.
            uri: Whom it is for; for errors.
            data: The body to send.

        Raises:
            ConnectionFailedError: Nothing answered.
            BrokenBodyError: The answer began and did not end as it should.
        """
        session = self._session
        if session is None or self._owner != (os.getpid(), asyncio.get_running_loop()):
            session = await self._open(url)
        target = yarl.URL(url, encoded=True)
        proxy, proxy_headers = self._proxy_for(target)
        if proxy_headers and target.scheme == "http":  # aiohttp sends `proxy_headers` with CONNECT only
            headers, proxy_headers = {**headers, **proxy_headers}, {}
        try:
            response = await session.request(
                method,
                target,
                headers=headers,
                data=data,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=proxy_headers,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(error, url=url, uri=uri) from error
        async with response:  # errors of the caller's own, such as a full disk, pass unchanged
            yield response

    async def fetch(
        self, method: str, url: str, headers: Mapping[str, str], *, uri: str, data: bytes | None = None
    ) -> Reply:
        """Send one request and read its answer whole; raises as `request` does."""
        async with self.request(method, url, headers, uri=uri, data=data) as response:
            try:
                return Reply(response.status, response.headers, await response.read())
            except (aiohttp.ClientError, OSError) as error:
                raise self._error(error, url=url, uri=uri) from error

    async def chunks(self, response: aiohttp.ClientResponse, *, url: str, uri: str) -> AsyncIterator[bytes]:
        """An answer's bytes as they come, each chunk at most twice the read buffer.

        Raises:
            BrokenBodyError: They end before the announced length, or stall.
        """
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(error, url=url, uri=uri) from error

    def _proxy_for(self, target: yarl.URL) -> tuple[yarl.URL | None, dict[str, str]]:
        """The proxy, looked up once an origin: reading the environment takes 20 µs."""
        origin = target.origin()
        if origin not in self._proxies:
            self._proxies[origin] = _proxy_of(self._settings.proxies, target)
        return self._proxies[origin]

    def _error(self, error: BaseException, *, url: str, uri: str) -> AsyncrefError:
        """Our error for one of aiohttp's or the system's."""
        settings = self._settings
        for foreign, ours, message, hint in _TABLE:
            if isinstance(error, foreign):
                said = str(error) or type(error).__name__
                text = message.format(
                    said, connect_timeout_s=settings.connect_timeout_s, idle_timeout_s=settings.idle_timeout_s
                )
                parts = urlsplit(url)
                return ours(f"{parts.scheme}://{parts.netloc}: {text}", uri=uri, hint=hint)
        raise AssertionError(f"not a foreign error: {error!r}")

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        session, self._session = self._session, None
        if session is not None and self._owner == (os.getpid(), asyncio.get_running_loop()):
            await session.close()

    async def _open(self, url: str) -> aiohttp.ClientSession:
        """Open the pool in this loop and process; one of another loop or of before a fork is dropped, not closed."""
        owner = (os.getpid(), asyncio.get_running_loop())
        if self._owner != owner:
            self._owner, self._session, self._opening = owner, None, asyncio.Lock()
        assert self._opening is not None
        async with self._opening:
            if self._session is None:
                context: ssl.SSLContext | bool = True
                if urlsplit(url).scheme == "https":
                    context = await anyio.to_thread.run_sync(_ssl_context, self._settings)
                self._session = self._new(context)
        return self._session

    def _new(self, context: ssl.SSLContext | bool) -> aiohttp.ClientSession:
        settings = self._settings
        connector = aiohttp.TCPConnector(
            limit=settings.connections,
            ssl=context,
            keepalive_timeout=settings.keepalive_s,
            ttl_dns_cache=60,
            socket_factory=_keepalive_socket if settings.tcp_keepalive else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            skip_auto_headers=("Accept",),
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.idle_timeout_s
            ),
        )


def _ssl_context(settings: HttpSettings) -> ssl.SSLContext:
    verify = settings.verify
    context = ssl.create_default_context()
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif isinstance(verify, str):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(**{"capath" if os.path.isdir(verify) else "cafile": verify})  # noqa: PTH112
    if settings.client_cert is not None:
        pair = settings.client_cert
        context.load_cert_chain(*((pair,) if isinstance(pair, str) else pair))
    return context


def _proxy_of(proxies: Mapping[str, str] | None, target: yarl.URL) -> tuple[yarl.URL | None, dict[str, str]]:
    """The proxy for a URL, and the header with its password: in the URL aiohttp would show it in errors."""
    if proxies is None:
        proxies = getproxies()
        host = target.host or ""
        if not proxies or proxy_bypass(f"{host}:{target.port}") or proxy_bypass(host):
            return None, {}
    chosen = proxies.get(target.scheme) or proxies.get("all")
    if not chosen:
        return None, {}
    url = yarl.URL(chosen if "://" in chosen else f"http://{chosen}")
    if url.user is None:
        return url, {}
    pair = f"{url.user}:{url.password or ''}".encode()
    return url.with_user(None), {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made
