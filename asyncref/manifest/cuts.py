"""Where parts end: the path's own bytes say so, so that a change in one place leaves the other parts as they were. Pure.

Content-defined chunking over whole rows: about one path in 32,768 ends a part, once it has 65,536 rows. The compiled
`asyncref._entries` hashes path by path until one does; numpy hashes whole steps where it is missing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from asyncref.manifest.columns import Column, text_bytes, text_ends

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

PART_ROWS_MIN: Final = 65_536
PART_ROWS_MAX: Final = 524_288
_MASK: Final = (1 << 15) - 1
_STEP_ROWS: Final = 4096


def cut(path: Column, before: int) -> tuple[int, bool]:
    """How many of these rows belong to a part that has `before` rows already, and whether they end it."""
    limit = min(len(path), PART_ROWS_MAX - before)
    start = min(limit, max(0, PART_ROWS_MIN - 1 - before))
    found = _first(path[start:limit])
    if found is not None:
        return start + found + 1, True
    return limit, before + limit == PART_ROWS_MAX


def path_hash(path: Column) -> npt.NDArray[np.uint64]:
    """A hash of each path's length and last 32 bytes, from four unaligned loads of 8: 0.02 us a row."""
    ends = text_ends(path).astype(np.int64) - int(text_ends(path)[0])
    data = np.zeros(int(ends[-1]) + 8, np.uint8)
    data[8:] = np.frombuffer(text_bytes(path), np.uint8)
    loads: npt.NDArray[np.uint64] = np.ndarray((len(data) - 7,), "<u8", data.data, strides=(1,))
    starts, stops = ends[:-1], ends[1:]
    mixed: npt.NDArray[np.uint64] = (stops - starts).astype(np.uint64)
    for back in (0, 8, 16, 24):
        # A load at i ends at path byte i; it is shifted where it would reach before the path's start.
        at = np.maximum(stops - back, starts)
        missing = np.clip(8 - (at - starts), 0, 7).astype(np.uint64)
        words = np.where(at > starts, loads[at] >> (missing * np.uint64(8)), np.uint64(0))
        mixed = (mixed ^ words) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _first(path: Column) -> int | None:
    """The first of these paths that may end a part."""
    if _entries is not None and len(path):
        _, offsets, data = path.buffers()
        row = _entries.first_hashed(b"" if data is None else data, offsets, path.offset, len(path), _MASK)
        return row if row >= 0 else None
    for low in range(0, len(path), _STEP_ROWS):
        ends = np.flatnonzero(path_hash(path[low : low + _STEP_ROWS]) & np.uint64(_MASK) == 0)
        if len(ends):
            return low + int(ends[0])
    return None
