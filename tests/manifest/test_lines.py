"""The lines that W&B's digest is made of: the same with and without the extension."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.manifest import digest
from asyncref.model import ENTRY_SCHEMA, Source

compiled = pytest.mark.skipif(digest._entries is None, reason="there was no compiler")
SOURCES = (Source(uri="s3://b/", scheme="s3", container="b"),)


def rows(paths: list[str], etags: list[bytes]) -> pa.RecordBatch:
    values = {"path": paths, "etag16": etags, "source": [0] * len(paths)}
    columns = [pa.array(values.get(field.name, [None] * len(paths)), field.type) for field in ENTRY_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA)


@compiled
@given(st.lists(st.tuples(st.text(max_size=5), st.binary(min_size=16, max_size=16)), min_size=1), st.data())
def test_lines_are_those_of_the_numpy_way(pairs, data):
    batch = rows([path for path, _ in pairs], [etag for _, etag in pairs])
    batch = batch.slice(data.draw(st.integers(0, len(pairs) - 1)))
    got = bytes(digest.Digests(SOURCES)._lines(batch))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "_entries", None)
        assert bytes(digest.Digests(SOURCES)._lines(batch)) == got
    assert got.endswith(f":{pairs[-1][1].hex()}\n".encode())


@compiled
@pytest.mark.parametrize(("ends", "digests"), [([0, 9], 16), ([0, 4], 15), ([0, 4], 32), ([4, 0], 16)])
def test_the_extension_reads_nothing_outside_of_the_columns(ends, digests):
    with pytest.raises(ValueError, match="offsets"):
        digest._entries.lines(b"12345678", np.array(ends, np.int32), 0, 1, bytes(digests), bytearray(99))
