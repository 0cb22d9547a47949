"""Columns as buffers: hex, base64 and fixed-width text between Arrow and numpy, never row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

Column: TypeAlias = "pa.Array[Any]"
"""Any Arrow array (pyarrow generic only to type checkers)."""
Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]

pc: Final[Any] = pyarrow.compute
"""Arrow's kernels, untyped: the stubs know fewer kinds of argument than the kernels take."""

_HEX_OF: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), "<u2")
# Two bytes a look-up: half the gathers of one byte each; the table of 256 KB stays in the second-level cache.
# Index: first byte + 256 * second byte, as a little-endian load gives it.
_HEX_OF_PAIR: Final = (_HEX_OF[:, None].astype("<u4") << np.uint32(16) | _HEX_OF[None, :]).reshape(-1).astype("<u4")
_BASE64: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_NIBBLE_OF: Final = np.zeros(256, np.uint8)
_NIBBLE_OF[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


_NULLS: Final[dict[pa.DataType, Column]] = {}
_RESERVE_LEAST, _RESERVE_MOST = 4096, 65_536  # rows


def nulls(kind: pa.DataType, count: int) -> Column:
    """A null column; up to 65,536 rows a slice of one made before, since Arrow clears room for the values, too."""
    if count > _RESERVE_MOST:
        return pa.nulls(count, kind)
    reserve = _NULLS.get(kind)
    if reserve is None or len(reserve) < count:
        reserve = _NULLS[kind] = pa.nulls(max(_RESERVE_LEAST, 1 << (count - 1).bit_length()), kind)
    return reserve.slice(0, count)


def concat(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of several of one schema; of one, itself.

    Columns without values are not copied: of most rows they are six of eleven, a third of the bytes. The others are in one
    call: each lets other threads run, who then have to be waited for.
    """
    if len(batches) == 1:
        return batches[0]
    schema, rows = batches[0].schema, sum(map(len, batches))
    there = [at for at in range(len(schema)) if not all(is_empty(batch.column(at)) for batch in batches)]
    joined = iter(pa.concat_batches([batch.select(there) for batch in batches]).columns)
    columns = [next(joined) if at in there else nulls(field.type, rows) for at, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def is_empty(column: Column) -> bool:
    """Whether every value is null. Constant time."""
    return bool(column.null_count == len(column))


def mask_of(booleans: Column) -> Mask:
    """A numpy mask of Arrow booleans; null counts as false."""
    return np.asarray(booleans.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def fixed_rows(column: Column) -> Bytes:
    """The values of a `binary(16)` column as a matrix (rows, 16), no copy; null rows hold anything."""
    if not len(column):
        return np.zeros((0, 16), np.uint8)
    values: Bytes = np.frombuffer(_buffer(column, 1), np.uint8, 16 * len(column), 16 * column.offset)
    return values.reshape(-1, 16)


def fixed_column(values: Bytes, valid: Mask | None = None) -> Column:
    """A `binary(16)` column of a matrix (rows, 16); null where `valid` is false."""
    bits = None if valid is None else _arrow_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [bits, _arrow_buffer(values)])


def text_column(chars: Bytes, like: Column | None = None) -> Column:
    """A string column of a matrix (rows, width) of ASCII; null where `like` is null."""
    rows, width = chars.shape
    ends = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    texts: Column = pa.StringArray.from_buffers(rows, _arrow_buffer(ends), _arrow_buffer(chars))
    if like is None or like.null_count == 0:
        return texts
    found: Column = pc.if_else(like.is_valid(), texts, pa.scalar(None, pa.string()))
    return found


def text_ends(column: Column) -> npt.NDArray[np.int32]:
    """Where each value of a string column ends in its buffer, after where the first one starts; no copy."""
    if not len(column):
        return np.zeros(1, np.int32)
    return np.frombuffer(_buffer(column, 1), np.int32, len(column) + 1, 4 * column.offset)


def text_bytes(column: Column) -> memoryview:
    """All characters of a string column without nulls, one after another; no copy."""
    ends = text_ends(column)
    return _buffer(column, 2)[int(ends[0]) : int(ends[-1])]


def fixed_bytes(column: Column) -> memoryview:
    """All bytes of a column of fixed width without nulls; no copy."""
    width = column.type.bit_width // 8
    return _buffer(column, 1)[width * column.offset : width * (column.offset + len(column))]


def text_rows(column: Column, width: int) -> Bytes:
    """The characters of a string column without nulls, all `width` bytes long, as a matrix; no copy."""
    chars: Bytes = np.frombuffer(text_bytes(column), np.uint8)
    return chars.reshape(-1, width)


def _buffer(column: Column, number: int) -> memoryview:
    found: Any = column.buffers()[number]
    return memoryview(found) if found is not None else memoryview(b"")


def _arrow_buffer(values: Any) -> pa.Buffer:
    contiguous: Any = np.ascontiguousarray(values)
    return pa.py_buffer(contiguous)


def hex_rows(values: Bytes) -> Bytes:
    """Lower-case hex: (rows, 16) bytes to (rows, 32) characters."""
    chars: Bytes = _HEX_OF_PAIR[np.ascontiguousarray(values).view("<u2")].view(np.uint8)
    return chars.reshape(-1, 32)


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
