"""Where pages wait between the listing and the manifest: bounded memory first, Arrow files after.

A *run* is one range's rows in the order they came. Rows of many small, unordered pieces (folders of a file
tree) share runs that are sorted here before they are written. A flush writes everything buffered as one
*segment* (an Arrow IPC file, written under a temporary name and renamed), one batch a run, so a segment that
can be seen is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.manifest import Run
from asyncref.model import ENTRY_SCHEMA

UNORDERED: Final = -1
"""The run number for rows whose pieces come in no order."""


@dataclass(slots=True)
class _Stored:
    """One batch of one run: in memory, or in a segment at an index."""

    batch: pa.RecordBatch | None
    segment: Path | None
    index: int
    rows: int
    first: str
    last: str


@dataclass(slots=True)
class Spool:
    """Collects rows by run.

    Args:
        folder: Where segments are written; must exist and be the caller's own.
        memory_bytes: Bound on rows that are not yet in a segment.
    """

    folder: Path
    memory_bytes: int = 16 * 2**20
    _buffered: dict[int, list[pa.RecordBatch]] = field(default_factory=dict)
    _buffered_bytes: int = 0
    _runs: dict[int, list[_Stored]] = field(default_factory=dict)
    _segments: int = 0
    _next_sorted_run: int = UNORDERED - 1

    async def append(self, run: int, batch: pa.RecordBatch) -> None:
        """Add rows behind those of the run that came before; flushes when the buffer is full.

        Args:
            run: A range's number, or `UNORDERED`.
            batch: Rows of `ENTRY_SCHEMA`, ascending by path unless the run is `UNORDERED`.
        """
        if not batch.num_rows:
            return
        self._buffered.setdefault(run, []).append(batch)
        self._buffered_bytes += batch.nbytes
        if self._buffered_bytes >= self.memory_bytes:
            await self.flush()

    async def flush(self) -> None:
        """Write what is buffered as one segment."""
        stored = self._take()
        if stored:
            path = self.folder / f"segment-{self._segments:06d}.arrow"
            self._segments += 1
            await anyio.to_thread.run_sync(_write_segment, path, stored)

    def runs(self) -> list[Run]:
        """Every run, sorted inside; what was never flushed is served from memory."""
        self._take()
        return [_as_run(stored) for stored in self._runs.values()]

    def discard(self) -> None:
        """Forget every row, and remove the segments."""
        self._buffered.clear()
        self._buffered_bytes = 0
        for path in {item.segment for stored in self._runs.values() for item in stored if item.segment}:
            path.unlink(missing_ok=True)
        self._runs.clear()

    def _take(self) -> list[_Stored]:
        """Move the buffer into runs, one batch each, sorting the unordered rows."""
        taken: list[_Stored] = []
        for run, batches in self._buffered.items():
            merged = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
            number = run
            if run == UNORDERED:
                merged = merged.take(pc.sort_indices(merged.column(0)))
                number, self._next_sorted_run = self._next_sorted_run, self._next_sorted_run - 1
            paths = merged.column(0)
            item = _Stored(merged, None, 0, merged.num_rows, paths[0].as_py(), paths[-1].as_py())
            self._runs.setdefault(number, []).append(item)
            taken.append(item)
        self._buffered = {}
        self._buffered_bytes = 0
        return taken


def _write_segment(path: Path, stored: list[_Stored]) -> None:
    temporary = path.with_suffix(".tmp")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, ENTRY_SCHEMA) as writer:
        for item in stored:
            assert item.batch is not None
            writer.write_batch(item.batch)
    os.replace(temporary, path)  # noqa: PTH105  atomic on every platform
    for index, item in enumerate(stored):
        item.segment, item.index, item.batch = path, index, None


def _as_run(stored: list[_Stored]) -> Run:
    def read() -> Iterator[pa.RecordBatch]:
        for item in stored:
            yield item.batch if item.batch is not None else _read_one(item)

    return Run(first=stored[0].first, last=stored[-1].last, rows=sum(item.rows for item in stored), read=read)


def _read_one(item: _Stored) -> pa.RecordBatch:
    with pa.memory_map(str(item.segment)) as source:
        return pa.ipc.open_file(source).get_batch(item.index)
