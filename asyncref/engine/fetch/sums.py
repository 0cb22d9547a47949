"""Checksums by name: of bytes as they come, of parts of a file in several threads, and of a whole from its parts.

CRCs combine: from those of two parts and the second's length follows that of both (as zlib's `crc32_combine`). Appending a
zero byte to a message multiplies its CRC by x^8 modulo the polynomial, so appending n takes log n multiplications.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

_POLYNOMIALS: Final = {  # bits reversed: the lowest bit is the highest power below the CRC's own
    "crc32": 0xEDB88320,
    "crc32c": 0x82F63B78,
    "crc64nvme": 0x9A6C9329AC4BC9B5,
}
_LENGTHS: Final = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64, "crc32": 4, "crc32c": 4, "crc64nvme": 8}
_PIECE_BYTES: Final = 2**18  # for libraries that hold the GIL, or take nothing but `bytes`
Extend = Callable[[Any, int], int]
"""The CRC of what came before and further bytes, from those bytes and that CRC."""


class Sum(Protocol):
    """A running checksum."""

    def update(self, data: Any, /) -> None:
        """Take further bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class _Crc:
    def __init__(self, extend: Extend, length: int) -> None:
        self._extend = extend
        self._length = length
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._length, "big")


def can_sum(algorithm: str) -> bool:
    """Whether this machine computes it: crc32c where google-crc32c is installed, crc64nvme where awscrt is."""
    return algorithm in _LENGTHS and (algorithm not in _POLYNOMIALS or _extender(algorithm) is not None)


def length_of(algorithm: str) -> int:
    """Bytes of its value."""
    return _LENGTHS[algorithm]


def combines(algorithm: str) -> bool:
    """Whether the whole's follows from its parts'."""
    return algorithm in _POLYNOMIALS


def new_sum(algorithm: str) -> Sum:
    """A checksum of nothing yet; `can_sum` has to hold."""
    if algorithm not in _POLYNOMIALS:
        return hashlib.new(algorithm, usedforsecurity=False)
    extend = _extender(algorithm)
    assert extend is not None
    return _Crc(extend, _LENGTHS[algorithm])


def combined(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The whole's CRC.

    Args:
        algorithm: One of those that combine.
        parts: CRC (big-endian) and length in bytes of each, in order.
    """
    field = _Field(_POLYNOMIALS[algorithm], 8 * _LENGTHS[algorithm])
    whole = 0
    for digest, length in parts:
        whole = field.times(whole, field.x_to_8n(length)) ^ int.from_bytes(digest, "big")
    return whole.to_bytes(_LENGTHS[algorithm], "big")


class _Field:
    """Polynomials over GF(2) modulo a CRC's own, bits reversed."""

    def __init__(self, polynomial: int, bits: int) -> None:
        self._polynomial = polynomial
        self._one = 1 << bits - 1
        self._all = (1 << bits) - 1
        self._known: dict[int, int] = {}

    def times(self, one: int, other: int) -> int:
        """The product of two."""
        product = 0
        while one:
            if one & self._one:
                product ^= other
            one = one << 1 & self._all
            other = other >> 1 ^ (self._polynomial if other & 1 else 0)
        return product

    def x_to_8n(self, count: int) -> int:
        """x^(8 n); parts of one object have two lengths at most."""
        if count not in self._known:
            power, square, left = self._one, self._one >> 8, count
            while left:
                if left & 1:
                    power = self.times(power, square)
                square = self.times(square, square)
                left >>= 1
            self._known[count] = power
        return self._known[count]


@cache
def _extender(algorithm: str) -> Extend | None:
    """An implementation by the processor's own instructions; in Python it would run at 5 MB/s. None where there is none."""
    if algorithm == "crc32":
        return zlib.crc32
    if algorithm == "crc32c":
        module = _imported("google_crc32c")
        if module is None or module.implementation != "c":
            return None
        extend: Callable[[int, bytes], int] = module.extend
        copying = _in_pieces(lambda piece, before: extend(before, bytes(piece)))
        return lambda data, before: extend(before, data) if isinstance(data, bytes) else copying(data, before)
    module = _imported("awscrt.checksums")
    found: Extend | None = getattr(module, "crc64nvme", None)
    return None if found is None else _in_pieces(found)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _in_pieces(extend: Extend) -> Extend:
    def of_any(data: Any, before: int) -> int:
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            before = extend(view[start : start + _PIECE_BYTES], before)
        return before

    return of_any
