"""Where parts end depends on single paths alone: the same with and without the extension."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.manifest import cuts
from asyncref.manifest.cuts import path_hash

compiled = pytest.mark.skipif(cuts._entries is None, reason="there was no compiler")
NAMES = st.lists(st.text(max_size=40), min_size=1, max_size=30)


@given(NAMES, st.data())
def test_the_hash_of_a_path_depends_on_that_path_alone(names, data):
    column = pa.array(names)
    whole = path_hash(column).tolist()
    assert whole == [int(path_hash(pa.array([name]))[0]) for name in names]
    start = data.draw(st.integers(0, len(names) - 1))
    assert path_hash(column[start:]).tolist() == whole[start:]


@compiled
@given(NAMES, st.data())
def test_the_extension_hashes_as_numpy_does(names, data):
    column = pa.array(names)[data.draw(st.integers(0, len(names) - 1)) :]
    mask = data.draw(st.sampled_from([0, 1, 3, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1))
    found = np.flatnonzero(path_hash(column) & np.uint64(mask) == 0)
    _, offsets, values = column.buffers()
    got = cuts._entries.first_hashed(b"" if values is None else values, offsets, column.offset, len(column), mask)
    assert got == (int(found[0]) if len(found) else -1)


@compiled
@given(st.integers(0, 70_000), st.integers(1, 9000))
def test_a_part_ends_where_the_numpy_way_ends_it(before, rows):
    path = pa.array([f"{number * 2654435761 % 2**32:08x}" for number in range(rows)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "_MASK", 2**10 - 1)
        got = cuts.cut(path, before)
        patch.setattr(cuts, "_entries", None)
        assert cuts.cut(path, before) == got
    assert 0 <= got[0] <= rows


@compiled
def test_offsets_outside_of_the_text_are_refused():
    with pytest.raises(ValueError, match="offsets"):
        cuts._entries.first_hashed(b"12345678", np.array([0, 9], np.int32), 0, 1, 1)
