"""Rows in path order into parts and digests: one pass, bounded memory.

Parts end where the path's own bytes say so, so that a change in one place leaves the other parts as they were.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, cast

import pyarrow as pa

from asyncref.errors import ManifestError
from asyncref.manifest.checks import check_values, unique
from asyncref.manifest.columns import concat, pc
from asyncref.manifest.cuts import cut
from asyncref.manifest.digest import Digests
from asyncref.manifest.parts import GROUP_ROWS, Part, PartWriter
from asyncref.manifest.rows import canonical
from asyncref.model import Source
from asyncref.rooms import Room, open_room

_IN_MEMORY_BYTES: Final = 2**20
_IN_FLIGHT: Final = 2
_BLOCK_ROWS: Final = 16_384
"""Rows from which on a batch is taken as it comes, without a copy to join it to the next."""


class Scratch:
    """A temporary folder that goes when the last who holds it goes."""

    def __init__(self) -> None:
        room = open_room()
        self.path = room.path
        self._finalizer = weakref.finalize(self, _leave, room, os.getpid())


def _leave(room: Room, owner: int) -> None:
    # A forked child inherits the finalizer, but the folder is still its parent's.
    if os.getpid() == owner:
        room.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a pass over the rows gave.

    Attributes:
        parts: In path order.
        digest: W&B's digest.
        identity: The pinned rows' name.
        rows: How many.
        size: Bytes of all objects.
        scratch: Keeps the temporary folder of the parts, if there is one.
    """

    parts: tuple[Part, ...]
    digest: str
    identity: str
    rows: int
    size: int
    scratch: Scratch | None


def write(batches: Iterable[pa.RecordBatch], sources: Sequence[Source], *, folder: Path | None = None) -> Written:
    """Check, digest and store rows.

    Args:
        batches: Rows of `ENTRY_SCHEMA` in path order, of any length; rows of one path stand together.
        sources: What the rows' `source` counts in.
        folder: Where part files go; a temporary one if None. Below 1 MiB parts stay in memory.

    Returns:
        Parts and digests. Memory: some blocks of 16,384 to 32,768 rows and one part's file (some 4 MB; at most 30).

    Raises:
        OrderError: Paths descend.
        DuplicatePathError: Two pins for one path.
        BadKeyError: An empty path.
        ProtocolError: A negative size, or an unknown source.
    """
    digests = Digests(sources)
    rows = size = 0
    with _Parts(folder) as parts:
        for block in _blocks(batches):
            batch = unique(canonical(block, sources), sources)
            check_values(batch, sources)
            parts.add(batch)
            digests.update(batch)
            rows += len(batch)
            size += pc.sum(batch["size"]).as_py() or 0
        done = parts.finish()
    return Written(
        parts=done, digest=digests.digest, identity=digests.identity, rows=rows, size=size, scratch=parts.scratch
    )


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of at least `_BLOCK_ROWS` rows, if there are so many; never cut between two rows of one path."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for given in batches:
        for start in range(0, len(given), GROUP_ROWS):
            piece = given.slice(start, GROUP_ROWS)
            if rows >= _BLOCK_ROWS and waiting[-1]["path"][-1] != piece["path"][0]:
                yield concat(waiting)
                waiting, rows = [], 0
            waiting.append(piece)
            rows += len(piece)
    if rows:
        yield concat(waiting)


class _Parts:
    """Cuts rows into parts and writes them on one thread beside the caller's (Parquet releases the GIL)."""

    def __init__(self, folder: Path | None) -> None:
        self.scratch: Scratch | None = None
        self._folder = folder
        self._done: list[Part] = []
        self._open: _OpenPart | None = None
        self._in_memory: int | None = 0
        self._thread: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []
        self._held: pa.RecordBatch | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, batch: pa.RecordBatch) -> None:
        if self._held is not None:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "asyncref-parquet")
            while len(self._running) >= _IN_FLIGHT:
                self._running.pop(0).result()
            self._running.append(self._thread.submit(self._add, self._held))
        self._held = batch

    def finish(self) -> tuple[Part, ...]:
        for future in self._running:
            future.result()
        if self._held is not None:
            self._add(self._held)  # the only block of a small manifest needs no thread
        if self._open is not None:
            self._close()
        return tuple(self._done)

    def _add(self, batch: pa.RecordBatch) -> None:
        while len(batch):
            if self._open is None:
                self._open = _OpenPart()
            taken, full = cut(batch["path"], self._open.rows)
            self._open.add(batch.slice(0, taken))
            if full:
                self._close()
            batch = batch.slice(taken)

    def _close(self) -> None:
        assert self._open is not None
        self._done.append(self._open.close())
        self._open = None
        if self._in_memory is None:
            self._done[-1] = self._filed(self._done[-1])
            return
        self._in_memory += self._done[-1].bytes
        if self._in_memory > _IN_MEMORY_BYTES:
            self._in_memory = None
            self._done = [self._filed(part) for part in self._done]

    def _filed(self, part: Part) -> Part:
        assert isinstance(part.where, pa.Buffer)
        try:
            if self._folder is None:
                self.scratch = Scratch()
                self._folder = self.scratch.path
            target = self._folder / f"{part.hash}.parquet"
            _write(target, part.where)
        except OSError as error:
            where = str(self._folder or tempfile.gettempdir())
            raise ManifestError(f"a part cannot be written: {error.strerror}", uri=where) from error
        return replace(part, where=target, is_own=self.scratch is not None)


def _write(target: Path, data: pa.Buffer) -> None:
    try:
        target.write_bytes(memoryview(cast("bytes", data)))
    except OSError:
        target.unlink(missing_ok=True)
        raise


class _OpenPart:
    """A part in the making: its Parquet bytes so far, and rows that do not fill a row group yet."""

    def __init__(self) -> None:
        self.rows = 0
        self._writer = PartWriter()
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._first = ""
        self._last = ""

    def add(self, batch: pa.RecordBatch) -> None:
        if not self.rows:
            self._first = batch["path"][0].as_py()
        self._last = batch["path"][-1].as_py()
        self.rows += len(batch)
        while self._waiting_rows + len(batch) >= GROUP_ROWS:
            taken = GROUP_ROWS - self._waiting_rows
            self._waiting.append(batch.slice(0, taken))
            self._flush()
            batch = batch.slice(taken)
        if len(batch):
            self._waiting.append(batch)
            self._waiting_rows += len(batch)

    def close(self) -> Part:
        if self._waiting:
            self._flush()
        data = self._writer.close()
        name = hashlib.sha256(data).hexdigest()
        return Part(first=self._first, last=self._last, rows=self.rows, bytes=len(data), hash=name, where=data)

    def _flush(self) -> None:
        # One contiguous batch a row group: Parquet's pages follow the chunks they are given, and equal rows
        # must give equal files.
        self._writer.write(concat(self._waiting))
        self._waiting, self._waiting_rows = [], 0
