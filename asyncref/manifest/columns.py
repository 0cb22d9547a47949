"""Columns as buffers: hex, base64 and fixed-width text between Arrow and numpy, never row by row."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Column: TypeAlias = "pa.Array[Any]"
"""Any Arrow array (pyarrow generic only to type checkers)."""
Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]

_HEX_OF: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), "<u2")
# Two bytes a look-up: half the gathers of one byte each; the table of 256 KB stays in the second-level cache.
# Index: first byte + 256 * second byte, as a little-endian load gives it.
_HEX_OF_PAIR: Final = (_HEX_OF[:, None].astype("<u4") << np.uint32(16) | _HEX_OF[None, :]).reshape(-1).astype("<u4")
_BASE64: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_NIBBLE_OF: Final = np.zeros(256, np.uint8)
_NIBBLE_OF[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_SEXTET_OF: Final = np.zeros(256, np.uint8)
_SEXTET_OF[_BASE64] = np.arange(64, dtype=np.uint8)


def is_empty(column: Column) -> bool:
    """Whether every value is null. Constant time."""
    return bool(column.null_count == len(column))


def mask_of(booleans: Column) -> Mask:
    """A numpy mask of Arrow booleans; null counts as false."""
    return np.asarray(booleans.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def fixed_rows(column: Column) -> Bytes:
    """The values of a `binary(16)` column as a matrix (rows, 16), no copy; null rows hold anything."""
    data = column.buffers()[1]
    if data is None or not len(column):
        return np.zeros((len(column), 16), np.uint8)
    return np.frombuffer(data, np.uint8, 16 * len(column), 16 * column.offset).reshape(-1, 16)


def fixed_column(values: Bytes, valid: Mask | None = None) -> Column:
    """A `binary(16)` column of a matrix (rows, 16); null where `valid` is false."""
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [bits, data])


def text_column(chars: Bytes, like: Column | None = None) -> Column:
    """A string column of a matrix (rows, width) of ASCII; null where `like` is null."""
    rows, width = chars.shape
    ends = pa.py_buffer(np.arange(0, width * (rows + 1), width, dtype=np.int32) if width else np.zeros(rows + 1, "i4"))
    texts: Column = pa.StringArray.from_buffers(rows, ends, pa.py_buffer(np.ascontiguousarray(chars)))
    if like is None or like.null_count == 0:
        return texts
    return pc.if_else(like.is_valid(), texts, pa.scalar(None, pa.string()))


def text_rows(column: Column, width: int) -> Bytes:
    """The characters of a string column without nulls, all `width` bytes long, as a matrix; no copy."""
    ends, data = np.frombuffer(column.buffers()[1], np.int32), column.buffers()[2]
    start = int(ends[column.offset]) if len(column) else 0
    if data is None or not len(column):
        return np.zeros((len(column), width), np.uint8)
    return np.frombuffer(data, np.uint8, width * len(column), start).reshape(-1, width)


def hex_rows(values: Bytes) -> Bytes:
    """Lower-case hex: (rows, 16) bytes to (rows, 32) characters."""
    return _HEX_OF_PAIR[np.ascontiguousarray(values).view("<u2")].view(np.uint8).reshape(-1, 32)


def unhex_rows(chars: Bytes) -> Bytes:
    """The reverse of `hex_rows`."""
    nibbles = _NIBBLE_OF[chars]
    return (nibbles[:, 0::2] << 4 | nibbles[:, 1::2]).astype(np.uint8)


def base64_rows(values: Bytes) -> Bytes:
    """Base64 with padding: (rows, 16) bytes to (rows, 24) characters."""
    padded = np.zeros((len(values), 18), np.uint8)
    padded[:, :16] = values
    first, second, third = padded[:, 0::3], padded[:, 1::3], padded[:, 2::3]
    sextets = np.empty((len(values), 24), np.uint8)
    sextets[:, 0::4] = first >> 2
    sextets[:, 1::4] = (first & 3) << 4 | second >> 4
    sextets[:, 2::4] = (second & 15) << 2 | third >> 6
    sextets[:, 3::4] = third & 63
    chars = _BASE64[sextets]
    chars[:, 22:] = ord("=")
    return chars


def unbase64_rows(chars: Bytes) -> Bytes:
    """The reverse of `base64_rows`."""
    sextets = _SEXTET_OF[chars]
    sextets[:, 22:] = 0
    first, second, third, fourth = (sextets[:, column::4] for column in range(4))
    values = np.empty((len(chars), 18), np.uint8)
    values[:, 0::3] = first << 2 | second >> 4
    values[:, 1::3] = (second & 15) << 4 | third >> 2
    values[:, 2::3] = (third & 3) << 6 | fourth
    return values[:, :16]
