"""Paths of keys: the same with and without the extension, and nothing read outside of the columns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref import texts
from asyncref.engine.scan import paths

compiled = pytest.mark.skipif(paths._entries is None, reason="there was no compiler")
TAILS = st.text(st.sampled_from("ab./\0\U0001f600é"), max_size=8)


def without_the_extension(ask, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "_entries", None)
        patch.setattr(texts, "_entries", None)
        return ask(*arguments)


@compiled
@given(st.lists(TAILS, max_size=9), st.sampled_from(["", "p/", "\U0001f600"]), st.data())
def test_paths_and_marks_are_those_of_the_numpy_way(tails, prefix, data):
    start = data.draw(st.integers(0, len(tails)))
    keys = pa.array([prefix + tail for tail in tails], pa.string()).slice(start)
    got, marks = paths.split(keys, prefix)
    assert got.to_pylist() == tails[start:]
    expected, expected_marks = without_the_extension(paths.split, keys, prefix)
    assert got.to_pylist() == expected.to_pylist()
    assert marks & (paths.EMPTY | paths.FOLDER) == expected_marks & (paths.EMPTY | paths.FOLDER)
    odd = marks & (paths.ODD | paths.EMPTY)  # the expression of bad segments takes empty paths for odd ones
    assert bool(odd) == bool(expected_marks & (paths.ODD | paths.EMPTY))


@compiled
@given(st.lists(TAILS, max_size=6))
def test_order_is_that_of_the_numpy_way_and_of_bytes(keys):
    for candidate in (keys, sorted(set(keys), key=str.encode)):
        column = pa.array(candidate, pa.string())
        ascending = [key.encode() for key in candidate]
        expected = all(one < other for one, other in pairwise(ascending))
        assert texts.ascends(column) is expected
        assert without_the_extension(texts.ascends, column) is expected
        assert texts.ascends(pa.array(["~~", *candidate], pa.string()).slice(1)) is expected


@pytest.mark.parametrize("keys", [["p/a", "q/b"], ["p/a", "p"], ["q"]])
def test_a_key_without_the_prefix_is_found_out(keys):
    assert paths.split(pa.array(keys), "p/") is None
    assert without_the_extension(paths.split, pa.array(keys), "p/") is None


@compiled
@pytest.mark.parametrize("offsets", [[0, 9], [-1, 2], [2, 1], [0], []])
@pytest.mark.parametrize(("first", "rows"), [(0, 1), (-1, 1), (1, 1), (0, 2**62), (2**62, 1)])
def test_the_extension_reads_nothing_outside_of_a_column(offsets, first, rows):
    ends = np.array(offsets, np.int32)
    with pytest.raises(ValueError, match="offsets"):
        paths._entries.ascending(b"12345678", ends, first, rows)
    with pytest.raises(ValueError, match="offsets"):
        paths._entries.tails(b"12345678", ends, first, rows, b"")
