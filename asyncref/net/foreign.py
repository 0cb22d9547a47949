"""Errors of the wire and of the system, turned into ours by one table."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from asyncref.errors import AsyncrefError, BrokenBodyError, ConnectionFailedError, SilentError
from asyncref.net import proxies, wire

_TLS_HINT: Final = "AWS_CA_BUNDLE or verify= names the authority to trust"
_PROXY_HINT: Final = "see HTTPS_PROXY and NO_PROXY"
FOREIGN: Final = (wire.WireError, OSError)

# The first class that fits decides; `{}` is what the error says.
_TABLE: Final[tuple[tuple[type[BaseException], type[AsyncrefError], str, str | None], ...]] = (
    (ssl.SSLCertVerificationError, ConnectionFailedError, "the server's certificate is not trusted: {}", _TLS_HINT),
    (ssl.SSLError, ConnectionFailedError, "TLS failed: {}", _TLS_HINT),
    (proxies.ProxySilentError, ConnectionFailedError, "the proxy does not answer: {}", _PROXY_HINT),
    (proxies.ProxyRefusedError, ConnectionFailedError, "the proxy refused: {}", _PROXY_HINT),
    (socket.gaierror, ConnectionFailedError, "the host is unknown: {}", None),
    (wire.ConnectTimeoutError, ConnectionFailedError, "no connection within {connect_timeout_s:g} s", None),
    (wire.SilenceError, SilentError, "nothing came for {idle_timeout_s:g} s", None),
    (wire.TrickleError, BrokenBodyError, "no more than {} came in {idle_timeout_s:g} s", None),
    (wire.CutShortError, BrokenBodyError, "the answer ended early: {}", None),
    (wire.ConnectError, ConnectionFailedError, "cannot connect: {}", None),
    (wire.NoAnswerError, ConnectionFailedError, "the server hung up without an answer", None),
    (wire.MalformedError, BrokenBodyError, "the answer is not HTTP: {}", None),
    (wire.WireError, ConnectionFailedError, "{}", None),
    (TimeoutError, ConnectionFailedError, "no answer in time", None),
    (OSError, ConnectionFailedError, "{}", None),
)


def ours_for(
    error: BaseException, *, server: str, uri: str, connect_timeout_s: float, idle_timeout_s: float
) -> AsyncrefError:
    """Our error for one of `FOREIGN`.

    Args:
        error: It.
        server: Whom was asked: scheme, host and port.
        uri: Whom it was for.
        connect_timeout_s: The bound, for the message.
        idle_timeout_s: Likewise.
    """
    for foreign, ours, message, hint in _TABLE:
        if isinstance(error, foreign):
            said = str(error) or type(error).__name__
            text = message.format(said, connect_timeout_s=connect_timeout_s, idle_timeout_s=idle_timeout_s)
            return ours(f"{server}: {text}", uri=uri, hint=hint)
    raise AssertionError(f"not a foreign error: {error!r}")


def is_unknown_host(error: AsyncrefError) -> bool:
    """Whether a pool's error says that there is no host of that name."""
    return isinstance(error.__cause__, socket.gaierror)


def is_untrusted(error: AsyncrefError) -> bool:
    """Whether a pool's error says that a certificate is not trusted."""
    return isinstance(error.__cause__, ssl.SSLCertVerificationError)
