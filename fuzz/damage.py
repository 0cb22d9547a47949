"""Damage to good inputs, as networks, servers and hands do it: pure, the same for the same random numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

_TOKENS: Final = re.compile(rb"<[^<>]*>|[\w\-:.+/]+|\s+|.", re.DOTALL)
_ODD: Final = (
    b"", b"\0", b"&amp;", b"&", b"&#0;", b"&#x41;", b"<", b">", b"</", b"<![CDATA[x]]>", b"<!-- -->", b'"', b"\\", b"%", b"%00", b"%2F", b"..", b"/",
    b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"-1", b"0", b"1e999", b"18446744073709551616", b"99999999999999999999999", b"null", b"true", b"[]",
    b"{}", b"NaN", b"9999-99-99T99:99:99Z", b"0001-01-01T00:00:00Z", b"</Contents>", b"<Contents>", b"<Key>", b"</Key>", b"items", b"\r\n", b"\r\n\r\n",
)  # fmt: skip


def damaged(good: Sequence[bytes], draw: random.Random, *, most: int = 3) -> bytes:
    """One of the inputs with a few damages, each of a kind of its own.

    Args:
        good: Inputs to start from, and to take pieces of.
        draw: Decides.
        most: Damages.
    """
    data = draw.choice(good)
    for _ in range(draw.randint(1, most)):
        data = draw.choice(_DAMAGES)(data, good, draw)
    return data


def _place(data: bytes, draw: random.Random) -> int:
    return draw.randint(0, len(data))


def _cut(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    return data[: _place(data, draw)]


def _flip(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    if not data:
        return data
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _drop(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    start, stop = sorted((_place(data, draw), _place(data, draw)))
    return data[:start] + data[stop:]


def _repeat(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    start, stop = sorted((_place(data, draw), _place(data, draw)))
    return data[:stop] + data[start:stop] + data[stop:]


def _splice(data: bytes, good: Sequence[bytes], draw: random.Random) -> bytes:
    other = draw.choice(good)
    return data[: _place(data, draw)] + other[_place(other, draw) :]


def _token(data: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    """Replace, drop, double or exchange whole tokens, so that the form around them stays."""
    tokens = _TOKENS.findall(data)
    if not tokens:
        return data
    one, other = draw.randrange(len(tokens)), draw.randrange(len(tokens))
    match draw.randrange(4):
        case 0:
            tokens[one] = draw.choice(_ODD)
        case 1:
            tokens[one] = tokens[other]
        case 2:
            tokens[one], tokens[other] = tokens[other], tokens[one]
        case _:
            tokens.insert(one, draw.choice((tokens[other], draw.choice(_ODD))))
    return b"".join(tokens)


_DAMAGES: Final[tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...]] = (
    _cut, _flip, _drop, _repeat, _splice, _token, _token, _token, _token,
)  # fmt: skip
