"""Escapes of URLs: what a typed URL means, what a name is called in one, and which path a URL stands for. Pure.

A key is the part of a URL behind `scheme://host/`, escaped as it is sent. A reference is therefore the URL
itself, as W&B has it; the path of an entry has no escapes.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_RESERVED: Final = "!#$&'()*+,/:;=?@[]~"
_SEGMENT: Final = "!$&'()*+,;=:@~"  # RFC 3986 §3.3: what a segment may hold besides the unreserved
_LEVELS: Final = 256
_LONGEST_CYCLE: Final = 4


def typed(key: str) -> str:
    """The key of a URL as a person typed it: escaped as `requests` does it, dot segments resolved.

    W&B stores what `requests` made of the URL, so the same is done here: escapes of unreserved characters are
    resolved, what needs an escape gets one, all else stays.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", key):
        escaped = quote(key, safe=_RESERVED)  # a bare % in it: none of them is an escape
    else:
        escaped = quote(_ESCAPE.sub(_resolved, key), safe=f"%{_RESERVED}")
    path, mark, query = escaped.partition("?")
    return f"{_without_dots(path)}{mark}{query}"


def _resolved(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0]


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4, for a path whose leading slash is not written."""
    kept: list[str] = []
    segments = path.split("/")
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment not in (".", ".."):
            kept.append(segment)
            continue
        if segment == ".." and kept:
            kept.pop()
        if last and kept:
            kept.append("")
    return "/".join(kept)


def name_of(segment: str) -> bytes:
    """The raw name that a path segment stands for."""
    return unquote_to_bytes(segment.encode(errors="surrogateescape"))


def escaped(name: str) -> str:
    """A name as one path segment."""
    return quote_from_bytes(name.encode(), safe=_SEGMENT)


def is_folder(key: str) -> bool:
    """Whether a key stands for a folder: the root, or what ends in `/`."""
    return not key or key.endswith("/")


def path_of(key: str) -> str:
    """The path that a key stands for: without escapes.

    Raises:
        ValueError: There is none: it would hold a NUL, a `/` within a name, or bytes that are not UTF-8.
    """
    if "%" not in key:
        return key
    path, mark, query = key.partition("?")
    names = [unquote_to_bytes(segment).decode() for segment in path.split("/")]
    if any("/" in name or "\0" in name for name in names):
        raise ValueError(key)
    return f"{'/'.join(names)}{mark}{query}"


def repeats(key: str, most: int) -> bool:
    """Whether a folder looks like a loop without end: the same few names more often in a row than `most`, or very deep.

    A server that follows a link to a parent serves `a/a/a/...` for ever, each under a URL of its own.
    """
    segments = key.rstrip("/").split("/")
    if len(segments) > _LEVELS:
        return True
    for length in range(1, _LONGEST_CYCLE + 1):
        tail = segments[-length * (most + 1) :]
        if len(tail) == length * (most + 1) and tail == tail[:length] * (most + 1):
            return True
    return False
