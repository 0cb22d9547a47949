"""Keys into paths: what follows the prefix, and what is so of any. Pure.

The compiled `asyncref._entries` looks at every byte once; numpy and Arrow do the same where it is missing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

EMPTY: Final = 1
"""A path is empty."""
FOLDER: Final = 2
"""A path ends in a slash."""
ODD: Final = 4
"""A path has a segment that none may have, or a NUL."""
BAD_SEGMENT: Final = r"^$|(?:^|/)\.\.?(?:/|$)|\x00"
"""What makes a path a bad one: no text, a segment `.` or `..`, a NUL."""


def split(keys: pa.StringArray, prefix: str) -> tuple[pa.StringArray, int] | None:
    """The paths of keys, and their marks.

    Args:
        keys: Without nulls.
        prefix: What each starts with.

    Returns:
        What follows the prefix in each, and the sum of `EMPTY`, `FOLDER` and `ODD` as far as any is so. None where a
        key starts otherwise.
    """
    if not len(keys):
        return keys, 0
    head = prefix.encode()
    _, offsets, data = keys.buffers()
    if _entries is None:
        if head and not pc.all(pc.starts_with(keys, prefix)).as_py():
            return None
        paths = _without(keys, len(head)) if head else keys
        return paths, marks_of(paths)
    found = _entries.tails(b"" if data is None else data, offsets, keys.offset, len(keys), head)
    if found is None:
        return None
    tails, ends, marks = found
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(ends), pa.py_buffer(tails), None, 0), marks


def marks_of(paths: pa.StringArray) -> int:
    """The marks of paths, as `split` gives them."""
    odd = pc.any(pc.match_substring_regex(paths, BAD_SEGMENT)).as_py()
    empty, folder = pc.any(pc.equal(paths, "")).as_py(), pc.any(pc.ends_with(paths, "/")).as_py()
    return (EMPTY if empty else 0) + (FOLDER if folder else 0) + (ODD if odd else 0)


def _without(texts: pa.StringArray, head_bytes: int) -> pa.StringArray:
    """Each text without its first bytes; there are no nulls.

    The texts are seen as pairs (head, tail) over the same bytes, of which Arrow copies the tails: 15 µs a 1,000
    (Arrow 26's own binary_slice fails on some slices with "Negative buffer resize").
    """
    _, offsets, data = texts.buffers()
    count = len(texts)
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + count + 1]
    pairs = np.empty(2 * count + 1, np.int32)
    pairs[0::2] = starts
    pairs[1::2] = starts[:-1] + head_bytes
    split = pa.StringArray.from_buffers(2 * count, pa.py_buffer(pairs), data)
    return split.take(pa.array(np.arange(1, 2 * count, 2, dtype=np.int32)))
