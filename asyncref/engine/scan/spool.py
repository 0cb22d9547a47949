"""Where pages wait between the listing and the manifest: bounded memory first, a file of Arrow messages after.

A *run* is one range's rows in the order they came. Rows of many small, unordered pieces (folders of a file
tree) share runs that are sorted here before they are written. A flush appends everything gathered to the file,
run by run. A spool that outlives its scan (`attach`) also appends a line to a ledger, after the rows are
durable: whatever ends the scan, what the ledger covers can be read again.
"""

from __future__ import annotations

import errno
import os
import time
import zlib
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
from asyncref.engine.scan.ledger import Block, Covered, Span, chains, line
from asyncref.engine.scan.messages import packed, unpacked
from asyncref.errors import ManifestError
from asyncref.manifest import Run
from asyncref.model import KeyRange

UNORDERED: Final = -1
"""The run number for rows whose pieces come in no order."""
FLUSH_S: Final = 1.0
FLUSH_BYTES: Final = 4 * 2**20
FLUSH_SHARE: Final = 0.01
"""With a ledger a flush is due every second, or when 4 MiB, or this share of all written before, have gathered."""
_JOINED_ROWS: Final = 16_384
"""Pages are joined until they have so many rows: each message costs some 100 µs to write and read, whatever its length."""
_WEIGHED_ONE_IN: Final = 8

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


@dataclass(frozen=True, slots=True)
class _Place:
    """One batch in a file."""

    file: FileIO
    offset: int
    length: int

    def read(self) -> pa.RecordBatch:
        try:
            return unpacked(_read_at(self.file, self.offset, self.length))
        except (OSError, pa.ArrowInvalid) as error:
            raise ManifestError(f"what was set aside cannot be read: {error}", uri=str(self.file.name)) from error


