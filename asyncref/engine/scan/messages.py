"""Rows as bytes and back: the columns that hold anything, of several batches as if they were one.

A message is 64-bit integers, little-endian, then what they speak of: a bit for every column of `ENTRY_SCHEMA`, whether it
is there; the count of rows; and the bytes of each buffer of those that are, as Arrow has them: which values are there (none
where all are), where texts end, the values. Each buffer begins at a multiple of eight bytes.

The system joins the batches while it writes: to copy them together first, and that into an Arrow message, took a third of
what it takes to set rows aside. Arrow would also write zeros for columns without values, of which most storages have five.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from asyncref.manifest.columns import concat, nulls
from asyncref.model import ENTRY_SCHEMA

Piece: TypeAlias = bytes | pa.Buffer | memoryview
MOST_BATCHES: Final = 64
"""Of more batches, small ones therefore, each costs more to look at than to copy; a system also takes 1,024 pieces at most."""
_WORD: Final = 8
_PADDING: Final = bytes(_WORD)


def packed(batches: Sequence[pa.RecordBatch]) -> list[Piece]:
    """The pieces of a message, one behind the other.

    Args:
        batches: Rows of `ENTRY_SCHEMA`, one at least in each.
    """
    batches = [concat(batches)] if len(batches) > MOST_BATCHES else batches
    mask, lengths, pieces = 0, list[int](), list[Piece]()
    for at in range(len(ENTRY_SCHEMA)):
        columns = [batch.column(at) for batch in batches]
        if all(column.null_count == len(column) for column in columns):
            continue
        mask |= 1 << at
        for buffer in _joined(columns):
            length = sum(map(len, buffer))
            lengths.append(length)
            pieces += buffer
            if odd := length % _WORD:
                pieces.append(_PADDING[odd:])
    return [np.array([mask, sum(map(len, batches)), *lengths], "<i8").tobytes(), *pieces]


def unpacked(raw: pa.Buffer) -> pa.RecordBatch:
    """The rows of a message, without a copy of their values.

    Raises:
        ArrowInvalid: It is none.
    """
    words = np.frombuffer(raw, "<i8", len(raw) // _WORD)
    mask, rows = words[:2].tolist() if len(words) > 1 else (0, 0)
    if mask <= 0 or mask >> len(ENTRY_SCHEMA) or rows <= 0:
        raise pa.ArrowInvalid("no columns, or unknown ones")
    there = [field for at, field in enumerate(ENTRY_SCHEMA) if mask >> at & 1]
    count = sum(_buffers(field.type) for field in there)
    lengths = iter(words[2 : 2 + count].tolist())
    offset = _WORD * (2 + count)
    columns: list[pa.Array[Any]] = []
    for at, field in enumerate(ENTRY_SCHEMA):
        if not mask >> at & 1:
            columns.append(nulls(field.type, rows))
            continue
        buffers: list[pa.Buffer | None] = []
        for buffer in range(_buffers(field.type)):
            length = next(lengths, -1)
            if length < 0 or offset + length > len(raw):
                raise pa.ArrowInvalid("it is cut")
            buffers.append(raw.slice(offset, length) if buffer or length else None)
            offset += length + -length % _WORD
        columns.append(pa.Array.from_buffers(field.type, rows, buffers))
    return pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA)


def _buffers(kind: pa.DataType) -> int:
    return 3 if pa.types.is_string(kind) else 2


def _joined(columns: Sequence[pa.Array[Any]]) -> list[list[Piece]]:
    """The pieces of each of a column's buffers."""
    there = list[Piece]()
    if any(
        column.null_count for column in columns
    ):  # bits of one batch end within a byte: joined here, not by the system
        valid = np.concatenate([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
        there.append(np.packbits(valid, bitorder="little").data)
    if not pa.types.is_string(columns[0].type):
        width = columns[0].type.bit_width // 8
        values = [column.buffers()[1].slice(width * column.offset, width * len(column)) for column in columns]
        return [there, values]
    ends = np.zeros(sum(map(len, columns)) + 1, np.int32)
    texts: list[Piece] = []
    row = reached = 0
    for column in columns:
        _, offsets, text = column.buffers()
        own = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
        first, last = int(own[0]), int(own[-1])
        np.add(own[1:], reached - first, out=ends[row + 1 : row + 1 + len(column)])
        if last > first:
            texts.append(text.slice(first, last - first))
        row, reached = row + len(column), reached + last - first
    return [there, [ends.data.cast("B")], texts]
