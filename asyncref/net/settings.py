"""How servers are reached: what was chosen, and the TLS context that follows."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field


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


def ssl_context(settings: HttpSettings) -> ssl.SSLContext:
    """Whom to trust, and who one is. Blocks: it reads files.

    Raises:
        OSError: One cannot be read, or holds no certificate.
    """
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
