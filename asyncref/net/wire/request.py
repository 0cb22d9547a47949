"""What goes out: the request as bytes."""

from __future__ import annotations

from collections.abc import Mapping

_UNSAFE = frozenset(map(chr, range(0x21))) | {"\x7f"}


def request_of(
    method: str, target: str, host: str, headers: Mapping[str, str], *, user_agent: str, data: bytes | None = None
) -> bytes:
    """A request's head and body; about 3 µs.

    Args:
        method: Such as `GET`.
        target: Path and query, encoded.
        host: For the Host header.
        headers: Sent as given. Host, User-Agent and `Accept-Encoding: identity` are added where they are not.
        user_agent: Who asks.
        data: The body.

    Raises:
        ValueError: A header or the target holds what would end it early.
    """
    given = set(map(str.lower, headers))
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {user_agent}")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    if data is not None:
        lines.append(f"Content-Length: {len(data)}")
    text = "\r\n".join([*lines, "", ""])
    breaks = len(lines) + 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError("a line break or NUL in a header or URL")
    if not (target.isprintable() and " " not in target) and not _UNSAFE.isdisjoint(target):  # the first looks faster
        raise ValueError("a space or control character in a URL")
    raw = text.encode("utf-8", "surrogateescape")
    return raw if data is None else raw + data
