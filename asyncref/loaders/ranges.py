"""Ranges of objects, as a reader of shards asks for them: held to the manifest before any request is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from asyncref.engine.fetch.plan import Part
from asyncref.errors import OptionError
from asyncref.manifest import Manifest
from asyncref.manifest.rows import entries_of
from asyncref.model import Entry

Ranges = Mapping[str, Sequence[tuple[int, int | None]]]
"""By path, the first byte and the end (exclusive; None: the object's end) of each piece that is wanted."""


def planned(manifest: Manifest, ranges: Ranges) -> list[tuple[Entry, Part]]:
    """The pieces in the manifest's order, those of one path as they were given. Blocking: reads the rows around the paths.

    Memory: one entry a path, one part a piece.

    Raises:
        OptionError: A path that the manifest has not, or a piece that is empty or ends behind its object.
    """
    if not ranges:
        return []
    wanted = pa.array(list(ranges), pa.string())
    pieces: list[tuple[Entry, Part]] = []
    seen: set[str] = set()
    for batch in manifest.batches(min(ranges), max(ranges) + "\0"):
        for entry in entries_of(batch.filter(pc.is_in(batch["path"], wanted)), manifest.sources):
            seen.add(entry.path)
            pieces += [(entry, _piece(entry, start, stop)) for start, stop in ranges[entry.path]]
    if missing := sorted(ranges.keys() - seen):
        raise OptionError(f"ranges: {len(missing)} of the paths are not in the manifest, such as {missing[0]!r}")
    return pieces


def _piece(entry: Entry, start: int, stop: int | None) -> Part:
    end = entry.size if stop is None else stop
    if end is None:
        raise OptionError(f"ranges: {entry.path!r} has no known size, so each of its ranges needs an end")
    if not 0 <= start < end or (entry.size is not None and end > entry.size):
        raise OptionError(
            f"ranges: bytes {start} to {stop} are no part of {entry.path!r}, which has {entry.size} bytes"
        )
    return Part(start, end)
