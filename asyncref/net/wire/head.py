"""The head of an answer: its status line, its headers, and how long the body is. Pure.

Nothing is guessed: where two readers could disagree about where a body ends (RFC 9112 §6.3, §11.2), it is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple, TypeVar, overload

from asyncref.net.wire.faults import MalformedError

HEAD_BYTES: Final = 2**16
"""Longest head, counted without interim answers; S3 sends 8 KiB at most."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: .*)?")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_BODYLESS: Final = frozenset({204, 304})
_NAMES_KEPT: Final = 1024
_SHOWN: Final = 40
T = TypeVar("T")

_names: dict[str, str] = {}  # names seen, in lower case: checking one by its pattern takes as long as all the rest


class Headers(Mapping[str, str]):
    """Headers by name in any case; of a repeated name the first value, and all by `getall`.

    Args:
        pairs: Names in lower case, and values.
    """

    __slots__ = ("_first", "_more")

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._first = dict(pairs)
        self._more: dict[str, list[str]] = {}
        if len(self._first) < len(pairs):
            self._first.clear()
            for name, value in pairs:
                if name in self._first:
                    self._more.setdefault(name, []).append(value)
                else:
                    self._first[name] = value

    def __getitem__(self, name: str) -> str:
        return self._first[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._first

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str | T, /) -> str | T: ...
    def get(self, name: str, default: object = None, /) -> object:
        """The first value; `default` if there is none."""
        return self._first.get(name.lower(), default)

    def getall(self, name: str, default: Iterable[str] = ()) -> list[str]:
        """Every value, in order."""
        lower = name.lower()
        if lower not in self._first:
            return list(default)
        return [self._first[lower], *self._more.get(lower, ())]


class Ends(Enum):
    """What ends a body."""

    LENGTH = 0
    CHUNKS = 1
    CLOSE = 2


class Head(NamedTuple):
    """What an answer says of itself.

    Attributes:
        status: Of three digits.
        headers: All of them.
        ends: What ends the body.
        length: Its bytes, if that is what ends it, else 0.
        keeps: Whether the connection may be used again.
    """

    status: int
    headers: Headers
    ends: Ends
    length: int
    keeps: bool


def parse_head(raw: bytes, *, bodyless: bool = False) -> Head:
    """Read a head, without the empty line that ends it; about 5 µs.

    Args:
        raw: Status line and headers.
        bodyless: Whether it answers a HEAD.

    Raises:
        MalformedError: It is none, or its body's end is not certain.
    """
    breaks = raw.count(b"\r\n")
    if raw.count(b"\n") != breaks or raw.count(b"\r") != breaks or b"\0" in raw:
        raise MalformedError("a head with a stray control character")
    first, *lines = raw.decode("utf-8", "surrogateescape").split("\r\n")  # a foreign byte goes back as it came
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise MalformedError(f"it begins with {first[:_SHOWN]!r}")
    headers = Headers(_pairs(lines))
    status, is_newer = int(found[2]), found[1] == "1"
    ends, length = Ends.LENGTH, 0
    if not bodyless and status not in _BODYLESS and status >= 200:  # noqa: PLR2004  1xx have no body
        ends, length = _framing(headers, is_newer=is_newer)
    elif bodyless and "transfer-encoding" not in headers:
        _length(headers)  # a client takes it for the size
    said = headers.get("connection", "").lower()
    keeps = ends is not Ends.CLOSE and ("close" not in said if is_newer else "keep-alive" in said)
    return Head(status, headers, ends, length, keeps)


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    """Names in lower case, and values; in one loop, since a call for each line takes as long as all the rest."""
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        lower = _names.get(name)
        if lower is None or not colon:
            lower = _lowered(name, colon, line)
        pairs.append((lower, value.strip(" \t")))
    return pairs


def _lowered(name: str, colon: str, line: str) -> str:
    """A name in lower case, remembered."""
    if not colon or not _TOKEN.fullmatch(name):  # a folded line begins with a space, which no name may hold
        raise MalformedError(f"a header line {line[:_SHOWN]!r}")
    lower = name.lower()
    if len(_names) < _NAMES_KEPT:
        _names[name] = lower
    return lower


def _framing(headers: Headers, *, is_newer: bool) -> tuple[Ends, int]:
    length = _length(headers)
    coding = headers.getall("transfer-encoding")
    if coding:
        if length is not None:
            raise MalformedError("both Transfer-Encoding and Content-Length")
        if not is_newer or [value.lower() for value in coding] != ["chunked"]:
            raise MalformedError(f"Transfer-Encoding {', '.join(coding)[:_SHOWN]!r}")
        return Ends.CHUNKS, 0
    return (Ends.CLOSE, 0) if length is None else (Ends.LENGTH, length)


def _length(headers: Headers) -> int | None:
    said = headers.get("content-length")
    if said is None:
        return None
    if not _LENGTH.fullmatch(said) or len(set(headers.getall("content-length"))) > 1:
        raise MalformedError(f"Content-Length {', '.join(headers.getall('content-length'))[:_SHOWN]!r}")
    return int(said)
