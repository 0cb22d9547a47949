"""A manifest into a folder: names, then parts, then files that appear one by one, each whole and checked."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
from anyio.streams.memory import MemoryObjectSendStream

from asyncref import config
from asyncref.engine.fetch.building import Building
from asyncref.engine.fetch.cache import Cache, key_of, where_of
from asyncref.engine.fetch.checking import Checker, Checksum
from asyncref.engine.fetch.content import Match
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.memory import shares
from asyncref.engine.fetch.naming import Names, batches_of, survey
from asyncref.engine.fetch.reader import Reader
from asyncref.engine.fetch.record import Record
from asyncref.engine.fetch.report import FetchReport
from asyncref.engine.fetch.sinks import INLINE_BYTES, FileSink, MemorySink, Threads
from asyncref.engine.fetch.sources import Place, Places
from asyncref.engine.fetch.space import check_space
from asyncref.engine.fetch.target import Target, There, another_file_error, unwritable
from asyncref.engine.fetch.transfer import Transfer
from asyncref.engine.flow import Meter, ProgressHook
from asyncref.errors import ChangedError, ContainerNotFoundError, Failure, FetchError, NotFoundError, RetryableError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.manifest.rows import entries_of
from asyncref.model import ENTRY_SCHEMA, Entry, Limits

Fsync = Literal["end", "each", "never"]
_BATCH_ROWS = 1024  # rows prepared (looked up on disk, folders made) by one call of a thread


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        filter: Globs over paths.
        path_prefix: Only paths that start with it.
        storage_options: fsspec's names, flat or keyed by scheme; they override the manifest's source records.
        limits: Bounds.
        progress: Called once with the meter to poll.
        allow_missing: Leave out entries whose pinned bytes no longer exist, instead of failing.
        escape: Write paths that no file system can hold in an escape (`asyncref.engine.fetch.paths`).
        overwrite: Replace files that differ from their entry.
        checksum: `auto` checks MD5s wherever a pin has one; `never` only sizes, ETags and versions;
            `always` also multipart uploads, by a HEAD or two and a pass of MD5 over their parts.
        fsync: When files are forced to the disk: each before its rename, all at the end, or never.
        whole: Build in `root` + `.incomplete` and rename when every entry is right.
        older: Manifests with older pins of the same content.
        cache: Objects kept on this machine.
    """

    filter: Filter = field(default_factory=Filter)
    path_prefix: str | None = None
    storage_options: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
    progress: ProgressHook | None = None
    allow_missing: bool = False
    escape: bool = False
    overwrite: bool = False
    checksum: Checksum = "auto"
    fsync: Fsync = "end"
    whole: bool = False
    older: Sequence[Manifest] = ()
    cache: Cache | None = None


async def fetch_into(manifest: Manifest, root: Path, options: FetchOptions) -> FetchReport:
    """What `asyncref.engine.fetch.fetch` does, with its options gathered."""
    threads = Threads()
    if options.filter or options.path_prefix:
        include, exclude = options.filter.include, options.filter.exclude
        select = partial(manifest.select, prefix=options.path_prefix, include=include, exclude=exclude)
        manifest = await threads.run(select)
    meter = Meter(verb="fetch")
    if options.progress:
        options.progress(meter)
    root = await threads.run(root.absolute)
    record = await threads.run(partial(_record_of, root)) if options.checksum != "never" else None
    run: _Run | None = None
    try:
        looked = None if options.checksum == "always" else record
        names = await survey(manifest, root, escape=options.escape, record=looked)
        meter.objects_total, meter.bytes_total = names.objects, names.bytes
        async with Places(options.storage_options, options.limits, meter) as places:
            run = _Run(manifest, options, names, places, meter, threads, record)
            run.open_places()
            return await _fetch(run, root)
    except FetchError as error:
        failed = Counter(type(failure.error).__name__ for failure in error.failures)
        error.report = run.report(root) if run else FetchReport(root=root, failed=failed, elapsed_s=meter.elapsed_s)
        raise
    finally:
        if record is not None:
            await threads.run(record.commit)


def _record_of(root: Path) -> Record:
    return Record(Path(config.get("cache").value) / "seen", os.path.realpath(root))


