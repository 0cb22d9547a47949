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
* Requests in vain (a cut that finds nothing, the partly filled last page of each range) are a bounded share (`purse.py`) of the
  pages, so a small prefix is listed almost serially. What is expected counts as far as cuts have found something. One
  is always left for a listing that has become serial.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, behind, common_prefix
from asyncref.engine.scan.gauge import GUESS, SAMPLED_GUESS, may_differ, measure, outlook
from asyncref.engine.scan.purse import LEAST_PAGES, Purse
from asyncref.engine.scan.span import GROWTH, Span
from asyncref.model import KeyRange, Page

LEAST_GROWTH: Final = 1.15
GROWTH_AGAIN: Final = 3.0
REGROWTH: Final = 1.05
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
        samples: For an estimate and not for a listing: requests in vain cost nothing, and dates say nothing. With them a sample
            does not look where nothing is, and a tree of days was reckoned at a quarter.
    """

    prefix: str = ""
    page_rows: int = 1000
    repeats: bool = False
    hints: Sequence[str] = ()
    samples: bool = False
    spans: list[Span] = field(default_factory=list)
    """Those not yet listed to their end, in the order of their keys."""
    steals: int = 0
    _alphabet: Alphabet = field(init=False)
    _purse: Purse = field(init=False)
    _lowest: str | None = None  # the first key seen
    _next_run: int = 0
    _rested: int = 0  # the count of pages at which cuts are looked for again

    def __post_init__(self) -> None:
        self._alphabet = Alphabet(dated=not self.samples)
        self._purse = Purse(self.spans, self.page_rows, is_endless=self.samples)

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
        self._purse.read(kept)
        span.pages += 1
        span.rows += kept
        if page.first is not None and page.last is not None:
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
            self._purse.ended(kept, is_empty=not span.rows)
            return False
        span.growth = min(GROWTH, span.growth * REGROWTH)
        return True

    def learns(self, span: Span) -> bool:
        """Whether the model still learns from a page of this span: most pages of a long listing show nothing new."""
        pages = self._purse.pages
        return span.pages <= 2 or pages <= KNOWN_PAGES or not pages % 8  # noqa: PLR2004  see KNOWN_PAGES

    def steal(self, idle: int) -> list[Span]:
        """New spans for at most `idle` workers, cut from the upper parts of those with most left."""
        if idle <= 0 or not self.spans:
            return []
        if self.hints:
            return self._part_as_before(idle)
        if self._purse.pages < self._rested:
            return []
        found = self._search(idle)
        self._rested = self._purse.pages + (0 if found else len(self.spans) // PATIENCE)
        return found

    def _search(self, idle: int) -> list[Span]:
        found: list[Span] = []
        purse = self._purse
        purse.idle = idle / (idle + len(self.spans))
        if purse.pages > KNOWN_PAGES and purse.room(idle) <= 0:  # by what was measured before
            return found
        for span in self.spans:
            if span.unread is not None:
                self._measure(span)
        top, room = self.spans[-1], purse.room(idle)
        if room <= 0:
            return found
        sure = purse.sure()
        least, part = purse.sizes(sure / (idle + len(self.spans)))
        able = [span for span in self.spans if span.position is not None and not span.waits]
        able.sort(key=lambda span: inf if span is top else span.left)
        while able and len(found) < room:
            victim = able.pop()
            if victim.sure and victim.left >= least and not victim.missed:
                if victim.left >= FAIR * part or victim is top:
                    parts = min(victim.faith, max(2, round(victim.left / part)), room - len(found) + 1)
                    found += self._share_out(victim, parts)
            elif victim.left >= least or victim is top:
                found += self._leap(victim, known=purse.rows + sure)
        self.steals += len(found)
        if found:
            purse.last_cut = purse.pages
        return found

    def _open(self, at: int, after: str | None, last: str | None) -> Span:
        span = Span(self._next_run, after, last)
        self._next_run += 1
        self.spans.insert(at, span)
        return span

    def _is_past(self, span: Span) -> bool:
        if span.last is None or span.position is None:
            return False
        return span.position > span.last or (span.position == span.last and not self.repeats)

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
            self._purse.hits += span.rows == self._purse.fullest
            below.beyond = (span.position, span.rows)
            span.growth = max(GROWTH_AGAIN, below.growth)
            below.faith = span.faith = min(MOST_PARTS, 2 * below.faith)
        else:
            below.faith = 2
            below.beyond = span.beyond
            below.growth = max(LEAST_GROWTH, below.growth**0.5)
        self._measure(below)

    def _measure(self, span: Span) -> None:
        measure(self._alphabet, span, len(self.prefix), SAMPLED_GUESS if self.samples else GUESS)

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
