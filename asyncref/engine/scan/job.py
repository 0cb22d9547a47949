"""One scan at work: opens each target's backend, finds out what it means, lists it into a sink."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

import anyio

from asyncref.backends.base import NamesPaths, Traits
from asyncref.engine.flow import Lanes, Meter, Tally, one_error
from asyncref.engine.scan.budget import Budget
from asyncref.engine.scan.feed import Emit, Feed
from asyncref.engine.scan.hints import hints_of
from asyncref.engine.scan.ledger import Ledger, remaining
from asyncref.engine.scan.meeting import Meetings, Met
from asyncref.engine.scan.moment import moment_of
from asyncref.engine.scan.outline import outline
from asyncref.engine.scan.pins import Namer, Pinner
from asyncref.engine.scan.pipeline import Lister
from asyncref.engine.scan.rows import BadKeys, RowMaker
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.spool import UNORDERED
from asyncref.engine.scan.target import Listing, Single, Target, single_path, source_of, unpinned
from asyncref.errors import NothingFoundError, OptionError, OrderError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import KeyRange, Limits, Source

Heads = Literal["auto", "never"]
"""Whether to ask for every object whose version id the listing may not tell."""
Resume = Callable[[dict[str, Any]], Awaitable[Ledger | None]]
"""Keeps what is emitted from here on under a request, and gives back what an interrupted scan by it left."""


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the rows of one target go.

    Attributes:
        emit: Takes them.
        discard: Takes back all that was emitted, so that the target can be listed again serially. None: nothing can
            be taken back, and a storage out of order is an error.
        resume: Called before a flat, ordered storage is listed; others are listed from the start.
    """

    emit: Emit
    discard: Callable[[], None] | None = None
    resume: Resume | None = None