async def _fetch(run: _Run, root: Path) -> FetchReport:
    """Into the folder itself, or into one beside it that gets its name in the end."""
    options, threads = run.options, run.threads
    if not options.whole or await threads.run(root.exists):
        await run.check_space(root)
        return await run.into(root)
    await run.check_space(Building.folder_of(root))
    try:
        building = await threads.run(partial(Building, root, _mark(run.manifest, options)))
    except OSError as error:
        raise unwritable(error, str(root), at_all=True) or error from error
    try:
        report = await run.into(building.folder)
        await threads.run(building.commit)
    finally:
        building.close()
    return replace(report, root=root)


def _mark(manifest: Manifest, options: FetchOptions) -> str:
    """Names what is built: another manifest, choice or escape must not go on with its files."""
    chosen = [manifest.identity, options.escape]
    return hashlib.sha256(orjson.dumps(chosen)).hexdigest()


@dataclass(slots=True)
class _Run:
    """One fetch: makes jobs of rows, gives them sinks, finishes files, gathers failures. An `Outlet`."""

    manifest: Manifest
    options: FetchOptions
    names: Names
    places: Places
    meter: Meter
    threads: Threads
    record: Record | None
    target: Target = field(init=False)
    failures: list[Failure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    objects: int = 0
    cached: int = 0
    unpinned: int = 0
    full: bool = False
    small_bytes: int = INLINE_BYTES
    _open: dict[int, FileSink] = field(default_factory=dict)
    _from_cache: set[int] = field(default_factory=set)
    _transfer: Transfer | None = None
    _place: list[Place] = field(default_factory=list)
    _where: list[str] = field(default_factory=list)

    def open_places(self) -> None:
        """Open every source, so that a wrong option is known before anything is written."""
        if self.names.objects:
            self._place = self.places.all_of(self.manifest.sources)
        if self.options.cache is not None:
            self._where = [where_of(*pair) for pair in zip(self._place, self.manifest.sources, strict=False)]

    async def check_space(self, folder: Path) -> None:
        """Refuse what cannot fit.

        Raises:
            SpaceError: Nothing was written.
        """
        sharing = [number for number, place in enumerate(self._place) if place.backend.traits.shares]
        await check_space(self.manifest, self.names, folder, sharing)

    async def into(self, root: Path) -> FetchReport:
        """Fetch everything into a folder.

        Raises:
            FetchError: Entries failed; names all of them. Or nothing can be written any more.
        """
        self.target = Target(root)
        try:
            await self.threads.run(self.target.make)
        except OSError as error:
            raise unwritable(error, self.target.root, at_all=True) or error from error
        try:
            if self.names.objects:
                await self._run()
            if self.options.fsync == "end":
                await self.threads.run(self.target.flush)
        except OSError as error:
            raise unwritable(error, self.target.root) or error from error
        finally:
            self._leave_all()
        if self.failures:
            raise self._failed()
        return self.report(root)

    async def _run(self) -> None:
        limits = self.options.limits
        share = shares(limits.memory_bytes, self.places.most)
        self.small_bytes = share.small_bytes
        reader = Reader(self.places, limits, self.meter, share.window_bytes, self.options.older)
        checker = Checker(reader, self.meter, self.options.checksum)
        self._transfer = Transfer(reader, self, self.meter, share.workers, checker)
        await self._transfer.run(self._produce)

    def report(self, root: Path) -> FetchReport:
        """What was done."""
        done = self.meter.objects + len(self.failures) + len(self.missing)
        return FetchReport(
            sources=tuple(self.manifest.sources),
            root=root,
            objects=self.objects,
            bytes=self.meter.bytes,
            skipped=self.meter.skipped["already there"],
            cached=self.cached,
            missing=tuple(sorted(self.missing)),
            unpinned=self.unpinned,
            unchecked=self._transfer.checker.unchecked if self._transfer else 0,
            requests=dict(self.meter.requests),
            retries=self.meter.retries,
            elapsed_s=self.meter.elapsed_s,
            notes=tuple(self.meter.notes),
            failed=Counter(type(failure.error).__name__ for failure in self.failures),
            left=max(0, self.names.objects - done),
        )

    def _leave_all(self) -> None:
        """Remove the temporaries of whatever did not end, but for those that the next run goes on with."""
        for sink in self._open.values():
            self.target.discard(sink.temporary) if self.full else self.target.leave(sink.temporary)
        self._open.clear()

    async def open(self, job: Job) -> Sink | None:
        """A sink for what is not there yet."""
        if job.unsure and await self._is_there(job):
            job.unsure = False
            if len(job.parts) > 1:
                await self.threads.run(partial(self.target.tidy, job.local))
            return None
        if self.options.cache is not None and (key := self._key(job)) is not None:
            seen = await self.threads.run(partial(self._take, self.options.cache, key, job))
            if seen is not None:
                self._note_cached(job, seen)
                return None
        if len(job.parts) == 1 and job.pin.size is not None and job.pin.size <= self.small_bytes:
            return MemorySink(job.pin.size, self.threads)
        large = job.pin.size if len(job.parts) > 1 and job.pin.size else 0
        about = (job.entry.ref, job.pin, job.parts) if large and job.is_pinned else None
        temporary = await self.threads.run(partial(self.target.open, job.local, large, about))
        if temporary.journal is not None and temporary.journal.done:
            self.meter.note("large objects that an interrupted fetch had begun were continued")
        sink = self._open[id(job)] = FileSink(temporary, self.threads)
        return sink

    async def finish(self, job: Job) -> None:
        """Give the file its name, and count."""
        sink, keep = job.sink, job.unsure and not self.options.overwrite
        fsync = self.options.fsync == "each"
        if sink is not None and self.options.cache is not None:
            await self.threads.run(partial(self._keep, self.options.cache, job, sink))
        if isinstance(sink, MemorySink):
            put = partial(self.target.put, job.local, (sink.data,), keep=keep, fsync=fsync)
            seen = await self.threads.run(put, length=(job.pin.size or 0) if not fsync else INLINE_BYTES + 1)
        elif isinstance(sink, FileSink):
            seen = await self.threads.run(partial(self.target.finish, sink.temporary, keep=keep, fsync=fsync))
            del self._open[id(job)]
        self.meter.objects += 1
        job.sink = None
        if sink is None:
            if id(job) in self._from_cache:
                self._from_cache.remove(id(job))
            else:
                self._count_there()
            return
        if self.record is not None:
            self.record.add(job.local, job.pin, seen)
        self.objects += 1
        if not job.is_pinned:
            self.unpinned += 1
            self.meter.note("some entries are not pinned (checksum=False): what lies there now was fetched")

    def _key(self, job: Job) -> str | None:
        return key_of(job.entry, self._where[job.entry.source])

    def _take(self, cache: Cache, key: str, job: Job) -> os.stat_result | None:
        """Make a file of what the cache holds; None if it does not hold it."""
        if not cache.has(key):
            return None
        keep = job.unsure and not self.options.overwrite
        temporary = self.target.open(job.local, 0)
        try:
            if cache.take(key, job.pin.size or 0, temporary, link=not keep):
                return self.target.finish(temporary, keep=keep, fsync=self.options.fsync == "each")
        except BaseException:
            self.target.discard(temporary)
            raise
        self.target.discard(temporary)
        return None

    def _note_cached(self, job: Job, seen: os.stat_result) -> None:
        if len(job.parts) > 1:
            self.target.tidy(job.local)
        if self.record is not None:
            self.record.add(job.local, job.pin, seen)
        self._from_cache.add(id(job))
        self.cached += 1
        self.meter.skipped["from the cache"] += 1

    def _keep(self, cache: Cache, job: Job, sink: Sink) -> None:
        """Put what was fetched into the cache. Unchecked content would be trusted there by whoever asks for checks."""
        key = self._key(job)
        if key is None or self.options.checksum == "never":
            return
        if isinstance(sink, MemorySink):
            cache.add(key, len(sink.data), sink.data, None)
        elif isinstance(sink, FileSink):
            cache.add(key, job.pin.size or 0, None, sink.temporary)
        if cache.failure:
            self.meter.note(f"the cache {cache.folder} takes nothing more: {cache.failure}")

    async def fail(self, job: Job, error: Exception) -> None:
        """Note a failure, unless the entry may be missing; end the run where nothing can be written any more."""
        if (sink := self._open.pop(id(job), None)) is not None:
            self.target.leave(sink.temporary) if isinstance(error, RetryableError) else self.target.discard(
                sink.temporary
            )
        job.sink = None
        if isinstance(error, OSError) and (full := unwritable(error, self.target.root)):
            self.full = True
            raise full from error
        self._note(job.entry, error)

    async def _produce(self, send: MemoryObjectSendStream[Sequence[Job]]) -> None:
        """Jobs of all rows: the largest first, then the others in path order."""
        settled = int(self.names.settled.sum())
        self.meter.skipped["already there"] += settled
        self.meter.objects += settled
        large = np.array(sorted(self.names.large), np.int64)
        if len(large):
            chosen = [rows async for rows in self._slices(large, taken=True)]
            table = pa.Table.from_batches(chosen, ENTRY_SCHEMA).sort_by([("size", "descending")])
            for batch in table.combine_chunks().to_batches(_BATCH_ROWS):
                await self._send_jobs(batch, send)
        async with aclosing(self._slices(large, taken=False)) as slices:
            async for rows in slices:
                await self._send_jobs(rows, send)

    async def _slices(self, large: npt.NDArray[np.int64], *, taken: bool) -> AsyncGenerator[pa.RecordBatch]:
        """The manifest's rows, those of the large objects only or all others."""
        start = 0
        async with aclosing(batches_of(self.manifest)) as batches:
            async for batch in batches:
                low, high = np.searchsorted(large, (start, start + batch.num_rows))
                mask = np.full(batch.num_rows, not taken)
                mask[large[low:high] - start] = taken
                if len(settled := self.names.settled[start : start + batch.num_rows]):
                    mask &= ~settled
                start += batch.num_rows
                rows = batch if mask.all() else batch.filter(pa.array(mask))
                for at in range(0, rows.num_rows, _BATCH_ROWS):
                    yield rows.slice(at, _BATCH_ROWS)

    async def _send_jobs(self, rows: pa.RecordBatch, send: MemoryObjectSendStream[Sequence[Job]]) -> None:
        jobs: list[Job] = []
        for entry, local, there in await self.threads.run(partial(self._look, rows)):
            source, place = self.manifest.sources[entry.source], self._place[entry.source]
            if isinstance(there, OSError):
                if full := unwritable(there, self.target.root):
                    raise full from there
                self._note(entry, there)
                continue
            if there is There.OTHER and not self.options.overwrite:
                self._note(entry, another_file_error())
                continue
            jobs.append(Job.of(entry, source, place, local=local))
            jobs[-1].unsure = there is There.SAME_SIZE
        if jobs:
            await send.send(jobs)

    def _look(self, rows: pa.RecordBatch) -> list[tuple[Entry, str, There | OSError]]:
        looked: list[tuple[Entry, str, There | OSError]] = []
        for entry in entries_of(rows, self.manifest.sources):
            local = self.names.plan.local(entry.path)
            try:
                looked.append((entry, local, self.target.lies(local, entry.pin.size)))
            except OSError as error:  # a folder that cannot be made or entered
                looked.append((entry, local, error))
        return looked

    async def _is_there(self, job: Job) -> bool:
        """Whether the file of the right size that lies there is the pinned one.

        Raises:
            FetchError: It surely is not, and may not be replaced.
        """
        if self.options.checksum == "never" and job.pin.size is not None:
            return True
        call = partial(self.target.match, job.local, job.pin)
        found, seen = await self.threads.run(call, length=job.pin.size or 0)
        if found is Match.SAME and self.record is not None:
            self.record.add(job.local, job.pin, seen)
        if found is Match.OTHER and not self.options.overwrite:
            raise another_file_error()
        return found is Match.SAME

    def _count_there(self) -> None:
        self.meter.skipped["already there"] += 1

    def _note(self, entry: Entry, error: Exception) -> None:
        gone = isinstance(error, NotFoundError | ChangedError) and not isinstance(error, ContainerNotFoundError)
        if gone and self.options.allow_missing:
            self.missing.append(entry.path)
            self.meter.skipped["missing"] += 1
        else:
            self.failures.append(Failure(entry.path, entry.ref, error))
            self.meter.failed += 1

    def _failed(self) -> FetchError:
        self.failures.sort(key=lambda failure: failure.path)
        lost = all(isinstance(failure.error, NotFoundError | ChangedError) for failure in self.failures)
        return FetchError(
            f"{len(self.failures)} of {self.names.objects} entries could not be fetched",
            failures=tuple(self.failures),
            hint="allow_missing_references=True leaves them out" if lost else None,
        )