@dataclass(slots=True)
class _Stored:
    """One run: its batches in files, and those that were never flushed."""

    rows: int = 0
    batches: list[_Place | pa.RecordBatch] = field(default_factory=list)

    def as_run(self) -> Run:
        first, last = (
            place.read() if isinstance(place, _Place) else place for place in (self.batches[0], self.batches[-1])
        )
        return Run(first.column(0)[0].as_py(), last.column(0)[-1].as_py(), self.rows, self.read)

    def read(self) -> Iterator[pa.RecordBatch]:
        for batch in self.batches:
            yield batch.read() if isinstance(batch, _Place) else batch


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
    _keep: Keep | None = None
    _gathered: dict[int, _Gathered] = field(default_factory=dict)
    _gathered_bytes: int = 0
    _unweighed: int = 0
    _row_bytes: float = 0.0
    _flushed_s: float = field(default_factory=time.monotonic)
    _runs: dict[int, _Stored] = field(default_factory=dict)
    _files: list[FileIO] = field(default_factory=list)
    _file: FileIO | None = None
    _end: int = 0
    _check: int = 0
    _next_free_run: int = UNORDERED - 1
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

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
        self._keep, self.folder = keep, keep.folder
        files = {name: FileIO(keep.folder / name) for name in sorted({block.file for block in blocks if block.rows})}
        self._files += files.values()
        for chain in chains(blocks):
            places = [place for block in chain for place in _places(files, block)]
            if places:
                self._runs[self._free_run()] = _Stored(sum(block.rows for block in chain), list(places))

    def runs(self) -> list[Run]:
        """Every run, sorted inside; what was never flushed is served from memory. Blocks: call it in a thread."""
        gathered, self._gathered, self._gathered_bytes = self._gathered, {}, 0
        for run, part in gathered.items():
            self._add(run, part.rows, list(_joined(run, part.batches)))
        return [stored.as_run() for stored in self._runs.values()]

    def discard(self) -> None:
        """Forget every row, and what the ledger covers. Rare; blocks for a sync."""
        self._gathered.clear()
        self._gathered_bytes = 0
        self._runs.clear()
        if self._keep is not None:
            self._keep.ledger.truncate(0)
            _write_whole(self._keep.ledger, self._keep.header)
            _sync(self._keep.ledger.fileno())  # before its rows are overwritten
        if self._file is not None:
            self._file.truncate(0)
            self._end = 0

    def close(self, *, remember: bool = False) -> None:
        """Close the files; runs cannot be read any more. Blocks: call it in a thread.

        Args:
            remember: First put what has gathered into the ledger, if there is one and the disk still takes it.
        """
        if remember and self._keep is not None and self._gathered:
            with suppress(ManifestError):
                self._write(self._gathered, self._keep.news())
        for file in self._files:
            file.close()
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
        enough = min(self.memory_bytes, max(FLUSH_BYTES, int(FLUSH_SHARE * self._end)))
        return self._gathered_bytes >= enough or time.monotonic() - self._flushed_s >= FLUSH_S

    def _write(self, gathered: dict[int, _Gathered], news: Mapping[str, int]) -> None:
        try:
            file = self._file or self._open()
            name = Path(str(file.name)).name
            blocks: list[Block] = []
            skipped: Counter[str] = Counter()
            size, listed = 0, Tally()
            start, self._check = self._end, 0
            for run, part in gathered.items():
                places = [self._write_batch(file, batch) for batch in _joined(run, part.batches)]
                self._add(run, part.rows, places)
                if self._keep is not None and part.covered:
                    blocks.append(_block(part.covered, name, places, part.rows))
                    for covered in part.covered:
                        size += covered.size
                        listed.add(covered.listed)
                        if covered.skipped:
                            skipped.update(covered.skipped)
            if self._keep is not None and blocks:
                _sync(file.fileno())
                values: dict[str, Any] = {
                    "blocks": [block.to_json() for block in blocks],
                    "size": size,
                    "listed": asdict(listed),
                    "rows": Span(name, start, self._end - start, self._check).to_json(),
                }
                _write_whole(self._keep.ledger, line({**values, "skipped": skipped, "requests": news}))
        except OSError as error:
            raise ManifestError(f"what was listed cannot be set aside: {error}", uri=str(self.folder)) from error

    def _open(self) -> FileIO:
        number = len(list(self.folder.glob("rows-*")))
        self._file = FileIO(self.folder / f"rows-{number:03d}.arrow", "x+")
        self._files.append(self._file)
        return self._file

    def _write_batch(self, file: FileIO, batch: pa.RecordBatch) -> _Place:
        head, message = packed(batch)
        _write_at(file, self._end, head)  # and not where a write that failed has left the file's own position
        _write_at(file, self._end + len(head), message)
        if self._keep is not None:
            self._check = zlib.crc32(message, zlib.crc32(head, self._check))
        place = _Place(file, self._end, len(head) + message.size)
        self._end += place.length
        return place

    def _add(self, run: int, rows: int, held: Sequence[_Place | pa.RecordBatch]) -> None:
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


def _joined(run: int, batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in few batches; unordered ones sorted, in one."""
    if run == UNORDERED and batches:
        whole = pa.concat_batches(batches)
        yield whole.take(pc.sort_indices(whole.column(0)))
        return
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        if rows >= _JOINED_ROWS:
            yield pa.concat_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def _block(covered: Sequence[Covered], file: str, places: Sequence[_Place], rows: int) -> Block:
    """What one flush settles of one range."""
    return Block(
        keys=KeyRange(covered[0].keys.after, covered[-1].keys.last),
        first=next((one.first for one in covered if one.first is not None), None),
        beyond=covered[-1].beyond,
        file=file,
        offset=places[0].offset if places else 0,
        lengths=tuple(place.length for place in places),
        rows=rows,
    )


def _places(files: Mapping[str, FileIO], block: Block) -> Iterator[_Place]:
    offset = block.offset
    for length in block.lengths:
        yield _Place(files[block.file], offset, length)
        offset += length


def _read_at(file: FileIO, offset: int, length: int) -> pa.Buffer:
    """The bytes that are there: fewer where the file ends."""
    if not hasattr(os, "preadv"):  # macOS
        return pa.py_buffer(os.pread(file.fileno(), length, offset))
    raw = pa.allocate_buffer(length)  # Arrow's memory is used again; Python's comes cleared from the system
    return raw.slice(0, os.preadv(file.fileno(), [raw], offset))


def _write_at(file: FileIO, offset: int, data: bytes | pa.Buffer) -> None:
    """Write all of it there; raises as `_write_whole` does."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file.fileno(), view, offset)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        offset += written
        view = view[written:]


def _write_whole(file: FileIO, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: The disk is full, or whatever else it says.
    """
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