@dataclass(slots=True)
class Job:
    """One scan's settings and what it has counted so far; `add` lists one target after the other. To be closed.

    Args:
        storage_options: fsspec's names, flat or by scheme.
        wanted: Globs over relative paths.
        limits: Bounds.
        bad_keys: What to do with keys that no path can stand for.
        heads: Whether to HEAD every object where the listing may not tell version ids.
        budget: `max_objects`, shared by the targets.
        meter: Counts everything.
        at: The moment whose state is meant; None: now.
        against: A former manifest, whose keys part the listing.
        sources: The records of the targets begun so far, in order.
        in_order: Everything was listed in key order, so every row kept is an entry of its own.
    """

    storage_options: Mapping[str, Any] | None
    wanted: Filter
    limits: Limits
    bad_keys: BadKeys
    heads: Heads
    budget: Budget
    meter: Meter
    at: datetime | str | None = None
    against: Manifest | None = None
    moment: datetime | None = field(init=False, default=None)
    sources: list[Source] = field(default_factory=list)
    in_order: bool = True
    lanes: Lanes = field(init=False)
    meetings: Meetings = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.limits, self.meter)
        # A misspelt "raise" must not leave keys out in silence.
        for name, value, known in (("bad_keys", self.bad_keys, BadKeys), ("heads", self.heads, Heads)):
            if value not in get_args(known):
                raise OptionError(f"{name}={value!r} is not known", hint=f"use one of {', '.join(get_args(known))}")
        if self.budget.most is not None and self.budget.most < 1:
            raise OptionError(f"max_objects={self.budget.most} leaves no room for any object")
        if self.at is not None:
            self.moment = moment_of(self.at)
        self.meetings = Meetings(self.storage_options, self.limits, self.lanes, self.moment, self.wanted)

    async def add_all(self, targets: Sequence[Target], sink_of: Callable[[int], Sink]) -> None:
        """List targets, one after the other.

        Args:
            targets: What to list.
            sink_of: Gives the sink of a target, by its number, when its turn has come.

        Raises:
            NothingFoundError: A listing that is complete and empty.
            OrderError: Keys out of byte order, and the sink takes nothing back.
        """
        with one_error():
            async with anyio.create_task_group() as group:
                index = 0
                async for met in self.meetings.in_turn(targets, group):
                    await self._take(met, sink_of(index))
                    await self.meetings.leave(met)
                    index += 1

    async def add(self, target: Target, sink: Sink) -> None:
        """List one target into a sink; raises as `add_all`."""
        await self.add_all([target], lambda _: sink)

    async def aclose(self) -> None:
        """Close all backends. Idempotent."""
        await self.meetings.aclose()

    async def _take(self, met: Met, sink: Sink) -> None:
        """List what a target means."""
        target, reference, found = met.target, met.reference, met.found
        backend = met.finder.backend
        if found is None:
            path, single = unpinned(target, reference)
            await self._add_single(source_of(target, reference, backend, ""), path, reference.key, single, sink.emit)
        elif isinstance(found, Single):
            source = source_of(target, reference, backend, reference.key, at=self.moment)
            await self._add_single(source, single_path(target, reference.key), reference.key, found, sink.emit)
        else:
            seen = self._met()
            source = source_of(target, reference, backend, found.prefix, wanted=self.wanted, at=self.moment)
            lister = await self._list(source, met, found, sink)
            if self._met() == seen and (lister.plan.is_whole or not await lister.holds_anything()):
                hint = "the listing is complete and empty"
                if any(character in target.uri for character in "*?["):
                    hint += "; a URI's * and ? stand for themselves, globs go into include="
                raise NothingFoundError("nothing there", uri=target.uri, hint=hint)

    def _met(self) -> int:
        """Objects met so far, those left out included; folder markers are none."""
        return self.meter.objects + self.meter.skipped.total() - self.meter.skipped["folder_marker"]

    async def _add_single(self, source: Source, path: str, key: str, single: Single, emit: Emit) -> None:
        rows = RowMaker(source, len(self.sources)).single(single.page, path, f"{source.root}{key}")
        self.sources.append(source)
        self.budget.take(1)
        self.meter.objects += 1
        self.meter.bytes += single.page.column(1)[0].as_py() or 0
        self.meter.listed.add(Tally(ranges=1, seen=1, kept=1))
        await emit(UNORDERED, rows)

    async def _list(self, source: Source, met: Met, found: Listing, sink: Sink) -> Lister:
        backend, plan = met.finder.backend, met.finder.plan_for(found)
        traits, index = backend.traits, len(self.sources)
        self.sources.append(source)
        pinner: Pinner | Namer | None = None
        if not source.checksum:
            pinner = Namer(backend, source)
        elif not traits.listing_pins or (found.stat_for_versions and self.heads == "auto"):
            lenient = traits.listing_proves or self.bad_keys == "skip"
            pinner = Pinner(backend, source, self.lanes, lenient=lenient)
        naming = backend if isinstance(backend, NamesPaths) else None
        feed = Feed(
            backend=backend,
            prefix=found.prefix,
            versions=found.versions,
            rows=RowMaker(source, index, self.wanted, self.bad_keys, traits.folder_markers, self.meter.skipped, naming),
            pinner=pinner,
            emit=sink.emit,
            lanes=self.lanes,
            budget=self.budget,
            uri=source.uri,
            first_page=found.first_page,
            first_prefix=found.first_piece.prefix if found.first_piece is not None else None,
            at=self.moment,
        )
        hints = await self._hints(source, traits)
        lister = Lister(feed, plan, hints, met.since)
        counted = self.meter.objects, self.meter.bytes, self.budget.taken, self.meter.skipped.copy()
        listed = replace(self.meter.listed)
        flat = traits.ordered and traits.ranged and not traits.hierarchical
        first = found.first_page if flat and traits.delimited and not hints else None
        self.in_order &= flat
        ledger = None
        if sink.resume is not None and flat:
            ledger = await sink.resume(self._request(source, index, versions=found.versions, stat=pinner is not None))
        try:
            with one_error():
                async with anyio.create_task_group() as group:
                    if first is not None:
                        group.start_soon(outline, feed.send, feed.request(KeyRange()), first, hints)
                    if ledger is None:
                        await lister.run()
                    else:
                        lister.started = ledger.started
                        self.budget.take(sum(block.rows for block in ledger.blocks))
                        await lister.run(remaining(block.keys for block in ledger.blocks), Seams.of(ledger.blocks))
                    group.cancel_scope.cancel()
        except OrderError as error:
            if sink.discard is None:
                raise
            sink.discard()
            self.meter.objects, self.meter.bytes, self.budget.taken, skipped = counted
            self.meter.skipped.clear()
            self.meter.skipped.update(skipped)
            self.meter.listed, self.in_order = listed, False
            self.meter.note(f"{source.uri}: {error.message}; listed once more serially, then sorted")
            feed.first_page = None
            await lister.run_serially()
        else:
            if left_out := plan.without(self.wanted):
                self.meter.note(f"{source.uri}: {left_out}")
        return lister

    async def _hints(self, source: Source, traits: Traits) -> list[str]:
        if self.against is None or traits.hierarchical or not (traits.ordered and traits.ranged):
            return []
        return await anyio.to_thread.run_sync(partial(hints_of, self.against, source, page_rows=traits.page_rows))

    def _request(self, source: Source, index: int, *, versions: bool, stat: bool) -> dict[str, Any]:
        """All that decides which rows a listing gives: only a scan with the same may go on with it."""
        return {
            "source": asdict(source),
            "index": index,
            "versions": versions,
            "stat": stat,
            "bad_keys": self.bad_keys,
            "heads": self.heads,
        }
