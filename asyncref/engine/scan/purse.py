"""What cuts may cost: requests in vain, spent and allowed, and how small the parts may be that they make. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncref.engine.scan.span import Span
from asyncref.engine.scan.waste import FEW_PAGES, PROVEN_PAGES, SOME_PAGES, allowance

LEAST_PAGES: Final = 4.0
"""A span with fewer pages left than this is not worth a cut: both halves end in a partly filled page."""
LAST_PAGES: Final = 2.5
"""The same once most is read and workers would idle."""
LATE_PAGES: Final = 100
"""Pages of a listing of which most can be read."""
PART_PAGES: Final = 8.0
"""Before that no smaller parts are made: nobody knows how much is still to be found."""
SPARE: Final = 3.0
"""Requests in vain that are left, from which on idle workers may cut what is thought to be little."""
ABOUND: Final = 0.5
"""The share of idle workers from which on they may cut smaller parts."""
ALONE: Final = 0.9
"""The same from which on a listing is as good as serial: one cut is then always allowed, some pages after the last."""
ALONE_PAGES: Final = 8
MOST_WASTE: Final = 0.11
"""As long as no more of the pages than this were in vain."""
ENDLESS: Final = 1e9
"""Requests that may be in vain where they cost nothing."""


@dataclass(slots=True)
class Purse:
    """What one listing has paid, and what its next cuts may cost.

    Args:
        spans: Those not yet listed to their end; the key space's own list.
        page_rows: Rows of a full page.
        is_endless: Nothing is ever too dear.

    Attributes:
        pages: Pages read.
        rows: Rows that they held.
        fullest: Most rows of a page.
        wasted: Pages that ended spans, as far as they held nothing of those.
        hits: Cuts that found a full page.
        misses: Cuts that found nothing.
        idle: The share of the workers that has nothing to do.
        last_cut: The count of pages at which one was made.
    """

    spans: Sequence[Span]
    page_rows: int
    is_endless: bool = False
    pages: int = 0
    rows: int = 0
    fullest: int = 1
    wasted: float = 0.0
    hits: int = 0
    misses: int = 0
    idle: float = 0.0
    last_cut: int = 0

    def read(self, kept: int) -> None:
        """A page came, with so many rows of its span."""
        self.pages += 1
        self.rows += kept
        self.fullest = max(self.fullest, kept)

    def ended(self, kept: int, *, is_empty: bool) -> None:
        """That page was the last of its span, which may have had nothing in it."""
        self.misses += is_empty
        self.wasted += 1.0 - kept / self.fullest

    def sure(self) -> float:
        """Rows that are left by what is more than a guess, and that no leap is about to settle."""
        return sum(span.left for span in self.spans if span.sure and not span.waits)

    def room(self, idle: int) -> int:
        """How many cuts may be made now, for so many idle workers."""
        allowed, spent = self._waste()
        room = min(idle, int(allowed - spent))
        return 1 if room <= 0 and self._is_alone(spent) else room

    def sizes(self, fair: float) -> tuple[float, float]:
        """Rows that a span has to have left to be cut, and of the parts that it is cut into, at a fair share."""
        allowed, spent = self._waste()
        scarce = self.idle < ABOUND and allowed > spent
        least = LEAST_PAGES * self.page_rows * (max(1.0, allowed / (allowed - spent) / 2) if scarce else 1.0)
        expected = sum(span.left for span in self.spans if not span.waits)
        if self.idle >= ALONE and self.pages >= SOME_PAGES:
            least = LAST_PAGES * self.page_rows
        if self.idle >= ABOUND and FEW_PAGES <= self.pages <= LATE_PAGES and allowed - spent >= SPARE:
            least = LAST_PAGES * self.page_rows  # what is thought to be little may hide much, and waits for one worker
            return least, max(fair, least / 2)
        if self.pages <= LATE_PAGES or self.rows <= expected:
            return least, max(fair, least / 2, PART_PAGES * self.page_rows)
        least = max(LAST_PAGES * self.page_rows, min(least, expected / max(1.0, allowed - spent)))
        return least, max(fair, least / 2)

    def _is_alone(self, spent: float) -> bool:
        """Whether so few workers list that one more cut is worth its price, whatever was in vain before."""
        if self.idle < ALONE or self.pages < max(SOME_PAGES, self.last_cut + ALONE_PAGES):
            return False
        return spent < MOST_WASTE * self.pages and all(span.pages for span in self.spans)

    def _waste(self) -> tuple[float, float]:
        """Requests in vain: how many are allowed, and how many were or will be sent.

        A span's last page is half empty on average; a few may all be nearly so. An unanswered cut counts in full.
        """
        if self.is_endless:
            return ENDLESS, 0.0
        unanswered = ends = proven = 0
        for span in self.spans:
            proven += span.pages >= PROVEN_PAGES
            if not span.pages:
                unanswered += 1
            elif span.beyond is not None:
                ends += 1
        allowed = allowance(
            self.pages,
            proven=proven,
            expected=self.sure() / max(self.fullest, self.page_rows),
            hits=self.hits,
            misses=self.misses,
            idle=self.idle,
        )
        return allowed, self.wasted + min(ends, ends / 2 + 1) + unanswered
