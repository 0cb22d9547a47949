"""Where pages wait between the listing and the manifest: bounded memory first, a file of messages after.

A *run* is one range's rows in the order they came. Rows of many small, unordered pieces (folders of a file
tree) share runs that are sorted here before they are written. A flush appends everything gathered to the file,
run by run. A spool that outlives its scan (`attach`) also appends a line to a ledger, after the rows are
durable: whatever ends the scan, what the ledger covers can be read again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Final

import anyio
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.engine.flow import Tally
from asyncref.engine.scan.ledger import Block, Covered, chains, line
from asyncref.engine.scan.shelf import Place, Shelf, ends_of, places, sync, write_whole
from asyncref.errors import ManifestError
from asyncref.manifest import Run
from asyncref.manifest.columns import concat
from asyncref.model import KeyRange

UNORDERED: Final = -1
"""The run number for rows whose pieces come in no order."""
FLUSH_S: Final = 1.0
FLUSH_BYTES: Final = 4 * 2**20
FLUSH_SHARE: Final = 0.01
"""With a ledger a flush is due every second, or when 4 MiB, or this share of all written before, have gathered."""
_JOINED_ROWS: Final = 16_384
"""Pages are joined until they have so many rows: each message costs as much as the rows of some."""
_WEIGHED_ONE_IN: Final = 8


@dataclass(slots=True)
class _Stored:
    """One run: its batches in files, and those that were never flushed."""

    rows: int = 0
    batches: list[Place | pa.RecordBatch] = field(default_factory=list)

    def as_run(self) -> Run:
        return Run(_ends(self.batches[0])[0], _ends(self.batches[-1])[1], self.rows, self.read)

    def read(self) -> Iterator[pa.RecordBatch]:
        for batch in self.batches:
            yield batch.read() if isinstance(batch, Place) else batch


@dataclass(slots=True)
class _Gathered:
    """What came of one run since the last flush."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    covered: list[Covered] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(map(len, self.batches))


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a spool that outlives its scan lies.

    Attributes:
        folder: Its folder.
        ledger: The ledger, open at its end.
        header: The ledger's first line, to begin anew.
        news: Gives the requests sent since it was last asked, by kind.
    """

    folder: Path
    ledger: FileIO
    header: bytes
    news: Callable[[], Mapping[str, int]]


@dataclass(slots=True)
class Spool:
    """Collects rows by run.

    Args:
        folder: Where the file is written; must exist and be the caller's own.
        memory_bytes: Bound on rows that wait, and once more on rows that are being written.
    """

    folder: Path
    memory_bytes: int = 16 * 2**20
    _shelf: Shelf = field(init=False)
    _keep: Keep | None = None
    _gathered: dict[int, _Gathered] = field(default_factory=dict)
    _gathered_bytes: int = 0
    _unweighed: int = 0
    _row_bytes: float = 0.0
    _flushed_s: float = field(default_factory=time.monotonic)
    _runs: dict[int, _Stored] = field(default_factory=dict)
    _next_free_run: int = UNORDERED - 1
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.folder)

    async def append(self, run: int, batch: pa.RecordBatch, covered: Covered | None = None) -> None:
        """Add rows behind those of the run that came before; flushes when that is due.

        Args:
            run: A range's number, or `UNORDERED`.
            batch: Rows of `ENTRY_SCHEMA`, ascending by path unless the run is `UNORDERED`.
            covered: The keys that are settled by them; they follow those of the run's batch before.

        Raises:
            ManifestError: The file cannot be written (disk full).
        """
        if not batch.num_rows and covered is None:
            return
        gathered = self._gathered.get(run)
        if gathered is None:
            gathered = self._gathered[run] = _Gathered()
        if covered is not None:
            gathered.covered.append(covered)
        if batch.num_rows:
            gathered.batches.append(batch)
            self._gathered_bytes += self._weight(batch)
        while self._is_due() and (not self._lock.locked() or self._gathered_bytes >= self.memory_bytes):
            await self.flush(only_due=True)

    async def flush(self, *, only_due: bool = False) -> None:
        """Write what has gathered.

        Args:
            only_due: Leave it if somebody else has just done so.

        Raises:
            ManifestError: The file cannot be written (disk full).
        """
        async with self._lock:
            if only_due and not self._is_due():
                return
            gathered, self._gathered = self._gathered, {}
            self._gathered_bytes = 0
            if gathered:
                news = self._keep.news() if self._keep is not None else {}
                with anyio.CancelScope(shield=True):  # or what was taken would be in neither place
                    await anyio.to_thread.run_sync(self._write, gathered, news)
            self._flushed_s = time.monotonic()

    def attach(self, keep: Keep, blocks: Sequence[Block]) -> None:
        """Outlive the scan from here on, and take over what an earlier run of it left. Blocks: call it in a thread.

        Args:
            keep: Where.
            blocks: The earlier run's, in that folder.

        Raises:
            OSError: A file cannot be opened.
        """
        self._keep, self.folder, self._shelf = keep, keep.folder, Shelf(keep.folder, is_checked=True)
        files = self._shelf.open(blocks)
        for chain in chains(blocks):
            found = [place for block in chain for place in places(files, block)]
            if found:
                self._runs[self._free_run()] = _Stored(sum(block.rows for block in chain), list(found))

    def runs(self) -> list[Run]:
        """Every run, sorted inside; what was never flushed is served from memory. Blocks: call it in a thread."""
        gathered, self._gathered, self._gathered_bytes = self._gathered, {}, 0
        for run, part in gathered.items():
            self._add(run, part.rows, [concat(batches) for batches in _together(run, part.batches)])
        return [stored.as_run() for stored in self._runs.values()]

    def discard(self) -> None:
        """Forget every row, and what the ledger covers. Rare; blocks for a sync."""
        self._gathered.clear()
        self._gathered_bytes = 0
        self._runs.clear()
        if self._keep is not None:
            self._keep.ledger.truncate(0)
            write_whole(self._keep.ledger, self._keep.header)
            sync(self._keep.ledger.fileno())  # before its rows are overwritten
        self._shelf.clear()

    def close(self, *, remember: bool = False) -> None:
        """Close the files; runs cannot be read any more. Blocks: call it in a thread.

        Args:
            remember: First put what has gathered into the ledger, if there is one and the disk still takes it.
        """
        if remember and self._keep is not None and self._gathered:
            with suppress(ManifestError):
                self._write(self._gathered, self._keep.news())
        self._shelf.close()
        if self._keep is not None:
            self._keep.ledger.close()

    def _weight(self, batch: pa.RecordBatch) -> int:
        """About its bytes: one batch in eight is weighed, which takes as long as half of what else is done for it here."""
        if self._unweighed == 0:
            self._row_bytes = pa.ipc.get_record_batch_size(batch) / batch.num_rows
        self._unweighed = (self._unweighed + 1) % _WEIGHED_ONE_IN
        return int(self._row_bytes * batch.num_rows)

    def _is_due(self) -> bool:
        if self._keep is None:
            return self._gathered_bytes >= self.memory_bytes
        enough = min(self.memory_bytes, max(FLUSH_BYTES, int(FLUSH_SHARE * self._shelf.end)))
        return self._gathered_bytes >= enough or time.monotonic() - self._flushed_s >= FLUSH_S

    def _write(self, gathered: dict[int, _Gathered], news: Mapping[str, int]) -> None:
        try:
            name = self._shelf.start()
            blocks: list[Block] = []
            skipped: Counter[str] = Counter()
            size, listed = 0, Tally()
            for run, part in gathered.items():
                written = [self._shelf.add(batches) for batches in _together(run, part.batches)]
                self._add(run, part.rows, written)
                if self._keep is not None and part.covered:
                    blocks.append(_block(part.covered, name, written, part.rows))
                    for covered in part.covered:
                        size += covered.size
                        listed.add(covered.listed)
                        if covered.skipped:
                            skipped.update(covered.skipped)
            if self._keep is not None and blocks:
                rows = self._shelf.span()
                values: dict[str, Any] = {
                    "blocks": [block.to_json() for block in blocks],
                    "size": size,
                    "listed": asdict(listed),
                    "rows": rows.to_json(),
                }
                write_whole(self._keep.ledger, line({**values, "skipped": skipped, "requests": news}))
        except OSError as error:
            raise ManifestError(f"what was listed cannot be set aside: {error}", uri=str(self.folder)) from error

    def _add(self, run: int, rows: int, held: Sequence[Place | pa.RecordBatch]) -> None:
        """Put batches behind those of their run; unordered ones are a run of their own."""
        if not held:
            return
        number = self._free_run() if run == UNORDERED else run
        stored = self._runs.setdefault(number, _Stored())
        stored.rows += rows
        stored.batches += held

    def _free_run(self) -> int:
        self._next_free_run -= 1
        return self._next_free_run + 1


def _ends(held: Place | pa.RecordBatch) -> tuple[str, str]:
    """The first and the last path; an earlier run's are read."""
    return ends_of(held) if isinstance(held, pa.RecordBatch) else held.ends or ends_of(held.read())


def _together(run: int, batches: Sequence[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """The same rows, batches that are to be one together; unordered ones sorted, as one."""
    if run == UNORDERED and batches:
        whole = pa.concat_batches(batches)
        yield [whole.take(pc.sort_indices(whole.column(0)))]
        return
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        if rows >= _JOINED_ROWS:
            yield waiting
            waiting, rows = [], 0
    if waiting:
        yield waiting


def _block(covered: Sequence[Covered], file: str, written: Sequence[Place], rows: int) -> Block:
    """What one flush settles of one range."""
    return Block(
        keys=KeyRange(covered[0].keys.after, covered[-1].keys.last),
        first=next((one.first for one in covered if one.first is not None), None),
        beyond=covered[-1].beyond,
        file=file,
        offset=written[0].offset if written else 0,
        lengths=tuple(place.length for place in written),
        rows=rows,
    )
