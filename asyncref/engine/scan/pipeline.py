"""Drives the listing of one source: ranges or folders to pages, pages to rows, rows to the caller's sink.

Workers take a piece of the listing each (a key range, a folder), follow the server's own markers inside it
and hand every page on as soon as it is checked. What is decided here about a page is pure; every request
goes through a `Lane` (limits, retry, counters).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import anyio
import pyarrow as pa
import pyarrow.compute as pc
from anyio.abc import TaskGroup

from asyncref.backends.base import Backend
from asyncref.engine.flow import Lane, Lanes, Meter, Tally
from asyncref.engine.flow.groups import one_error
from asyncref.engine.scan.advance import Advance
from asyncref.engine.scan.budget import Budget
from asyncref.engine.scan.folders import FolderTree
from asyncref.engine.scan.keyspace import LEARN_PAGES, KeySpace
from asyncref.engine.scan.ledger import Coverage, Covered
from asyncref.engine.scan.moment import Moment
from asyncref.engine.scan.pins import Namer, Pinner
from asyncref.engine.scan.pushdown import Piece, Plan
from asyncref.engine.scan.rows import RowMaker, total, trim
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.span import Span
from asyncref.engine.scan.spool import UNORDERED
from asyncref.engine.scan.walk import walk
from asyncref.engine.scan.witness import Sighting, Witness
from asyncref.errors import OrderError, ProtocolError
from asyncref.model import BEHIND_LAST, KeyRange, ListRequest, Page, Pin
from asyncref.texts import ascends

_CLOCKS: Final = timedelta(seconds=2)
"""What a server's clock may be behind ours, and the one second that S3's times have."""
EVERYTHING: Final = (KeyRange(),)


class Emit(Protocol):
    """Takes rows of `ENTRY_SCHEMA`, the number of their run and what they settle; awaits while the sink is full."""

    async def __call__(self, run: int, rows: pa.RecordBatch, covered: Covered | None = None, /) -> None:
        """Take them."""


@dataclass(slots=True)
class Lister:
    """One source's listing, whole.

    Args:
        backend: Where to list.
        prefix: What keys start with; for hierarchical storages the folder to start in.
        versions: Ask for version ids.
        rows: Makes rows of pages.
        pinner: Pins rows that the listing does not; None where it does.
        emit: Takes the rows.
        lanes: Gives the way there.
        budget: Objects left until `max_objects`; shared by the sources of a scan.
        uri: As the user gave it, for errors.
    """

    backend: Backend
    prefix: str
    versions: bool
    rows: RowMaker
    pinner: Pinner | Namer | None
    emit: Emit
    lanes: Lanes
    budget: Budget
    uri: str
    lane: Lane = field(init=False)
    meter: Meter = field(init=False)
    first_page: Page | None = None
    """The first page, where finding out what the prefix means has already brought it."""
    plan: Plan = field(kw_only=True)
    """The parts of the prefix to list."""
    first_prefix: str | None = None
    """What `first_page` was asked for by, if not by `prefix`."""
    hints: Sequence[str] = ()
    """Keys that are likely to part the listing evenly, ascending."""
    at: datetime | None = None
    """List what lay there then; None: what lies there now."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the listing began, by the first of its runs: objects modified later may or may not be seen."""
    _encoded: bool | None = None
    _passes: bool = True
    _counts: bool = True
    _witness: Witness = field(init=False)
    _owed: dict[int, Sighting | None] = field(default_factory=dict)  # what ranges have to show next, by their number

    def __post_init__(self) -> None:
        self.lane, self.meter = self.lanes.of("list", self.backend), self.lanes.meter

    async def run(self, ranges: Sequence[KeyRange] = EVERYTHING, seams: Seams | None = None) -> None:
        """List everything, or what is left of it.

        Args:
            ranges: What to list of a flat, ordered storage; ascending.
            seams: Of the ranges listed before.

        Raises:
            OrderError: Keys out of byte order: what was emitted must be discarded and `run_serially` used.
            TooManyObjectsError: More than the budget.
            StorageError, RetryableError: What the storage answered for good, or to the last try.
        """
        traits = self.backend.traits
        if traits.hierarchical:
            vanished = await walk(self.prefix, self._folder, workers=self.lane.controller.most)
            self.meter.skipped["vanished"] += vanished
        elif traits.ordered and traits.ranged:
            await self._share(ranges, seams or Seams())
        elif traits.delimited:
            await self._list_folders()
        else:
            await self.run_serially()

    async def run_serially(self) -> None:
        """List from start to end by the server's own markers, in whatever order it sends; nothing is trimmed."""
        request = self._request(KeyRange())
        moment, advance = self._moment(), Advance(self.uri, self.versions)
        while True:
            page = await self._page(request, moment)
            advance.saw(page)
            await self._deliver(UNORDERED, page.batch, _tally(page, ended=page.cursor is None))
            if page.cursor is None:
                return
            request = replace(request, cursor=page.cursor)

    async def holds_anything(self) -> bool:
        """Whether the server sends anything at all under the prefix; the listed parts may be empty where it does."""
        page = await self._page(self._request(KeyRange()))
        return bool(page.seen or page.folders)

    async def _list_folders(self) -> None:
        """List a storage that gives folders and no ranges."""
        first, self.first_page = self.first_page, None
        stats = self.lanes.of("stat", self.backend)

        async def give(page: Page) -> None:
            self.meter.skipped.update(page.skipped)
            await self._deliver(UNORDERED, page.batch, _tally(page, ended=page.cursor is None))

        async def stat(key: str) -> Pin:
            return await stats.call(lambda: self.backend.stat(key))

        tree = FolderTree(self._page, give, stat, self._request(KeyRange()), workers=self.lane.controller.most)
        await tree.run(first)
        self.meter.skipped["vanished"] += tree.vanished

    async def _share(self, ranges: Sequence[KeyRange], seams: Seams) -> None:
        """List one flat key space with workers that take ranges from each other."""
        traits = self.backend.traits
        space = KeySpace(self.prefix, page_rows=traits.page_rows, repeats=self.versions, hints=self.hints)
        self._witness = Witness(self._send, self.meter.note, self.uri, self.started - _CLOCKS, self.at)
        with one_error():
            async with anyio.create_task_group() as group:
                proved = seams.proved()
                for span in space.start_from(self.plan.within(ranges)):
                    group.start_soon(self._follow, span, space, seams, group, span.after not in proved)
        for after, key, certain in seams.missing():
            await self._refuse_gap(after, key, certain=certain)

    async def _refuse_gap(self, after: str, key: str, *, certain: bool) -> None:
        """A key that a listing from behind `after` did not begin with may have gone or come meanwhile; else it is a gap.

        Raises:
            OrderError: It is there and was all along, or such a listing still does not show it.
        """
        there = await self._sees(key, self._request(KeyRange(), key))
        if there is None:
            return
        piece = self.plan.piece_of(after)
        listing = self._request(KeyRange(piece.start(after)), piece.prefix)
        if (certain and there.certain) or await self._sees(key, listing) is None:
            raise OrderError(f"the server leaves out {key!r} when a listing starts right before it", uri=self.uri)

    async def _sees(self, key: str, request: ListRequest) -> Sighting | None:
        """A key as a listing that should come to it shows it now; None if it does not."""
        moment, advance = self._moment(), Advance(self.uri, self.versions)
        while True:
            page = await self._page(request, moment)
            at = pc.index(page.batch.column(0), key).as_py()
            if at >= 0:
                return self._witness.sighting(page.batch.slice(at))
            if page.cursor is None or (page.last is not None and page.last > key):
                return None
            advance.saw(page)
            request = _behind(page, request, None)

    async def _follow(
        self, span: Span, space: KeySpace, seams: Seams, group: TaskGroup, is_unproved: bool = False
    ) -> None:
        """List one range to its end, which others may move nearer meanwhile; start those others.

        Args:
            span: The range.
            space: Of which it is a part.
            seams: Where its ends are noted.
            group: Where the others are started.
            is_unproved: No range below sees the key that this one begins with.
        """
        piece = self.plan.piece_of(span.after)
        request = self._request(KeyRange(piece.start(span.after), span.last), piece.prefix)
        if is_unproved:
            self._owed[span.run] = await self._first_behind(piece, request.keys.after)
        moment, advance = self._moment(), Advance(self.uri, self.versions)
        coverage = Coverage(span.after, self.versions)
        going_on, unsettled = True, Tally()
        emitted: str | None = None
        passed: str | None = None
        while going_on:
            page = await self._page(request, moment)
            self._check_order(span, page)
            advance.saw(page)
            after = passed if self.versions else span.position
            kept = trim(page.batch, KeyRange(span.after if after is None else after, span.last))
            samples = _samples(kept) if span.pages < LEARN_PAGES and space.learns(span) else []
            going_on = space.saw(span, page, kept=kept.num_rows, keys=samples)
            for stolen in space.steal(self.lane.controller.wanted - space.active):
                group.start_soon(self._follow, stolen, space, seams, group)
            if kept.num_rows:
                emitted = kept.column(0)[-1].as_py()
                seams.began(span.run, span.after, kept.column(0)[0].as_py())
            if kept.num_rows or not going_on:
                await self._hold_to_owed(span, passed, kept, seams)
            beyond = None if going_on else await self._end(span, page, piece, seams)
            covered = coverage.saw(page, kept, last=span.last, ended=not going_on, beyond=beyond)
            tally = _tally(page, ended=not going_on, kept=kept.num_rows)
            if covered is not None:
                covered.listed, unsettled = unsettled, Tally()
            await self._deliver(span.run, kept, tally, covered)
            if covered is None:
                unsettled.add(tally)
            if going_on and await self._may_pass(page, emitted, passed, span, piece):
                passed, advance = page.last, Advance(self.uri, self.versions)
                request = self._request(KeyRange(passed, span.last), piece.prefix)
            elif going_on:
                request = _behind(page, request, span.last)

    async def _may_pass(self, page: Page, emitted: str | None, passed: str | None, span: Span, piece: Piece) -> bool:
        """Whether the listing may go on behind a key with more versions than a page: its latest is all that is wanted.

        A key of 100,000 versions would take 100 requests one after the other. Nothing shows what comes first behind it,
        so that is asked for (`Witness`). Where a server (Ceph, moto) begins such a key again, its own markers are
        followed from then on.
        """
        if not self.versions or self.at is not None or page.first != page.last or page.last != emitted:
            return False
        self._passes = self._passes and page.last != passed
        if self._passes:
            self._owed[span.run] = await self._first_behind(piece, page.last)
            self._passes = not self._witness.denied
        return self._passes

    async def _first_behind(self, piece: Piece, after: str | None) -> Sighting | None:
        """What a listing of versions that starts behind a key has to begin with, as far as it can be learnt."""
        if not self.versions or after is None:
            return None
        return await self._witness.first_behind(piece.prefix, after)

    async def _end(self, span: Span, page: Page, piece: Piece, seams: Seams) -> str | None:
        """Note where a range ends, and the first object behind that, with which the next one has to begin.

        Returns:
            That object, if it was surely there all along.
        """
        beyond = None
        if span.last is not None:
            beyond = self._witness.sighting(trim(page.batch, KeyRange(span.last, None)))
            if beyond is None and page.cursor is not None and span.last != piece.keys.last:
                beyond = await self._first_behind(piece, span.last)
        key, certain = (None, True) if beyond is None else (beyond.key, beyond.certain)
        seams.ended(span.run, span.after, span.last, key, certain=certain)
        return key if certain else None

    async def _hold_to_owed(self, span: Span, passed: str | None, kept: pa.RecordBatch, seams: Seams) -> None:
        """Compare what a range, or what lies behind a key that was passed, begins with and what it has to begin with."""
        owed = self._owed.pop(span.run, None)
        if owed is None or (kept.num_rows and kept.column(0)[0].as_py() <= owed.key):
            return
        if span.last is not None and owed.key > span.last:
            seams.ended((span.run, span.last), span.last, span.last, owed.key, certain=owed.certain)
        else:
            await self._refuse_gap(passed or span.after or "", owed.key, certain=owed.certain)

    def _check_order(self, span: Span, page: Page) -> None:
        if not page.ascends and not ascends(page.batch.column(0)):
            raise OrderError("keys within a page are out of byte order", uri=self.uri)
        if page.first is not None and page.first < (span.position or span.after or ""):
            where = "where it was to start" if span.position is None else "the last one's end"
            raise OrderError(f"a page starts at {page.first!r}, before {where}", uri=self.uri)

    async def _folder(self, folder: str, pending: list[str]) -> None:
        """List one folder of a tree; add the folders in it to those that are pending."""
        request = ListRequest(prefix=folder, limit=self.backend.traits.page_rows)
        while True:
            page = await self._page(request)
            pending.extend(folder for folder in reversed(page.folders) if self.plan.reaches(folder))
            self.rows.refuse(page.refused)
            self.meter.skipped.update(page.skipped)
            await self._deliver(UNORDERED, page.batch, _tally(page, ended=page.cursor is None))
            if page.cursor is None:
                return
            request = replace(request, cursor=page.cursor)

    def _request(self, keys: KeyRange, prefix: str | None = None) -> ListRequest:
        rows, prefix = self.backend.traits.page_rows, self.prefix if prefix is None else prefix
        return ListRequest(prefix=prefix, keys=keys, versions=self.versions, limit=rows, at=self.at)

    def _moment(self) -> Moment | None:
        return Moment(self.at, self.uri) if self.at is not None else None

    async def _page(self, request: ListRequest, moment: Moment | None = None) -> Page:
        asked = self.prefix if self.first_prefix is None else self.first_prefix
        is_first = request.cursor is None and request.keys.after is None and request.prefix == asked
        if self.first_page is not None and is_first:
            page, self.first_page = self.first_page, None
        else:
            page = await self._send(request)
        if self._counts and page.claimed > page.seen + len(page.folders):
            page = await self._counted(await self._send(request))
        if page.encoded is not None:
            self._encoded = page.encoded if self._encoded is None else self._encoded
            if page.encoded != self._encoded:
                raise ProtocolError("keys come encoded on one page and plain on another", uri=self.uri)
        if page.cursor is not None and page.cursor == request.cursor:
            raise ProtocolError("the server's marker does not advance", uri=self.uri)
        return page if moment is None else moment(page)

    async def _counted(self, page: Page) -> Page:
        """A page that was asked for again since it held fewer rows than it said: if it still does, that is noted, once."""
        if self._counts and page.claimed > page.seen + len(page.folders):
            self._counts = False
            self.meter.note(
                f"{self.uri}: the server said twice that a page of {page.seen:,} objects has {page.claimed:,}; "
                "what it counts is not relied on"
            )
        return page

    async def _send(self, request: ListRequest) -> Page:
        return await self.lane.call(lambda: self.backend.list_page(request))

    async def _deliver(self, run: int, page: pa.RecordBatch, tally: Tally, covered: Covered | None = None) -> None:
        counted = self.meter.skipped
        before = counted.copy() if counted else None  # most scans leave nothing out
        rows = self.rows(page)
        skipped = Counter(counted) if before is None else counted - before
        if self.pinner is not None and (count := rows.num_rows):
            rows = await self.pinner(rows)
            skipped["vanished"] += count - rows.num_rows
        self.budget.take(rows.num_rows)
        self.meter.objects += rows.num_rows
        size = total(rows.column(2))
        self.meter.bytes += size
        tally.kept, tally.left_out = rows.num_rows, page.num_rows - rows.num_rows
        self.meter.listed.add(tally)
        if covered is not None:
            covered.listed.add(tally)
            covered.skipped, covered.size = skipped, size
        await self.emit(run, rows, covered)


def _behind(page: Page, request: ListRequest, last: str | None) -> ListRequest:
    """What to ask after a page of a range that ends there."""
    if page.cursor is BEHIND_LAST:
        return replace(request, keys=KeyRange(page.last, last))
    return replace(request, keys=KeyRange(request.keys.after, last), cursor=page.cursor)


def _tally(page: Page, *, ended: bool, kept: int | None = None) -> Tally:
    """What is known of a page before its rows are judged."""
    rows = page.batch.num_rows
    return Tally(
        pages=1, ranges=ended, seen=page.seen, other=page.seen - rows, repeated=rows - (rows if kept is None else kept)
    )


def _samples(page: pa.RecordBatch, count: int = 6) -> list[str]:
    """A few keys of a page, ascending, for the model of the key space."""
    step = max(1, page.num_rows // (count + 1))
    keys = page.column(0)
    return [keys[index].as_py() for index in range(step, page.num_rows, step)]
