"""From the rows of a manifest to jobs: what has to be looked at or fetched, the largest objects first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from anyio.streams.memory import MemoryObjectSendStream

from asyncref.engine.fetch.job import Job
from asyncref.engine.fetch.naming import Names, batches_of
from asyncref.engine.fetch.sinks import Threads
from asyncref.engine.fetch.sources import Place
from asyncref.engine.fetch.tally import Tally
from asyncref.engine.fetch.target import Target, There, unwritable
from asyncref.engine.fetch.temporary import another_file_error
from asyncref.manifest import Manifest
from asyncref.manifest.rows import entries_of
from asyncref.model import ENTRY_SCHEMA, Entry

_BATCH_ROWS: Final = 1024  # rows prepared (looked up on disk, folders made) by one call of a thread


@dataclass(slots=True)
class Feeder:
    """Makes the jobs of one fetch.

    Args:
        manifest: What is fetched.
        names: The first pass over it.
        places: Of its sources, in their order.
        target: Where its files go.
        threads: For looking there.
        tally: Takes what cannot be fetched.
        overwrite: Files that are not their entry's may be replaced.
    """

    manifest: Manifest
    names: Names
    places: Sequence[Place]
    target: Target
    threads: Threads
    tally: Tally
    overwrite: bool

    async def produce(self, send: MemoryObjectSendStream[Sequence[Job]]) -> None:
        """Jobs of all rows: the largest first, then the others in path order."""
        settled = int(self.names.settled.sum())
        self.tally.meter.skipped["already there"] += settled
        self.tally.meter.objects += settled
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
            source, place = self.manifest.sources[entry.source], self.places[entry.source]
            if isinstance(there, OSError):
                if full := unwritable(there, self.target.root):
                    raise full from there
                self.tally.fail(entry, there)
                continue
            if there is There.OTHER and not self.overwrite:
                self.tally.fail(entry, another_file_error())
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
                # A look at 10,000 names, each a handover of the interpreter to this thread and back, costs 10 µs a name.
                there = There.NOTHING if self.names.bare else self.target.lies(local, entry.pin.size)
                if self.names.bare or (there is There.OTHER and self.overwrite):
                    self.target.prepare(local)
                looked.append((entry, local, there))
            except OSError as error:  # a folder that cannot be made or entered
                looked.append((entry, local, error))
        return looked
