"""Storage options of HTTP servers: who asks, what is sent with it, whom to trust. Unknown ones are refused by name."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncref.errors import OptionError
from asyncref.model import Limits
from asyncref.net.settings import HttpSettings

_KNOWN: Final = (
    "username",
    "password",
    "token",
    "headers",
    "verify",
    "client_cert",
    "proxies",
    "user_agent",
    "folder_repeats",
)
_FOLDER_REPEATS: Final = 7
_SECRET: Final = ("username", "password", "token", "headers", "client_cert")
_OWN_HEADERS: Final = frozenset(
    {"range", "if-match", "if-unmodified-since", "accept-encoding", "host", "content-length"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How to ask one server.

    Attributes:
        http: The pool's settings.
        headers: Sent to this server and to no other: credentials and the caller's own.
        concurrency: Requests in flight.
        folder_repeats: How often the same few folder names may follow each other in a path.
    """

    http: HttpSettings
    headers: Mapping[str, str] = field(repr=False)
    concurrency: int
    folder_repeats: int


def read_settings(options: Mapping[str, Any], limits: Limits, *, origin: str, concurrency: int) -> WebSettings:
    """Read the options for one server.

    Args:
        options: `username` and `password`, or `token` (a bearer's); `headers`; `verify` (False, or the file or folder
            of authorities); `client_cert` (a file, or certificate and key); `proxies`; `user_agent`; `folder_repeats` (7: how often the
            same few folder names may follow each other until that is a loop). Under a key such as `https://host` stand
            options for that server alone, which win.
        limits: Timeouts and concurrency.
        origin: `scheme://host[:port]`.
        concurrency: Requests in flight if `limits` names none.

    Raises:
        OptionError: Unknown, malformed or contradicting.
    """
    chosen = options_for(options, origin)
    for name in chosen:
        if name not in _KNOWN:
            raise OptionError(
                f"unknown storage option {name!r} for HTTP", uri=f"{origin}/", hint=f"known are {', '.join(_KNOWN)}"
            )
    most = limits.concurrency or concurrency
    http = HttpSettings(
        connections=2 * most,
        connect_timeout_s=limits.connect_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
        proxies=chosen.get("proxies"),
        verify=_verify(chosen, origin),
        client_cert=_client_cert(chosen, origin),
        user_agent=str(chosen.get("user_agent", "asyncref")),
    )
    return WebSettings(
        http=http, headers=_headers(chosen, origin), concurrency=most, folder_repeats=_repeats(chosen, origin)
    )


def options_for(options: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The options of one server: those for all, then those under its own key."""
    common = {name: value for name, value in options.items() if "://" not in name and value is not None}
    own: Any = next((value for name, value in options.items() if name.rstrip("/").lower() == origin), {})
    if not isinstance(own, Mapping):
        raise OptionError(f"the option {origin!r} has to hold options of its own", uri=f"{origin}/")
    return common | dict(own)


def shown(options: Mapping[str, Any], origin: str) -> str:
    """What tells one server who asks, in words and never what it is; empty: nothing does."""
    chosen = options_for(options, origin)
    given = [name for name in _SECRET if chosen.get(name) is not None]
    return f"storage_options ({', '.join(given)})" if given else ""


def has_secrets(options: Mapping[str, Any]) -> bool:
    """Whether options that hold for every server hold a secret."""
    return any(options.get(name) is not None for name in _SECRET)


def _headers(chosen: Mapping[str, Any], origin: str) -> dict[str, str]:
    given = chosen.get("headers", {})
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise OptionError("headers has to map names to texts", uri=f"{origin}/")
    headers = {name.lower(): value for name, value in given.items()}
    for name, value in headers.items():
        if name in _OWN_HEADERS:
            raise OptionError(f"the header {name!r} is asyncref's own", uri=f"{origin}/")
        if set("\r\n\0") & set(name + value):
            raise OptionError(f"the header {name!r} holds a line end", uri=f"{origin}/")
    user, password, token = chosen.get("username"), chosen.get("password"), chosen.get("token")
    if token is not None and (user is not None or password is not None):
        raise OptionError("token and username exclude each other", uri=f"{origin}/")
    if password is not None and user is None:
        raise OptionError("a password without a username", uri=f"{origin}/")
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    elif user is not None:
        pair = f"{user}:{password or ''}".encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers


def _repeats(chosen: Mapping[str, Any], origin: str) -> int:
    given = chosen.get("folder_repeats", _FOLDER_REPEATS)
    if not isinstance(given, int) or given < 1:
        raise OptionError("folder_repeats has to be a whole number from 1 on", uri=f"{origin}/")
    return given


def _verify(chosen: Mapping[str, Any], origin: str) -> bool | str:
    verify = chosen.get("verify", True)
    if isinstance(verify, bool):
        return verify
    return _existing(verify, "verify", origin)


def _client_cert(chosen: Mapping[str, Any], origin: str) -> str | tuple[str, str] | None:
    given = chosen.get("client_cert")
    if given is None:
        return None
    if isinstance(given, (list, tuple)):
        if len(given) != 2:  # noqa: PLR2004  certificate and key
            raise OptionError("client_cert is a file, or a pair of certificate and key", uri=f"{origin}/")
        return _existing(given[0], "client_cert", origin), _existing(given[1], "client_cert", origin)
    return _existing(given, "client_cert", origin)


def _existing(path: Any, name: str, origin: str) -> str:
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"{name} has to be a path", uri=f"{origin}/")
    text = os.fspath(path)
    if not os.path.exists(text):  # noqa: PTH110  a text is wanted
        raise OptionError(f"{name}: no such file {text!r}", uri=f"{origin}/")
    return text
