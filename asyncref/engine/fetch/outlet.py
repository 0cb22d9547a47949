"""What becomes of the objects of a fetch: a file each, from the cache or the storage, checked, named, recorded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from asyncref.engine.fetch.cache import Cache, key_of
from asyncref.engine.fetch.content import Match
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.options import FetchOptions
from asyncref.engine.fetch.record import Record
from asyncref.engine.fetch.sinks import INLINE_BYTES, FileSink, MemorySink, Threads
from asyncref.engine.fetch.small import IS_BUILT, Seen, SmallFiles
from asyncref.engine.fetch.tally import Tally
from asyncref.engine.fetch.target import Target, unwritable
from asyncref.engine.fetch.temporary import another_file_error
from asyncref.errors import RetryableError


@dataclass(slots=True)
class Files:
    """Objects into the files of one folder. An `Outlet`.

    Args:
        target: The folder.
        options: How.
        threads: For blocking calls.
        tally: Counts.
        record: Of what the folder holds.
        where: For the cache, what tells a source's bucket from another of its name.
        small_bytes: Up to here an object is held in memory until it is complete.
    """

    target: Target
    options: FetchOptions
    threads: Threads
    tally: Tally
    record: Record | None
    where: Sequence[str] = ()
    small_bytes: int = INLINE_BYTES
    full: bool = False
    _small: SmallFiles = field(init=False)
    _begun: dict[int, FileSink] = field(default_factory=dict)
    _from_cache: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._small = SmallFiles(self.threads)

    def close(self) -> None:
        """Remove the temporaries of whatever did not end, but for those that the next run goes on with."""
        for sink in self._begun.values():
            sink.temporary.discard() if self.full else sink.temporary.leave()
        self._begun.clear()

    async def open(self, job: Job) -> Sink | None:
        """A sink for what is not there yet."""
        if job.unsure and await self._is_there(job):
            job.unsure = False
            return None
        if job.unsure:
            await self.threads.run(partial(self.target.prepare, job.local))
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
            self.tally.meter.note("large objects that an interrupted fetch had begun were continued")
        sink = self._begun[id(job)] = FileSink(temporary, self.threads)
        return sink

    async def finish(self, job: Job) -> None:
        """Give the file its name, and count."""
        sink, keep, fsync = job.sink, not self.options.overwrite, self.options.fsync == "each"
        if sink is not None and self.options.cache is not None:
            await self.threads.run(partial(self._keep, self.options.cache, job, sink))
        seen: os.stat_result | Seen | None = None
        if isinstance(sink, MemorySink):
            seen = await self._write(job, sink, keep=keep, fsync=fsync)
        elif isinstance(sink, FileSink):
            seen = await self.threads.run(partial(sink.temporary.finish, keep=keep, fsync=fsync))
            del self._begun[id(job)]
        self.tally.meter.objects += 1
        job.sink = None
        if sink is None:
            if id(job) in self._from_cache:
                self._from_cache.remove(id(job))
            else:
                self._count_there()
            return
        if self.record is not None and seen is not None:
            self.record.add(job.local, job.entry.pin, seen, synced=fsync)
        self.tally.objects += 1
        if job.adopted or not job.is_pinned:
            self.tally.unpinned += 1
            self.tally.meter.note("some entries are not pinned (checksum=False): what lies there now was fetched")

    async def _write(self, job: Job, sink: MemorySink, *, keep: bool, fsync: bool) -> os.stat_result | Seen:
        """Write a small file; together with others where that can be."""
        if IS_BUILT and self.target.unnamed and keep and not fsync and len(sink.data) <= INLINE_BYTES:
            written = await self._small.write(self.target.file_of(job.local), sink.data)
            if written is not None:
                return written
        put = partial(self.target.put, job.local, (sink.data,), keep=keep, fsync=fsync)
        return await (self.threads.run(put) if fsync else self.threads.copy(put, length=job.pin.size or 0))

    def _key(self, job: Job) -> str | None:
        return key_of(job.entry, self.where[job.entry.source])

    def _take(self, cache: Cache, key: str, job: Job) -> os.stat_result | None:
        """Make a file of what the cache holds; None if it does not hold it."""
        if not cache.has(key):
            return None
        keep = not self.options.overwrite
        temporary = self.target.open(job.local, 0)
        try:
            if cache.take(key, job.pin.size or 0, temporary):
                return temporary.finish(keep=keep, fsync=self.options.fsync == "each")
        except BaseException:
            temporary.discard()
            raise
        temporary.discard()
        return None

    def _note_cached(self, job: Job, seen: os.stat_result) -> None:
        if self.record is not None:
            self.record.add(job.local, job.entry.pin, seen, synced=self.options.fsync == "each")
        self._from_cache.add(id(job))
        self.tally.cached += 1
        self.tally.meter.skipped["from the cache"] += 1

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
            self.tally.meter.note(f"the cache {cache.folder} takes nothing more: {cache.failure}")

    async def fail(self, job: Job, error: Exception) -> None:
        """Note a failure, unless the entry may be missing; end the run where nothing can be written any more."""
        if (sink := self._begun.pop(id(job), None)) is not None:
            sink.temporary.leave() if isinstance(error, RetryableError) else sink.temporary.discard()
        job.sink = None
        if error is self.target.refusal:
            raise error
        if isinstance(error, OSError) and (full := unwritable(error, self.target.root)):
            self.full = True
            raise full from error
        self.tally.fail(job.entry, error)

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
            self.record.add(job.local, job.entry.pin, seen)
        if found is Match.OTHER and not self.options.overwrite:
            raise another_file_error()
        return found is Match.SAME

    def _count_there(self) -> None:
        self.tally.meter.skipped["already there"] += 1
