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

_POLYNOMIALS: Final = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78}  # bits reversed: the lowest bit is x^31
_LENGTHS: Final = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64, "crc32": 4, "crc32c": 4}
_COPIED_BYTES: Final = 2**18
_ONE: Final = 1 << 31
_X_TO_8: Final = _ONE >> 8


class Sum(Protocol):
    """A running checksum."""

    def update(self, data: Any, /) -> None:
        """Take further bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class _Crc:
    def __init__(self, extend: Callable[[Any, int], int]) -> None:
        self._extend = extend
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def can_sum(algorithm: str) -> bool:
    """Whether this machine computes it: all but crc64nvme and the like, crc32c where google-crc32c is installed."""
    return algorithm in _LENGTHS and (algorithm != "crc32c" or _crc32c() is not None)


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
    extend = zlib.crc32 if algorithm == "crc32" else _crc32c()
    assert extend is not None
    return _Crc(extend)


def combined(algorithm: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The whole's CRC.

    Args:
        algorithm: `crc32` or `crc32c`.
        parts: CRC (4 bytes, big-endian) and length in bytes of each, in order.
    """
    polynomial = _POLYNOMIALS[algorithm]
    whole = 0
    for digest, length in parts:
        whole = _times(polynomial, whole, _x_to_8n(polynomial, length)) ^ int.from_bytes(digest, "big")
    return whole.to_bytes(4, "big")


def _times(polynomial: int, one: int, other: int) -> int:
    """The product of two polynomials over GF(2), modulo a third."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = one << 1 & 0xFFFFFFFF
        other = other >> 1 ^ (polynomial if other & 1 else 0)
    return product


@cache
def _x_to_8n(polynomial: int, count: int) -> int:
    """x^(8 n) modulo a polynomial; parts of one object have two lengths at most."""
    power, square = _ONE, _X_TO_8
    while count:
        if count & 1:
            power = _times(polynomial, power, square)
        square = _times(polynomial, square, square)
        count >>= 1
    return power


@cache
def _crc32c() -> Callable[[Any, int], int] | None:
    """Google's C implementation, by the processor's own instruction; in Python it would run at 5 MB/s."""
    try:
        module = import_module("google_crc32c")
    except ImportError:
        return None
    if module.implementation != "c":
        return None
    extend: Callable[[int, bytes], int] = module.extend

    def of_any(data: Any, before: int) -> int:
        if isinstance(data, bytes):
            return extend(before, data)
        view = memoryview(data)  # the library takes `bytes` only
        for start in range(0, len(view), _COPIED_BYTES):
            before = extend(before, bytes(view[start : start + _COPIED_BYTES]))
        return before

    return of_any
