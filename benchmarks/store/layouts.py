"""How the keys of a synthetic bucket are named: each layout gives sorted, distinct keys in chunks.

Every layout maps sorted random integers to text that keeps their order, so no list of strings is ever sorted
and 10,000,000 keys are named in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CHUNK_KEYS: Final = 200_000
PREFIX: Final = "data/"
_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint8).reshape(256, 2)
_SUFFIX_BITS: Final = np.uint64(32)
_HOURS: Final = 3 * 365 * 24
_HOT_USER: Final = 4242
_HOT_SHARE: Final = 0.9
# Accents, kana, full-width letters, then pictures and rare ideographs: UTF-16 order would differ from UTF-8's.
_GLYPHS: Final = sorted(
    [chr(0xE0 + step) for step in range(32)]
    + [chr(0x3042 + step) for step in range(32)]
    + [chr(0xFF21 + step) for step in range(26)]
    + [chr(0x1F300 + step) for step in range(80)]
    + [chr(0x20000 + step) for step in range(80)]
)
_MARKS: Final = sorted(f"{left}{mark}{right}" for left in "ax" for mark in " !#&'+,;<=>?%\"~é" for right in "bz")
_WORDS: Final = sorted(
    f"{start}{vowel}{end}_" for start in "bcdfglmnprstw" for vowel in "aeiou" for end in ("", "n", "rk")
)

Integers = npt.NDArray[np.uint64]
Render: TypeAlias = "Callable[[Integers], pa.Array[Any]]"


def matrix_column(matrix: npt.NDArray[np.uint8]) -> pa.Array[Any]:
    """Each row of bytes as one value of an Arrow binary column."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(matrix.tobytes())]
    )


def hex_column(raw: npt.NDArray[np.uint8]) -> pa.Array[Any]:
    """Lower-case hex of each row of bytes, as an Arrow binary column."""
    rows, width = raw.shape
    return matrix_column(_HEX[raw].reshape(rows, 2 * width))


