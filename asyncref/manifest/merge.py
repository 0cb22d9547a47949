"""Sorted runs, arbitrary among each other, into one stream of batches in path order, in bounded memory.

Runs that lie apart are passed on as they are. Runs that overlap are sorted together: in memory as far as it
reaches, else by sorted spills on disk that are merged block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import pyarrow as pa

from asyncref.errors import ManifestError, OrderError, ProtocolError
from asyncref.manifest.columns import Column, concat, is_empty, pc
from asyncref.manifest.parts import GROUP_ROWS
from asyncref.model import ENTRY_SCHEMA
from asyncref.texts import ascends

_SPILL_ROWS: Final = 4096
_FEWEST_WAYS: Final = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Rows in path order that can be read again and again.

    Attributes:
        first: Path of the first row.
        last: Path of the last row.
        rows: How many.
        read: Opens them: batches of `ENTRY_SCHEMA`, of any length.
    """

    first: str
    last: str
    rows: int
    read: Callable[[], Iterator[pa.RecordBatch]]


def merged(runs: Iterable[Run], *, folder: Path, memory_bytes: int) -> Iterator[pa.RecordBatch]:
    """All rows of all runs in path order; rows of one path follow each other.

    Args:
        runs: Each sorted by path inside.
        folder: Where spills go, if any; they are gone when the iterator is exhausted.
        memory_bytes: Bound on the rows held for sorting; one batch of a run comes on top.

    Raises:
        OrderError: A run's rows descend.
        ProtocolError: A run gave another number of rows than it announced.
    """
    for group in _overlapping(runs):
        if len(group) == 1:
            yield from _read(group[0])
        else:
            yield from _Sorter(folder, memory_bytes).sorted(group)


def _overlapping(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Groups of runs that overlap, in path order; paths of different groups do not touch."""
    group: list[Run] = []
    last = ""
    for run in sorted((run for run in runs if run.rows), key=lambda run: (run.first, run.last)):
        if group and run.first > last:
            yield group
            group = []
        last = max(last, run.last) if group else run.last
        group.append(run)
    if group:
        yield group


def _read(run: Run) -> Iterator[pa.RecordBatch]:
    rows, before = 0, ""
    for batch in run.read():
        if not len(batch):
            continue
        path = batch["path"]
        descends = not ascends(path) and pc.any(pc.greater(path[:-1], path[1:])).as_py()  # the first costs a quarter
        if path[0].as_py() < before or descends:
            raise OrderError(f"paths out of order between {run.first!r} and {run.last!r}")
        rows, before = rows + len(batch), path[-1].as_py()
        yield batch
    if rows != run.rows:
        raise ProtocolError(f"{run.rows} rows were announced from {run.first!r} to {run.last!r}, and {rows} came")


class _Sorter:
    """An external merge sort over one group of overlapping runs."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._block_bytes = max(1, memory_bytes // 3)  # held rows, their sorted copy, and what is passed on
        self._names = count()
        self._spills: list[_Spill] = []

    def sorted(self, group: list[Run]) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._sorted(group)
        finally:
            for spill in self._spills:
                spill.remove()

    def _sorted(self, group: list[Run]) -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []
        held_bytes = held_rows = settled_rows = 0
        for run, following in zip(group, [*group[1:], None], strict=True):
            for batch in _read(run):
                held.append(batch)
                held_rows += len(batch)
                held_bytes += batch.nbytes
                if held_bytes > self._block_bytes:
                    self._spill([_in_order(held)])
                    held, held_bytes, held_rows, settled_rows = [], 0, 0, 0
            # Rows before the next run's first are final. Looking for them sorts what is held, so wait until
            # it has doubled: many small folders beside one wide one would sort the wide one each time.
            if following is not None and not self._spills and held_rows >= 2 * settled_rows + GROUP_ROWS:
                block = _in_order(held)
                done = position(block["path"], following.first)
                yield block.slice(0, done)
                held = [block.slice(done)]
                held_rows = settled_rows = len(held[0])
                held_bytes = held[0].nbytes
        rest = [_in_order(held)] if held else []
        if not self._spills:
            yield from rest
            return
        self._spill(rest)
        self._narrow()
        yield from _merge([spill.read() for spill in self._spills])

    def _spill(self, batches: Iterable[pa.RecordBatch]) -> None:
        path = self._folder / f"asyncref-spill-{id(self)}-{next(self._names)}.arrow"
        self._spills.append(_Spill.write(path, batches))

    def _narrow(self) -> None:
        """Merge spills among themselves until one block of each fits into memory."""
        while len(self._spills) > self._ways():
            chosen, self._spills = self._spills[: self._ways()], self._spills[self._ways() :]
            self._spill(_merge([spill.read() for spill in chosen]))
            for spill in chosen:
                spill.remove()

    def _ways(self) -> int:
        return max(_FEWEST_WAYS, self._block_bytes // max(spill.block_bytes for spill in self._spills))


@dataclass(frozen=True, slots=True)
class _Spill:
    """Sorted rows in an Arrow IPC file of small blocks."""

    path: Path
    block_bytes: int

    @classmethod
    def write(cls, path: Path, batches: Iterable[pa.RecordBatch]) -> _Spill:
        largest = 1
        try:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, ENTRY_SCHEMA) as writer:
                for batch in batches:
                    for start in range(0, len(batch), _SPILL_ROWS):
                        block = batch.slice(start, _SPILL_ROWS)
                        largest = max(largest, block.nbytes)
                        writer.write_batch(block)
        except OSError as error:
            raise ManifestError(f"rows cannot be set aside for sorting: {error}", uri=str(path)) from error
        return cls(path, largest)

    def read(self) -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _merge(streams: list[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merge sorted streams: every step takes what lies up to the smallest of the blocks' last paths."""
    heads = [_Head(stream) for stream in streams]
    heads = [head for head in heads if head.advance()]
    while heads:
        bound = min(head.last for head in heads)
        yield _in_order([piece for head in heads if len(piece := head.take(bound))])
        heads = [head for head in heads if len(head.block) or head.advance()]


class _Head:
    """The block of a stream that is being taken from."""

    def __init__(self, stream: Iterator[pa.RecordBatch]) -> None:
        self._stream = stream
        self.block: pa.RecordBatch
        self.last = ""

    def advance(self) -> bool:
        block = next(self._stream, None)
        if block is None:
            return False
        self.block, self.last = block, block["path"][-1].as_py()
        return True

    def take(self, bound: str) -> pa.RecordBatch:
        rows = len(self.block) if self.last <= bound else position(self.block["path"], bound, after=True)
        taken, self.block = self.block.slice(0, rows), self.block.slice(rows)
        return taken


def position(path: Column, value: str, *, after: bool = False) -> int:
    """Where a value stands, or would stand, in sorted paths: before its equals, or after them."""
    low, high = 0, len(path)
    while low < high:
        middle = (low + high) // 2
        found = path[middle].as_py()
        if found < value or (after and found == value):
            low = middle + 1
        else:
            high = middle
    return low


def _in_order(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    block = concat(batches)
    if len(batches) == 1:
        return block
    order = pc.sort_indices(block["path"])
    columns = [_taken(block.column(number), order) for number in range(block.num_columns)]
    return pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA)


def _taken(column: Column, order: Column) -> Column:
    return column if is_empty(column) else column.take(order)
