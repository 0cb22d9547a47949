"""The objects of a manifest through memory: the engine of fetch with memory for a sink.

Memory is taken in the manifest's order before an object is asked for and given back when the consumer asks
for the next item, so a slow consumer slows the requests down and nothing can wait for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream

from asyncref.engine.fetch.checking import Checker, Checksum
from asyncref.engine.fetch.intake import Intake
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.memory import LEAST_WINDOW_BYTES, TRANSIT_BYTES, transit_bytes
from asyncref.engine.fetch.naming import batches_of
from asyncref.engine.fetch.plan import Part, parts_of
from asyncref.engine.fetch.reader import Reader
from asyncref.engine.fetch.sinks import INLINE_BYTES, ChunkSink, MemorySink, Threads
from asyncref.engine.fetch.sources import Places
from asyncref.engine.fetch.transfer import Transfer
from asyncref.engine.flow import Meter, ProgressHook
from asyncref.errors import UsageError
from asyncref.globs import Filter
from asyncref.loaders.ranges import Ranges, planned
from asyncref.loaders.shelf import Item, Shelf
from asyncref.manifest import Manifest
from asyncref.manifest.rows import entries_of
from asyncref.model import Entry, Limits

_ITEM_BYTES: Final = 4096  # what an object costs besides its bytes: job, answer, item
_UNKNOWN_BYTES: Final = 2**20  # taken for an object whose size no one said, until it proves larger
_JOBS_AT_ONCE: Final = 128
_SLICE_ROWS: Final = 1024


class Stream:
    """An async context manager and the iterator of its items; one consumer. Made by `stream`.

    Inside the context one task runs the requests. Leaving the context, by whichever way, ends it and closes
    every connection before it returns. Enter, iterate and leave may be calls of different tasks.
    """

    def __init__(self, manifest: Manifest, run: _Run) -> None:
        self._manifest = manifest
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._left = False

    async def __aenter__(self) -> Self:
        # Not a task group: its cancel scope would bind entering and leaving to one task, which callers
        # from other threads (asyncref.blocking) cannot promise.
        self._task = asyncio.create_task(self._run.run(self._manifest), name="asyncref.stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._left = True
        self._task.cancel()
        interrupted: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not self._task.done():
                try:
                    await asyncio.wait([self._task])
                except asyncio.CancelledError as again:  # asyncio's own: no anyio shield holds it off
                    interrupted = again
        if not self._task.cancelled():
            self._task.exception()  # told to the consumer already, or no longer asked for
        if interrupted is not None:
            raise interrupted

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        if self._task is None or self._left:
            raise UsageError("a stream gives items inside its `async with` only")
        item = await self._run.shelf.take()
        if item is None:
            if self._left:  # by another task, while this one waited
                raise UsageError("the stream was left")
            await self._task
            raise StopAsyncIteration
        return item


def stream(
    manifest: Manifest,
    *,
    concurrency: int | None = None,
    memory_bytes: int | None = None,
    ordered: bool = True,
    filter: Filter = Filter(),  # noqa: A002, B008  the word that users know; frozen
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen
    progress: ProgressHook | None = None,
    checksum: Checksum = "auto",
    ranges: Ranges | None = None,
    older: Sequence[Manifest] = (),
) -> Stream:
    """Read the pinned bytes of every entry, or of pieces of some, through memory.

    `async with stream(manifest) as items: async for item in items: …`

    Args:
        manifest: What to read.
        concurrency: Most requests in flight; overrides `limits`.
        memory_bytes: Bound on the bytes of objects asked for and not yet given back, and of what is on its way to
            them; overrides `limits`. One object larger than all of it is read alone; of objects whose size no one
            said one at a time grows beyond 1 MiB. The item last given counts until the next is asked for.
        ordered: Items in the manifest's order; else as they complete.
        filter: Globs over paths.
        storage_options: fsspec's names; they override what the manifest recorded of its sources.
        limits: Bounds.
        progress: Called once, with the meter to poll.
        checksum: `never` compares ETags, versions and sizes only.
        ranges: By path, pieces of objects as `(first byte, end)`, each an item of its own: only these are read. A piece
            is compared by ETag, version and size: no checksum of a whole object proves it.
        older: Manifests with older pins of the same content.

    Raises:
        StorageError, RetryableError, UsageError: From the iteration, for what concerns every entry (no bucket,
            no credentials, nothing answers). One entry's failure is in its item.
        OptionError: From the iteration: ranges that the manifest's objects do not have.
    """
    chosen = replace(
        limits,
        concurrency=concurrency if concurrency is not None else limits.concurrency,
        memory_bytes=memory_bytes if memory_bytes is not None else limits.memory_bytes,
    )
    meter = Meter(verb="stream")
    if progress:
        progress(meter)
    shelf = Shelf(chosen.memory_bytes, ordered=ordered)
    return Stream(manifest, _Run(shelf, meter, chosen, filter, storage_options, checksum, ranges, older, Threads()))


@dataclass(slots=True)
class _Run:
    """One stream's work: makes jobs as memory allows, puts finished objects on the shelf. An `Outlet`."""

    shelf: Shelf
    meter: Meter
    limits: Limits
    filter: Filter
    storage_options: Mapping[str, Any] | None
    checksum: Checksum
    ranges: Ranges | None
    older: Sequence[Manifest]
    threads: Threads
    _pieces: list[tuple[Entry, Part]] = field(default_factory=list)
    _workers: int = 1
    _growing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _grown: dict[int, int] = field(default_factory=dict)

    async def run(self, manifest: Manifest) -> None:
        """Read everything; raises what ends the whole stream."""
        try:
            if self.filter:
                select = partial(manifest.select, include=self.filter.include, exclude=self.filter.exclude)
                manifest = await to_thread.run_sync(select)
            await self._plan(manifest)
            if self.meter.objects_total:
                await self._transfer(manifest)
        finally:
            self.shelf.end()

    async def _plan(self, manifest: Manifest) -> None:
        if self.ranges is None:
            self.meter.objects_total, self.meter.bytes_total = len(manifest), manifest.size
            return
        self._pieces = await to_thread.run_sync(planned, manifest, self.ranges)
        self.meter.objects_total = len(self._pieces)
        self.meter.bytes_total = sum(_length(part) for _, part in self._pieces)

    async def _transfer(self, manifest: Manifest) -> None:
        async with Places(self.storage_options, self.limits, self.meter) as places:
            places.all_of(manifest.sources)
            # A window would only gather what is copied to its place in memory anyway.
            reader = Reader(
                places, self.limits, self.meter, Intake(self.limits, self.meter, LEAST_WINDOW_BYTES), self.older
            )
            self._workers = places.most
            checker = Checker(reader, self.meter, self.checksum)
            transfer = Transfer(reader, self, self.meter, self._workers, checker)
            await transfer.run(partial(self._produce, manifest, places))

    async def _produce(self, manifest: Manifest, places: Places, send: MemoryObjectSendStream[Sequence[Job]]) -> None:
        place = places.all_of(manifest.sources)
        jobs: list[Job] = []
        number = 0
        async with aclosing(self._wanted(manifest)) as slices:
            async for wanted in slices:
                for entry, span in wanted:
                    size = _size_of(entry if span is None else span)
                    cost = _ITEM_BYTES + size + self._transit_bytes(size)
                    if not self.shelf.fits(cost):
                        if jobs:
                            await send.send(jobs)
                            jobs = []
                        await self.shelf.wait_for(cost)
                    source = manifest.sources[entry.source]
                    jobs.append(Job.of(entry, source, place[entry.source], index=number, span=span))
                    number += 1
                    if len(jobs) == _JOBS_AT_ONCE:
                        await send.send(jobs)
                        jobs = []
        if jobs:
            await send.send(jobs)

    async def _wanted(self, manifest: Manifest) -> AsyncGenerator[Iterator[tuple[Entry, Part | None]]]:
        """Slices of what is to be read: an object, or a piece of one."""
        if self.ranges is not None:
            # Of a piece that is the whole object the checksum can be compared.
            yield ((entry, None if piece == Part(0, entry.size) else piece) for entry, piece in self._pieces)
            return
        async with aclosing(batches_of(manifest)) as batches:
            async for batch in batches:
                for start in range(0, batch.num_rows, _SLICE_ROWS):
                    rows = batch.slice(start, _SLICE_ROWS)
                    yield ((entry, None) for entry in entries_of(rows, manifest.sources))

    async def open(self, job: Job) -> Sink:
        """Memory."""
        if job.sliced:
            return MemorySink(job.parts.size_bytes or 0, self.threads, job.parts.first_byte)
        if job.pin.size is None:
            return ChunkSink(self.threads, partial(self._grow, job.index))
        return MemorySink(job.pin.size, self.threads)

    async def finish(self, job: Job) -> None:
        """Hand an object to the consumer."""
        sink = job.sink
        data: bytes | bytearray
        if isinstance(sink, MemorySink):
            data = bytes(sink.data) if len(sink.data) <= INLINE_BYTES else sink.data
        else:
            data = b"".join(sink.chunks if isinstance(sink, ChunkSink) else ())
        self.meter.objects += 1
        self._put(job, Item(job.entry.path, data, start=job.parts.first_byte, checked=job.confirmed))

    async def fail(self, job: Job, error: Exception) -> None:
        """Hand a failure to the consumer."""
        self.meter.failed += 1
        self._put(job, Item(job.entry.path, error=error, start=job.parts.first_byte))

    def _put(self, job: Job, item: Item) -> None:
        job.sink = None
        known = job.parts.size_bytes  # of the piece, if only one is wanted
        size = cost = _UNKNOWN_BYTES if known is None else known
        if self._grown and job.index in self._grown:
            cost += self._grown.pop(job.index)
            self._growing.release()
        self.shelf.put(job.index, item, _ITEM_BYTES + cost, spare_bytes=self._transit_bytes(size))

    def _transit_bytes(self, size_bytes: int) -> int:
        if size_bytes <= TRANSIT_BYTES:  # as most are
            return size_bytes
        return transit_bytes(size_bytes, min(len(parts_of(size_bytes)), self._workers))

    async def _grow(self, number: int, held_bytes: int) -> None:
        """Take what an object of unknown size holds beyond what was taken for it: one such object at a time.

        It does not wait for memory: that may be held by what waits for this object to be handed out first.
        """
        if (more := held_bytes - _UNKNOWN_BYTES - self._grown.get(number, 0)) <= 0:
            return
        if number not in self._grown:
            await self._growing.acquire()
            self._grown[number] = 0
        self._grown[number] += more
        self.shelf.owe(more)


def _length(piece: Part) -> int:
    assert piece.stop is not None
    return piece.stop - piece.start


def _size_of(wanted: Entry | Part) -> int:
    if isinstance(wanted, Part):
        return _length(wanted)
    return _UNKNOWN_BYTES if wanted.pin.size is None else wanted.pin.size
