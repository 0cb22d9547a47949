"""Rows set aside: several batches come back as one, whatever is in them, and bytes that are no message are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.scan.messages import MOST_BATCHES, packed, unpacked
from asyncref.model import ENTRY_SCHEMA

_VALUES = {
    pa.string(): st.text(max_size=5),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.binary(16): st.binary(min_size=16, max_size=16),
    pa.timestamp("us", tz="UTC"): st.datetimes(
        datetime(1, 1, 2),  # noqa: DTZ001  the strategy's own bounds
        datetime(9999, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """A slice of rows: some columns without a value, some with some, some with all."""
    rows, start = draw(st.integers(1, 9)), draw(st.integers(0, 9))
    columns = []
    for field in ENTRY_SCHEMA:
        values = _VALUES[field.type]
        filled = st.none() if field.nullable and draw(st.booleans()) else values
        if field.nullable and draw(st.booleans()):
            filled = st.none() | values
        column = draw(st.lists(filled, min_size=rows + start, max_size=rows + start))
        columns.append(pa.array(column, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA).slice(start)


def message(parts: list[pa.RecordBatch]) -> pa.Buffer:
    return pa.py_buffer(b"".join(bytes(memoryview(piece)) for piece in packed(parts)))


@settings(max_examples=200, deadline=None)
@given(st.lists(batches(), min_size=1, max_size=4), st.sampled_from([1, MOST_BATCHES]))
def test_batches_come_back_as_one(parts: list[pa.RecordBatch], times: int) -> None:
    whole = pa.concat_batches(parts * times)
    assert len(packed(parts * times)) <= 1024, "more pieces than a system takes at once"
    found = unpacked(message(parts * times))
    found.validate(full=True)
    assert found == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(batches(), min_size=1, max_size=3), st.data())
def test_what_is_cut_is_refused(parts: list[pa.RecordBatch], data: st.DataObject) -> None:
    raw = message(parts)
    last = next(len(piece) for piece in reversed(packed(parts)) if len(piece))
    stop = data.draw(st.integers(0, max(0, len(raw) - max(8, last))))
    with pytest.raises(pa.ArrowInvalid):
        unpacked(raw.slice(0, stop))
