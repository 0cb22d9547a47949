"""A flat, ordered key space listed by workers that take ranges from each other, held to what they have seen of it.

Each follows the server's own markers inside its range, and hands every page on as soon as it is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import pyarrow as pa
import pyarrow.compute as pc
from anyio.abc import TaskGroup

from asyncref.engine.flow import Tally
from asyncref.engine.flow.groups import one_error
from asyncref.engine.scan.advance import Advance
from asyncref.engine.scan.feed import Feed, behind, tally_of
from asyncref.engine.scan.keyspace import LEARN_PAGES, KeySpace
from asyncref.engine.scan.ledger import Coverage
from asyncref.engine.scan.pushdown import Piece, Plan
from asyncref.engine.scan.rows import trim
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.span import Span
from asyncref.engine.scan.witness import Sighting, Witness
from asyncref.errors import OrderError
from asyncref.model import KeyRange, ListRequest, Page
from asyncref.texts import ascends

_CLOCKS: Final = timedelta(seconds=2)
"""What a server's clock may be behind ours, and the one second that S3's times have."""


@dataclass(slots=True)
class Sharing:
    """The key space of one source.

    Args:
        feed: Gives its pages and takes the rows.
        plan: The parts of the prefix to list.
        hints: Keys that are likely to part the listing evenly, ascending.
        started: When the listing began, by the first of its runs: objects modified later may or may not be seen.
    """

    feed: Feed
    plan: Plan
    hints: Sequence[str] = ()
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _passes: bool = True
    _witness: Witness = field(init=False)
    _owed: dict[int, Sighting | None] = field(default_factory=dict)  # what ranges have to show next, by their number

    async def run(self, ranges: Sequence[KeyRange], seams: Seams) -> None:
        """List what is left of it; raises as `Lister.run` does.

        Args:
            ranges: What to list; ascending.
            seams: Of the ranges listed before.
        """
        traits = self.feed.backend.traits
        space = KeySpace(self.feed.prefix, page_rows=traits.page_rows, repeats=self.feed.versions, hints=self.hints)
        self._witness = Witness(
            self.feed.send, self.feed.meter.note, self.feed.uri, self.started - _CLOCKS, self.feed.at
        )
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
        there = await self._sees(key, self.feed.request(KeyRange(), key))
        if there is None:
            return
        piece = self.plan.piece_of(after)
        listing = self.feed.request(KeyRange(piece.start(after)), piece.prefix)
        if (certain and there.certain) or await self._sees(key, listing) is None:
            raise OrderError(f"the server leaves out {key!r} when a listing starts right before it", uri=self.feed.uri)

    async def _sees(self, key: str, request: ListRequest) -> Sighting | None:
        """A key as a listing that should come to it shows it now; None if it does not."""
        moment, advance = self.feed.moment(), Advance(self.feed.uri, self.feed.versions)
        while True:
            page = await self.feed.page(request, moment)
            at = pc.index(page.batch.column(0), key).as_py()
            if at >= 0:
                return self._witness.sighting(page.batch.slice(at))
            if page.cursor is None or (page.last is not None and page.last > key):
                return None
            advance.saw(page)
            request = behind(page, request, None)

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
        request = self.feed.request(KeyRange(piece.start(span.after), span.last), piece.prefix)
        if is_unproved:
            self._owed[span.run] = await self._first_behind(piece, request.keys.after)
        moment, advance = self.feed.moment(), Advance(self.feed.uri, self.feed.versions)
        coverage = Coverage(span.after, self.feed.versions)
        going_on, unsettled = True, Tally()
        emitted: str | None = None
        passed: str | None = None
        while going_on:
            page = await self.feed.page(request, moment)
            self._check_order(span, page)
            advance.saw(page)
            after = passed if self.feed.versions else span.position
            kept = trim(page.batch, KeyRange(span.after if after is None else after, span.last))
            samples = _samples(kept) if span.pages < LEARN_PAGES and space.learns(span) else []
            going_on = space.saw(span, page, kept=kept.num_rows, keys=samples)
            for stolen in space.steal(self.feed.lane.controller.wanted - space.active):
                group.start_soon(self._follow, stolen, space, seams, group)
            if kept.num_rows:
                seams.began(span.run, span.after, kept.column(0)[0].as_py())
                emitted = page.last if kept.num_rows == page.seen else kept.column(0)[-1].as_py()
            if kept.num_rows or not going_on:
                await self._hold_to_owed(span, passed, kept, seams)
            beyond = None if going_on else await self._end(span, page, piece, seams)
            covered = coverage.saw(page, kept, last=span.last, ended=not going_on, beyond=beyond)
            tally = tally_of(page, ended=not going_on, kept=kept.num_rows)
            if covered is not None:
                covered.listed, unsettled = unsettled, Tally()
            await self.feed.deliver(span.run, kept, tally, covered)
            if covered is None:
                unsettled.add(tally)
            if going_on and await self._may_pass(page, emitted, passed, span, piece):
                passed, advance = page.last, Advance(self.feed.uri, self.feed.versions)
                request = self.feed.request(KeyRange(passed, span.last), piece.prefix)
            elif going_on:
                request = behind(page, request, span.last)

    async def _may_pass(self, page: Page, emitted: str | None, passed: str | None, span: Span, piece: Piece) -> bool:
        """Whether the listing may go on behind a key with more versions than a page: its latest is all that is wanted.

        A key of 100,000 versions would take 100 requests one after the other. Nothing shows what comes first behind it,
        so that is asked for (`Witness`). Where a server (Ceph, moto) begins such a key again, its own markers are
        followed from then on.
        """
        if not self.feed.versions or self.feed.at is not None or page.first != page.last or page.last != emitted:
            return False
        self._passes = self._passes and page.last != passed
        if self._passes:
            self._owed[span.run] = await self._first_behind(piece, page.last)
            self._passes = not self._witness.denied
        return self._passes

    async def _first_behind(self, piece: Piece, after: str | None) -> Sighting | None:
        """What a listing of versions that starts behind a key has to begin with, as far as it can be learnt."""
        if not self.feed.versions or after is None:
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
            raise OrderError("keys within a page are out of byte order", uri=self.feed.uri)
        if page.first is not None and page.first < (span.position or span.after or ""):
            where = "where it was to start" if span.position is None else "the last one's end"
            raise OrderError(f"a page starts at {page.first!r}, before {where}", uri=self.feed.uri)


def _samples(page: pa.RecordBatch, count: int = 6) -> list[str]:
    """A few keys of a page, ascending, for the model of the key space."""
    step = max(1, page.num_rows // (count + 1))
    keys = page.column(0)
    return [keys[index].as_py() for index in range(step, page.num_rows, step)]
