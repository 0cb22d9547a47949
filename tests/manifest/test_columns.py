"""Batches joined: what Arrow makes of them, whatever columns are empty; and empty columns of any length."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.manifest.columns import concat, nulls
from asyncref.model import ENTRY_SCHEMA

_VALUES = {
    pa.string(): st.text(max_size=3),
    pa.int64(): st.integers(-9, 9),
    pa.binary(16): st.binary(min_size=16, max_size=16),
    pa.timestamp("us", tz="UTC"): st.integers(0, 10**15),
    pa.int16(): st.integers(0, 3),
}


@st.composite
def batches(draw: st.DrawFn) -> list[pa.RecordBatch]:
    """Batches, maybe slices, in which some columns are empty everywhere and others in a few."""
    found = []
    empty = draw(st.sets(st.sampled_from(ENTRY_SCHEMA.names)))
    for rows in draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)):
        columns = []
        for field in ENTRY_SCHEMA:
            value = st.none() if field.name in empty else st.none() | _VALUES[field.type]
            columns.append(pa.array(draw(st.lists(value, min_size=rows, max_size=rows)), field.type))
        start = draw(st.integers(0, rows))
        found.append(pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA).slice(start))
    return found


@given(batches())
def test_joined_batches_hold_what_the_single_ones_do(given_batches):
    joined = concat(given_batches)
    joined.validate(full=True)
    assert joined.schema == ENTRY_SCHEMA
    assert joined.to_pylist() == [row for batch in given_batches for row in batch.to_pylist()]


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 65_536, 65_537])
@pytest.mark.parametrize("kind", [pa.string(), pa.binary(16), pa.int64()])
def test_an_empty_column_has_as_many_nulls_as_are_asked_for(kind, count):
    for rows in (count, 5, count):
        column = nulls(kind, rows)
        column.validate(full=True)
        assert (column.type, len(column), column.null_count) == (kind, rows, rows)
