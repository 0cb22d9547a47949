"""The way of pages from one source to the caller's sink: asked for, checked, made into rows, counted, handed on.

What is decided here about a page is pure; every request goes through a `Lane` (limits, retry, counters).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from asyncref.backends.base import Backend
from asyncref.engine.flow import Lane, Lanes, Meter, Tally
from asyncref.engine.scan.budget import Budget
from asyncref.engine.scan.ledger import Covered
from asyncref.engine.scan.moment import Moment
from asyncref.engine.scan.pins import Namer, Pinner
from asyncref.engine.scan.rows import RowMaker, total
from asyncref.errors import ProtocolError
from asyncref.model import BEHIND_LAST, KeyRange, ListRequest, Page


class Emit(Protocol):
    """Takes rows of `ENTRY_SCHEMA`, the number of their run and what they settle; awaits while the sink is full."""

    async def __call__(self, run: int, rows: pa.RecordBatch, covered: Covered | None = None, /) -> None:
        """Take them."""


@dataclass(slots=True)
class Feed:
    """One source's pages and rows.

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
        first_page: The first page, where finding out what the prefix means has already brought it.
        first_prefix: What that was asked for by, if not by `prefix`.
        at: List what lay there then; None: what lies there now.
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
    first_page: Page | None = None
    first_prefix: str | None = None
    at: datetime | None = None
    lane: Lane = field(init=False)
    meter: Meter = field(init=False)
    _encoded: bool | None = None
    _counts: bool = True

    def __post_init__(self) -> None:
        self.lane, self.meter = self.lanes.of("list", self.backend), self.lanes.meter

    def request(self, keys: KeyRange, prefix: str | None = None) -> ListRequest:
        """What to ask for a range of keys under a prefix; that of the source if None."""
        rows, prefix = self.backend.traits.page_rows, self.prefix if prefix is None else prefix
        return ListRequest(prefix=prefix, keys=keys, versions=self.versions, limit=rows, at=self.at)

    def moment(self) -> Moment | None:
        """What picks one version a key, where a past moment is listed; for one listing from start to end."""
        return Moment(self.at, self.uri) if self.at is not None else None

    async def page(self, request: ListRequest, moment: Moment | None = None) -> Page:
        """One page, held to what pages of one listing have in common.

        Raises:
            ProtocolError: It contradicts the pages before it.
            StorageError, RetryableError: What the storage answered for good, or to the last try.
        """
        asked = self.prefix if self.first_prefix is None else self.first_prefix
        is_first = request.cursor is None and request.keys.after is None and request.prefix == asked
        if self.first_page is not None and is_first:
            page, self.first_page = self.first_page, None
        else:
            page = await self.send(request)
        if self._counts and page.claimed > page.seen + len(page.folders):
            page = await self._counted(await self.send(request))
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

    async def send(self, request: ListRequest) -> Page:
        """One request, as it is."""
        return await self.lane.call(lambda: self.backend.list_page(request))

    async def deliver(self, run: int, page: pa.RecordBatch, tally: Tally, covered: Covered | None = None) -> None:
        """Make rows of a page's, pin, count and emit them."""
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


def behind(page: Page, request: ListRequest, last: str | None) -> ListRequest:
    """What to ask after a page of a range that ends there."""
    if page.cursor is BEHIND_LAST:
        return request.going_on(KeyRange(page.last, last), request.cursor)
    keys = request.keys if request.keys.last == last else KeyRange(request.keys.after, last)
    return request.going_on(keys, page.cursor)


def tally_of(page: Page, *, ended: bool, kept: int | None = None) -> Tally:
    """What is known of a page before its rows are judged."""
    rows = page.batch.num_rows
    return Tally(
        pages=1, ranges=ended, seen=page.seen, other=page.seen - rows, repeated=rows - (rows if kept is None else kept)
    )
