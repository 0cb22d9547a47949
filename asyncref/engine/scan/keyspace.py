"""Splits one flat key space among workers by stealing. Pure: no I/O, no clock, no randomness.

A *span* is a half-open range `(after, last]` that one worker lists from its start. Whoever is idle takes the
upper part of a span with much left. Nobody has to know whether a pivot exists or whether anything lies above
it: the ranges partition the key space by construction, so a bad guess costs one request and never a key.
The first page of a new span is at the same time the probe of its pivot.

How much is left of a span, and where to cut it, follows from a model of the keys (`alphabet.py`) and from what was
read around it (`outlook.py`). How far to trust that:

* A span is *sure* if what lies ahead is as dense on both of its ends, or small. It is cut into equal parts, as many
  as make all workers' parts alike, but into more than two only as long as each cut finds something.
* Everything else is a guess: the span is cut once, at a border between subtrees, where some times the rows known so far
  should lie below the cut (it *gallops*), and not again before that cut's first page is in. A find makes the gap below
  sure; a miss shortens the next leap, and that goes right behind all that is like what was found, if anything can be.
  So is the topmost span treated, above which anything may follow, until it is known whether anything is unlike all so far.
* A key whose versions fill pages is left to who lists it: what follows is cut off, since those pages come one after the other.
* Requests in vain (a cut that finds nothing, the partly filled last page of each range) are a bounded share of the
  pages, so a small prefix is listed almost serially. What is expected counts as far as cuts have found something. Part
  of them is kept for when workers abound, and one is always left for a listing that has become serial.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, behind, common_prefix
from asyncref.engine.scan.gauge import may_differ, measure, outlook
from asyncref.engine.scan.span import GROWTH, Span
from asyncref.engine.scan.waste import FEW_PAGES, SOME_PAGES, allowance
from asyncref.model import KeyRange, Page

LEAST_GROWTH: Final = 1.15
GROWTH_AGAIN: Final = 3.0
REGROWTH: Final = 1.05
LEAST_PAGES: Final = 4.0
"""A span with fewer pages left than this is not worth a cut: both halves end in a partly filled page."""
LAST_PAGES: Final = 2.5
"""The same once most is read and workers would idle."""
LATE_PAGES: Final = 100
"""Pages of a listing of which most can be read."""
PART_PAGES: Final = 8.0
"""Before that no smaller parts are made: nobody knows how much is still to be found."""
FAIR: Final = 1.5
"""How many times its fair share a span has to have left to be cut."""
MOST_PARTS: Final = 4
"""Into how many parts a span is cut at once: twice as many as last time, while each cut finds something."""
SHARE_OFF: Final = 0.06
LEAP_OFF: Final = 0.1
"""How far a cut may be off, as a share of the part, or of what is leapt over."""
LEARN_PAGES: Final = 16
"""Pages of a span from which keys in the middle are learnt; later ones give their first and last."""
KNOWN_PAGES: Final = 128
"""Pages of a listing after which only the first two of a span, and every eighth, are learnt from."""
SPARE: Final = 3.0
"""Requests in vain that are left, from which on idle workers may cut what is thought to be little."""
SPARED: Final = 0.6
"""The share of the requests that may be in vain which is there while all workers are busy."""
ABOUND: Final = 0.5
"""The share of idle workers from which on all of it is."""
ALONE: Final = 0.9
"""The same from which on a listing is as good as serial: one cut is then always allowed, some pages after the last."""
ALONE_PAGES: Final = 8
MOST_WASTE: Final = 0.11
"""As long as no more of the pages than this were in vain."""
PATIENCE: Final = 8
"""A search for cuts that was in vain is repeated when a share of the spans, one in so many, has gone on by a page."""


@dataclass(slots=True)
class KeySpace:
    """The partition of one prefix's keys into spans.

    Args:
        prefix: What every key starts with.
        page_rows: Rows of a full page.
        repeats: A key may go on behind the page on which it stands (listings of versions).
        hints: Keys that parted the space evenly once, such as a former manifest's; ascending. The first cuts are made
            there, without regard to waste.
    """

    prefix: str = ""
    page_rows: int = 1000
    repeats: bool = False
    hints: Sequence[str] = ()
    spans: list[Span] = field(default_factory=list)
    """Those not yet listed to their end, in the order of their keys."""
    pages: int = 0
    rows: int = 0
    steals: int = 0
    misses: int = 0
    _alphabet: Alphabet = field(default_factory=Alphabet)
    _wasted: float = 0.0  # pages that ended spans, as far as they held nothing of those
    _fullest: int = 1  # most rows of a page
    _hits: int = 0  # cuts that found a full page
    _idle: float = 0.0  # the share of the workers that has nothing to do
    _lowest: str | None = None  # the first key seen
    _next_run: int = 0
    _last_cut: int = 0  # the count of pages at which one was made
    _rested: int = 0  # the count of pages at which cuts are looked for again
    _stuck: Span | None = None  # the span whose last page was all of the key with which the one before it ended

    @property
    def active(self) -> int:
        """Spans not yet listed to their end."""
        return len(self.spans)

    def start(self) -> Span:
        """The whole prefix as one span; called once."""
        return self._open(0, None, None)

    def start_from(self, ranges: Sequence[KeyRange]) -> list[Span]:
        """What is left of the prefix as one span a range; called once, instead of `start`."""
        return [self._open(at, keys.after, keys.last) for at, keys in enumerate(ranges)]

    def saw(self, span: Span, page: Page, *, kept: int, keys: Sequence[str] = ()) -> bool:
        """Take in a page of a span.

        Cost, `steal` after it included, on average over a listing of 1,000 pages: 30 to 70 µs a page, 0.1 to 0.3 ms where each takes 50 ms
        and workers wait.

        Args:
            span: Whose page it is.
            page: As the server sent it.
            kept: Rows of it that lie in the span.
            keys: A few of the page's keys, ascending, for the model.

        Returns:
            Whether the span goes on behind this page.
        """
        self.pages += 1
        self.rows += kept
        self._fullest = max(self._fullest, kept)
        span.pages += 1
        span.rows += kept
        if page.first is not None and page.last is not None:
            if self.repeats and page.first == page.last == span.position:
                self._stuck = span
            self._lowest = page.first if self._lowest is None else min(self._lowest, page.first)
            shown = page.first, page.last
            if self.learns(span):
                between = keys if span.pages <= LEARN_PAGES else ()
                shown = self._alphabet.learn(
                    (page.first, *between, page.last), span.trail, span.after, self._below(span)
                )
            span.trail = shown
            first, rows = span.unread or (page.first, 0)
            span.unread, span.position = (first, rows + kept), page.last
        if span.pages == 1:
            self._answer(span)
        if page.cursor is None or self._is_past(span):
            self.spans.remove(span)
            self.misses += span.rows == 0
            self._wasted += 1.0 - kept / self._fullest
            return False
        span.growth = min(GROWTH, span.growth * REGROWTH)
        return True

    def learns(self, span: Span) -> bool:
        """Whether the model still learns from a page of this span: most pages of a long listing show nothing new."""
        return span.pages <= 2 or self.pages <= KNOWN_PAGES or not self.pages % 8  # noqa: PLR2004  see KNOWN_PAGES

    def steal(self, idle: int) -> list[Span]:
        """New spans for at most `idle` workers, cut from the upper parts of those with most left."""
        if idle <= 0 or not self.spans:
            return []
        if self.hints:
            return self._part_as_before(idle)
        if self._stuck is not None and (cut := self._free(idle)) is not None:
            return [cut]
        if self.pages < self._rested:
            return []
        found = self._search(idle)
        self._rested = self.pages + (0 if found else len(self.spans) // PATIENCE)
        return found

    def _search(self, idle: int) -> list[Span]:
        found: list[Span] = []
        self._idle = idle / (idle + len(self.spans))
        if self.pages > KNOWN_PAGES and self._room(idle) <= 0:  # by what was measured before
            return found
        for span in self.spans:
            if span.unread is not None:
                measure(self._alphabet, span, len(self.prefix))
        top, room = self.spans[-1], self._room(idle)
        if room <= 0:
            return found
        sure = self._sure()
        least, part = self._sizes(sure / (idle + len(self.spans)))
        able = [span for span in self.spans if span.position is not None and not span.waits]
        able.sort(key=lambda span: inf if span is top else span.left)
        while able and len(found) < room:
            victim = able.pop()
            if victim.sure and victim.left >= least and not victim.missed:
                if victim.left >= FAIR * part or victim is top:
                    parts = min(victim.faith, max(2, round(victim.left / part)), room - len(found) + 1)
                    found += self._share_out(victim, parts)
            elif victim.left >= least or victim is top:
                found += self._leap(victim, known=self.rows + sure)
        self.steals += len(found)
        if found:
            self._last_cut = self.pages
        return found

    def _sizes(self, fair: float) -> tuple[float, float]:
        """Rows that a span has to have left to be cut, and of the parts that it is cut into, at a fair share."""
        allowed, spent = self._waste()
        scarce = self._idle < ABOUND and allowed > spent
        least = LEAST_PAGES * self.page_rows * (max(1.0, allowed / (allowed - spent) / 2) if scarce else 1.0)
        expected = self._expected()
        if self._idle >= ALONE and self.pages >= SOME_PAGES:
            least = LAST_PAGES * self.page_rows
        if self._idle >= ABOUND and FEW_PAGES <= self.pages <= LATE_PAGES and allowed - spent >= SPARE:
            least = LAST_PAGES * self.page_rows  # what is thought to be little may hide much, and waits for one worker
            return least, max(fair, least / 2)
        if self.pages <= LATE_PAGES or self.rows <= expected:
            return least, max(fair, least / 2, PART_PAGES * self.page_rows)
        least = max(LAST_PAGES * self.page_rows, min(least, expected / max(1.0, allowed - spent)))
        return least, max(fair, least / 2)

    def _open(self, at: int, after: str | None, last: str | None) -> Span:
        span = Span(self._next_run, after, last)
        self._next_run += 1
        self.spans.insert(at, span)
        return span

    def _is_past(self, span: Span) -> bool:
        if span.last is None or span.position is None:
            return False
        return span.position > span.last or (span.position == span.last and not self.repeats)

    def _expected(self) -> float:
        """Rows that are thought to be left, as far as was measured, and that no leap is about to settle."""
        return sum(span.left for span in self.spans if not span.waits)

    def _sure(self) -> float:
        """The same without guesses."""
        return sum(span.left for span in self.spans if span.sure and not span.waits)

    def _room(self, idle: int) -> int:
        """How many cuts may be made now."""
        allowed, spent = self._waste()
        room = min(idle, int(allowed * (SPARED + (1.0 - SPARED) * min(1.0, self._idle / ABOUND)) - spent))
        return 1 if room <= 0 and self._is_alone(spent) else room

    def _is_alone(self, spent: float) -> bool:
        """Whether so few workers list that one more cut is worth its price, whatever was in vain before."""
        if self._idle < ALONE or self.pages < max(SOME_PAGES, self._last_cut + ALONE_PAGES):
            return False
        return spent < MOST_WASTE * self.pages and all(span.pages for span in self.spans)

    def _waste(self) -> tuple[float, float]:
        """Requests in vain: how many are allowed, and how many were or will be sent.

        A span's last page is half empty on average; a few may all be nearly so. An unanswered cut counts in full.
        """
        unanswered = ends = 0
        for span in self.spans:
            if not span.pages:
                unanswered += 1
            elif span.beyond is not None:
                ends += 1
        allowed = allowance(
            self.pages,
            expected=self._sure() / max(self._fullest, self.page_rows),
            hits=self._hits,
            misses=self.misses,
            idle=self._idle,
        )
        return allowed, self._wasted + min(ends, ends / 2 + 1) + unanswered

    def _below(self, span: Span) -> str:
        """The position of the span below."""
        at = self.spans.index(span)
        return (self.spans[at - 1].position if at else None) or ""

    def _answer(self, span: Span) -> None:
        """The first page of a span tells how good the guess was that made it."""
        at = self.spans.index(span)
        below = self.spans[at - 1] if at else None
        if below is None or below.last != span.after:
            return
        below.waits = False
        below.missed = not span.rows and may_differ(below, len(self.prefix))
        if span.rows and span.position is not None:
            self._hits += span.rows == self._fullest
            below.beyond = (span.position, span.rows)
            span.growth = max(GROWTH_AGAIN, below.growth)
            below.faith = span.faith = min(MOST_PARTS, 2 * below.faith)
        else:
            below.faith = 2
            below.beyond = span.beyond
            below.growth = max(LEAST_GROWTH, below.growth**0.5)
        measure(self._alphabet, below, len(self.prefix))

    def _part_as_before(self, idle: int) -> list[Span]:
        """Cut the spans at hints, once, for all that are idle."""
        afters = [span.after or "" for span in self.spans]
        victims = [self.spans[bisect_left(afters, hint) - 1] for hint in self.hints]
        ahead = [pair for pair in zip(victims, self.hints, strict=True) if self._holds(*pair)]
        self.hints = ()
        parts = min(idle, len(ahead)) + 1
        chosen = [ahead[len(ahead) * part // parts] for part in range(parts - 1, 0, -1)]
        cuts = [cut for victim, pivot in chosen if (cut := self._cut(victim, pivot)) is not None]
        self.steals += len(cuts)
        return cuts

    def _free(self, idle: int) -> Span | None:
        """Cut off what follows a key with pages of versions, which have to be asked for one after the other: nobody waits for them."""
        span, self._stuck = self._stuck, None
        if span is None or span.position is None or span not in self.spans or self._room(idle) <= 0:
            return None
        cut = self._cut(span, behind(span.position))
        self.steals += cut is not None
        return cut

    def _share_out(self, victim: Span, parts: int) -> list[Span]:
        """Cut a span into equal parts; it keeps the lowest."""
        assert victim.position is not None
        ahead = outlook(self._alphabet, victim, victim.position, len(self.prefix))
        step = ahead.left / parts
        pivots = {ahead.key_after(step * part, step * SHARE_OFF) for part in range(1, parts)}
        cuts = [cut for pivot in sorted(pivots, reverse=True) if (cut := self._cut(victim, pivot)) is not None]
        for each in (victim, *cuts):
            each.left, each.sure = step, True
        return cuts

    def _leap(self, victim: Span, *, known: float) -> list[Span]:
        """Cut a span once, where the rows below the cut would be some times those known."""
        assert victim.position is not None
        enough = LEAST_PAGES * self.page_rows
        ahead, is_top = outlook(self._alphabet, victim, victim.position, len(self.prefix)), victim is self.spans[-1]
        claim = min((victim.growth - 1) * (known if is_top else ahead.found), ahead.left / 2)
        if claim < enough / 2:
            return []
        pivot = ahead.border_after(claim, claim * LEAP_OFF)
        shared = common_prefix(victim.base, victim.position)
        whole = victim.position[: common_prefix(self._lowest or "", victim.position)]
        if is_top and victim.last is not None and len(whole) > ahead.depth and self._holds(victim, behind(whole)):
            pivot = behind(whole)  # nothing lies far above all: does anything at all?
        elif victim.missed and shared > ahead.depth and self._holds(victim, behind(victim.position[:shared])):
            pivot = behind(victim.position[:shared])  # whether anything follows that is unlike what was found
        elif ahead.near >= max(enough, ahead.left / 2) and claim >= ahead.left / 2:
            pivot = behind(ahead.stem) if self._holds(victim, behind(ahead.stem)) else pivot
        cut = self._cut(victim, pivot)
        victim.waits = cut is not None
        return [] if cut is None else [cut]

    def _holds(self, span: Span, key: str) -> bool:
        """Whether a key lies ahead within a span, and not at its very end."""
        return key > (span.position or span.after or "") and (span.last is None or key < span.last)

    def _cut(self, victim: Span, pivot: str) -> Span | None:
        """Part a span at a pivot that lies within it."""
        if not self._holds(victim, pivot):
            return None
        cut = self._open(self.spans.index(victim) + 1, pivot, victim.last)
        cut.beyond, cut.growth, cut.faith = victim.beyond, victim.growth, victim.faith
        if victim.known is not None:
            cut.heritage = (victim.origin, victim.known, victim.stretch)
        victim.last, victim.beyond = pivot, None
        return cut