def digits_column(numbers: npt.NDArray[np.uint64] | npt.NDArray[np.int64], width: int) -> pa.Array[Any]:
    """Decimal digits of each number, padded with zeros to `width`, as an Arrow binary column."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.uint64)
    return matrix_column(
        (numbers.astype(np.uint64)[:, None] // powers % np.uint64(10) + np.uint64(48)).astype(np.uint8)
    )


def join(*pieces: bytes | pa.Array[Any]) -> pa.Array[Any]:
    """Row by row, the pieces one after the other; constants are repeated."""
    typed: list[Any] = [pa.scalar(piece, pa.binary()) if isinstance(piece, bytes) else piece for piece in pieces]
    return cast("pa.Array[Any]", pc.binary_join_element_wise(*typed, pa.scalar(b"", pa.binary())))


def _hex_of(numbers: Integers, digits: int) -> pa.Array[Any]:
    raw = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    return hex_column(np.ascontiguousarray(raw[:, 8 - digits // 2 :]))


def _pick(values: list[str], indices: Integers) -> pa.Array[Any]:
    return pa.array(values, pa.string()).take(pa.array(indices, pa.uint64())).cast(pa.binary())


def _uuid(numbers: Integers) -> pa.Array[Any]:
    rows = len(numbers)
    low = np.random.default_rng(int(numbers[0])).integers(0, 2**64, rows, dtype=np.uint64)
    raw = np.empty((rows, 16), dtype=np.uint8)
    raw[:, :8] = numbers.astype(">u8").view(np.uint8).reshape(rows, 8)
    raw[:, 8:] = low.astype(">u8").view(np.uint8).reshape(rows, 8)
    digits = _HEX[raw].reshape(rows, 32)
    text = np.full((rows, 36), ord("-"), dtype=np.uint8)
    for start, stop, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        text[:, at : at + stop - start] = digits[:, start:stop]
    return join(b"data/", matrix_column(text))


def _counter(numbers: Integers) -> pa.Array[Any]:
    return join(b"data/img_", digits_column(numbers, 10), b".jpg")


def _dated(numbers: Integers) -> pa.Array[Any]:
    hours = np.datetime64("2022-01-01T00", "h") + (numbers >> _SUFFIX_BITS).astype("timedelta64[h]")
    text = np.datetime_as_string(hours, unit="h").astype("S13")
    matrix = text.view(np.uint8).reshape(len(numbers), 13).copy()
    matrix[:, [4, 7, 10]] = ord("/")
    return join(b"data/", matrix_column(matrix), b"/", _hex_of(numbers, 8), b".json")


def _hot(numbers: Integers) -> pa.Array[Any]:
    users = digits_column(numbers >> _SUFFIX_BITS, 4)
    return join(b"data/users/", users, b"/events/raw/year=2024/", _hex_of(numbers, 8), b".parquet")


def _astral(numbers: Integers) -> pa.Array[Any]:
    high = numbers >> _SUFFIX_BITS
    base = np.uint64(len(_GLYPHS))
    return join(b"data/", _pick(_GLYPHS, high // base), _pick(_GLYPHS, high % base), _hex_of(numbers, 8))


def _escapes(numbers: Integers) -> pa.Array[Any]:
    return join(b"data/", _pick(_MARKS, numbers >> _SUFFIX_BITS), _hex_of(numbers, 8), b".txt")


def _siblings(numbers: Integers) -> pa.Array[Any]:
    high = numbers >> _SUFFIX_BITS
    base = np.uint64(len(_WORDS))
    return join(b"data/all/", _pick(_WORDS, high // base), _pick(_WORDS, high % base), _hex_of(numbers, 8), b".png")


def _distinct(draw: Callable[[int], Integers], count: int) -> Integers:
    found = np.unique(draw(count))
    while len(found) < count:  # collisions are rare: a second draw nearly always ends this
        found = np.unique(np.concatenate([found, draw(count - len(found))]))
    return found


def _numbers(layout: str, count: int, seed: int) -> Integers:
    random = np.random.default_rng(seed)

    def suffix(rows: int) -> Integers:
        return random.integers(0, 2**32, rows, dtype=np.uint64)

    def above(most: int) -> Callable[[int], Integers]:
        return lambda rows: random.integers(0, most, rows, dtype=np.uint64) << _SUFFIX_BITS | suffix(rows)

    def growing(rows: int) -> Integers:
        hours = (_HOURS * np.sqrt(random.random(rows))).astype(np.uint64)
        return hours << _SUFFIX_BITS | suffix(rows)

    def one_hot(rows: int) -> Integers:
        users = random.integers(0, 10_000, rows, dtype=np.uint64)
        users[random.random(rows) < _HOT_SHARE] = _HOT_USER
        return users << _SUFFIX_BITS | suffix(rows)

    draws: dict[str, Callable[[int], Integers]] = {
        "uuid": lambda rows: random.integers(0, 2**64, rows, dtype=np.uint64),
        "dated": growing,
        "hot": one_hot,
        "astral": above(len(_GLYPHS) ** 2),
        "escapes": above(len(_MARKS)),
        "siblings": above(len(_WORDS) ** 2),
    }
    return _distinct(draws[layout], count) if layout in draws else np.arange(count, dtype=np.uint64)


_RENDERS: Final[dict[str, Render]] = {
    "uuid": _uuid,
    "counter": _counter,
    "dated": _dated,
    "hot": _hot,
    "astral": _astral,
    "siblings": _siblings,
    "deep": _counter,
    "escapes": _escapes,
}
LAYOUTS: Final = tuple(_RENDERS)
"""uuid: random; counter: zero-padded; dated: year/month/day/hour, growing; hot: 90% under one deep prefix;
astral: beyond the BMP; siblings: words in one folder; deep: counter, and one key has 100,000 versions;
escapes: characters that XML or URLs escape."""
NEEDS_URL_FORM: Final = frozenset({"astral", "escapes"})
"""Layouts whose keys look different under `encoding-type=url`."""


def key_chunks(layout: str, count: int, seed: int) -> Iterator[pa.Array[Any]]:
    """The keys in UTF-8 byte order, as Arrow binary columns of at most `CHUNK_KEYS` rows.

    Args:
        layout: One of `LAYOUTS`.
        count: Keys in all.
        seed: Same seed, same keys.
    """
    numbers = _numbers(layout, count, seed)
    for start in range(0, count, CHUNK_KEYS):
        yield _RENDERS[layout](numbers[start : start + CHUNK_KEYS])
