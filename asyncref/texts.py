"""Columns of text: their order. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]


def ascends(keys: pa.StringArray) -> bool:
    """Whether keys ascend strictly in byte order; there are no nulls."""
    count = len(keys)
    if count < 2:  # noqa: PLR2004  there is nothing to compare
        return True
    if _entries is None:
        return bool(pc.all(pc.less(keys.slice(0, count - 1), keys.slice(1))).as_py())
    _, offsets, data = keys.buffers()
    return _entries.ascending(b"" if data is None else data, offsets, keys.offset, count)
