"""Which proxy stands before a server, and what goes wrong with it; `asyncref.net.proxied` sends through one."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from asyncref.net.response import Response
from asyncref.net.wire import Origin, WireError


class ProxySilentError(WireError):
    """The proxy does not answer."""


class ProxyRefusedError(WireError):
    """The proxy answered that it will not."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and its password apart: within the URL it would be shown in errors."""

    url: str
    headers: Mapping[str, str]


class Detour(Protocol):
    """A session through proxies; see `proxied.Detour`."""

    async def send(
        self, proxy: Proxy, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None
    ) -> Response:
        """Send one request."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


def proxy_of(proxies: Mapping[str, str] | None, origin: Origin) -> Proxy | None:
    """The proxy for an origin, if any.

    Args:
        proxies: Proxy URLs by scheme; None reads the environment, which takes 20 µs.
        origin: Where requests go.

    Raises:
        ValueError: Its URL is none.
    """
    if proxies is None:
        proxies = getproxies()
        if not proxies or proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(origin.host):
            return None
    chosen = proxies.get("https" if origin.is_tls else "http") or proxies.get("all")
    if not chosen:
        return None
    try:
        url = urlsplit(chosen if "://" in chosen else f"http://{chosen}")
        is_usable = bool(url.hostname) and url.port != 0
    except ValueError:  # its words hold what stands before a `/`, `?` or `#` in a password
        is_usable = False
    if not is_usable:
        raise ValueError(
            "a proxy's URL without a host or port, or with a password of characters that have to be %-encoded"
        )
    if url.username is None:
        return Proxy(url.geturl(), {})
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    bare = url._replace(netloc=url.netloc.rpartition("@")[2])
    return Proxy(bare.geturl(), {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"})
