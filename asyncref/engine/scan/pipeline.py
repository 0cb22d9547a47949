"""Drives the listing of one source: by ranges, by folders or serially, as its storage allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from asyncref.engine.scan.advance import Advance
from asyncref.engine.scan.feed import Feed, tally_of
from asyncref.engine.scan.folders import FolderTree
from asyncref.engine.scan.pushdown import Plan
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.sharing import Sharing
from asyncref.engine.scan.spool import UNORDERED
from asyncref.engine.scan.walk import walk
from asyncref.model import KeyRange, ListRequest, Page, Pin

EVERYTHING: Final = (KeyRange(),)


@dataclass(slots=True)
class Lister:
    """One source's listing, whole.

    Args:
        feed: Gives its pages and takes the rows.
        plan: The parts of the prefix to list.
        hints: Keys that are likely to part the listing evenly, ascending; a list may be filled while the listing goes on.
        started: When the listing began, by the first of its runs: objects modified later may or may not be seen.
    """

    feed: Feed
    plan: Plan
    hints: Sequence[str]
    started: datetime

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
        traits = self.feed.backend.traits
        if traits.hierarchical:
            vanished = await walk(self.feed.prefix, self._folder, workers=self.feed.lane.controller.most)
            self.feed.meter.skipped["vanished"] += vanished
        elif traits.ordered and traits.ranged:
            await Sharing(self.feed, self.plan, self.hints, self.started).run(ranges, seams or Seams())
        elif traits.delimited:
            await self._list_folders()
        else:
            await self.run_serially()

    async def run_serially(self) -> None:
        """List from start to end by the server's own markers, in whatever order it sends; nothing is trimmed."""
        request = self.feed.request(KeyRange())
        moment, advance = self.feed.moment(), Advance(self.feed.uri, self.feed.versions)
        while True:
            page = await self.feed.page(request, moment)
            advance.saw(page)
            await self.feed.deliver(UNORDERED, page.batch, tally_of(page, ended=page.cursor is None))
            if page.cursor is None:
                return
            request = replace(request, cursor=page.cursor)

    async def holds_anything(self) -> bool:
        """Whether the server sends anything at all under the prefix; the listed parts may be empty where it does."""
        page = await self.feed.page(self.feed.request(KeyRange()))
        return bool(page.seen or page.folders)

    async def _list_folders(self) -> None:
        """List a storage that gives folders and no ranges."""
        first, self.feed.first_page = self.feed.first_page, None
        stats = self.feed.lanes.of("stat", self.feed.backend)

        async def give(page: Page) -> None:
            self.feed.meter.skipped.update(page.skipped)
            await self.feed.deliver(UNORDERED, page.batch, tally_of(page, ended=page.cursor is None))

        async def stat(key: str) -> Pin:
            return await stats.call(lambda: self.feed.backend.stat(key))

        tree = FolderTree(
            self.feed.page, give, stat, self.feed.request(KeyRange()), workers=self.feed.lane.controller.most
        )
        await tree.run(first)
        self.feed.meter.skipped["vanished"] += tree.vanished

    async def _folder(self, folder: str, pending: list[str]) -> None:
        """List one folder of a tree; add the folders in it to those that are pending."""
        request = ListRequest(prefix=folder, limit=self.feed.backend.traits.page_rows)
        while True:
            page = await self.feed.page(request)
            pending.extend(folder for folder in reversed(page.folders) if self.plan.reaches(folder))
            self.feed.rows.refuse(page.refused)
            self.feed.meter.skipped.update(page.skipped)
            await self.feed.deliver(UNORDERED, page.batch, tally_of(page, ended=page.cursor is None))
            if page.cursor is None:
                return
            request = replace(request, cursor=page.cursor)
