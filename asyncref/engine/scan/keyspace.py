"""Splits one flat key space among workers by stealing. Pure: no I/O, no clock, no randomness.

A *span* is a half-open range `(after, last]` that one worker lists from its start. Whoever is idle takes the
upper part of a span with much left. Nobody has to know whether a pivot exists or whether anything lies above
it: the ranges partition the key space by construction, so a bad guess costs one request and never a key.

Where to cut:

* Where the model of the key space (`alphabet.py`) gives a plausible size for what is left, the span is
  cut into equal parts of it.
* Where it does not (one page of a counter, a date or a deep folder fits a billion ways), every depth at
  which the next keys may differ is a hypothesis; several are tried at once, and each empty answer removes
  all above it.

The first page of a new span is at the same time the probe of its pivot: a full page costs the request that
a one-key probe would cost, and brings a thousand keys where the guess was right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, common_prefix
from asyncref.model import Page

PLAUSIBLE_ROWS: Final = 2e8
"""Above this the model's estimate of what is left says only that the model does not fit."""
SPARE_PAGES: Final = 3.0
"""A span with fewer pages left than this is not worth a cut: both halves end in a partly filled page."""
WASTE_A_PAGE: Final = 0.08
"""Bound on requests in vain, as a share of the pages read."""
DEPTHS_AT_ONCE: Final = 8


@dataclass(slots=True, eq=False)
class Span:
    """One range in the hands of one worker.

    Attributes:
        run: Its number; rows of a span ascend.
        after: Exclusive lower end; None for the start of the prefix.
        last: Inclusive upper end; None for the end of the prefix. Stealing lowers it.
        position: The last key that the server went through; None before the first page.
        pages: Pages read.
        rows: Rows kept.
        left: Estimated rows in `(position, last]`; 0 before the first page.
        trusted: Whether that estimate is plausible.
        first: The first key seen.
        low: The first key of the last page.
        varies: How many characters the keys of the last page share: they differ behind that.
        overdue: Pages read since the model first said that little is left.
        cut_at: The depth of the guess that opened this span; None where the model cut it.
    """

    run: int
    after: str | None
    last: str | None
    position: str | None = None
    pages: int = 0
    rows: int = 0
    left: float = 0.0
    trusted: bool = False
    first: str | None = None
    low: str | None = None
    varies: int = 0
    overdue: int = 0
    cut_at: int | None = None


@dataclass(slots=True)
class KeySpace:
    """The partition of one prefix's keys into spans.

    Args:
        prefix: What every key starts with.
        page_rows: Rows of a full page.
        repeats: A key may go on behind the page on which it stands (listings of versions).
        hints: Keys that split the space evenly, such as a former manifest's; ascending.
    """

    prefix: str = ""
    page_rows: int = 1000
    repeats: bool = False
    hints: Sequence[str] = ()
    spans: list[Span] = field(default_factory=list)
    pages: int = 0
    steals: int = 0
    misses: int = 0
    _alphabet: Alphabet = field(default_factory=Alphabet)
    _guesses: Counter[tuple[int, bool]] = field(default_factory=Counter)
    _next_run: int = 0

    @property
    def active(self) -> int:
        """Spans not yet listed to their end."""
        return len(self.spans)

    def start(self) -> Span:
        """The whole prefix as one span; called once."""
        return self._open(None, None)

    def saw(self, span: Span, page: Page, *, kept: int, keys: Sequence[str] = ()) -> bool:
        """Take in a page of a span.

        Args:
            span: Whose page it is.
            page: As the server sent it.
            kept: Rows of it that lie in the span.
            keys: A few of the page's keys, ascending, for the model.

        Returns:
            Whether the span goes on behind this page.
        """
        self.pages += 1
        span.pages += 1
        span.rows += kept
        if span.pages == 1 and span.cut_at is not None:
            self._guesses[span.cut_at, kept > 0] += 1
        if page.first is not None and page.last is not None:
            self._alphabet.learn((page.first, *keys, page.last))
            span.first = span.first if span.first is not None else page.first
            span.low = page.first
            span.position = page.last
            span.varies = common_prefix(page.first, page.last)
        if page.cursor is None or self._is_past(span):
            self.spans.remove(span)
            self.misses += span.rows == 0
            return False
        self._measure(span, kept)
        return True

    def _is_past(self, span: Span) -> bool:
        if span.last is None or span.position is None:
            return False
        return span.position > span.last or (span.position == span.last and not self.repeats)

    def steal(self, idle: int) -> list[Span]:
        """New spans for at most `idle` workers, cut from the upper parts of those with most left."""
        found: list[Span] = []
        idle = min(idle, self._affordable())
        while len(found) < idle:
            victim = max(self.spans, key=lambda span: span.left, default=None)
            if victim is None or victim.left < SPARE_PAGES * self.page_rows:
                break
            cuts = self._cuts(victim, idle - len(found))
            for pivot, depth in cuts:
                found.append(self._open(pivot, victim.last, depth))
                victim.last = pivot
            self.steals += len(cuts)
            if victim.trusted and cuts:
                victim.left /= len(cuts) + 1
            else:
                victim.left = 0.0  # the guesses have to answer first; the victim's next page measures again
                victim.overdue = 0
        return found

    def _open(self, after: str | None, last: str | None, cut_at: int | None = None) -> Span:
        span = Span(self._next_run, after, last, cut_at=cut_at)
        self._next_run += 1
        self.spans.append(span)
        return span

    def _measure(self, span: Span, rows: int) -> None:
        """Estimate what is left of a span from the shares of its range that its last page and all its pages took.

        One page may lie within a single folder and see nothing of the rest; all pages together may lie
        behind a jump. The larger plausible one of the two holds.
        """
        if span.position is None or (span.last is not None and span.last <= span.position):
            span.left = 0.0
            return
        depth = self._divergence(span)
        share = self._alphabet.fraction
        here = share(span.position, depth)
        to_come = (1.0 if span.last is None else share(span.last, depth)) - here
        both = [
            _scaled(rows, to_come, here - share(span.low or "", depth)),
            _scaled(span.rows, to_come, here - share(span.first or "", depth)),
        ]
        least = SPARE_PAGES * self.page_rows
        plausible = [left for left in both if least <= left <= PLAUSIBLE_ROWS]
        span.trusted = bool(plausible) or max(both) < least
        span.left = min(plausible) if plausible else max(both)
        span.overdue = span.overdue + 1 if span.left < least else 0
        if span.overdue > 2 * SPARE_PAGES:
            # It goes on where the model saw its end: characters not seen yet. Expect as much again as there was.
            span.left, span.trusted = float(span.rows), False

    def _divergence(self, span: Span) -> int:
        """The depth at which the span's two ends part."""
        return len(self.prefix) if span.last is None else common_prefix(span.position or "", span.last)

    def _cuts(self, span: Span, most: int) -> list[tuple[str, int | None]]:
        """Where to cut a span and the depth guessed at, descending; all strictly between its position and its end."""
        cuts = self._even(span, most) if span.trusted else self._by_depth(span, most)
        assert span.position is not None
        legal = {
            pivot: depth for pivot, depth in cuts if pivot > span.position and (span.last is None or pivot < span.last)
        }
        return sorted(legal.items(), reverse=True)[:most]

    def _even(self, span: Span, most: int) -> list[tuple[str, int | None]]:
        """Equal parts by the model: the victim keeps the lowest."""
        assert span.position is not None
        depth = self._divergence(span)
        low = self._alphabet.fraction(span.position, depth)
        high = 1.0 if span.last is None else self._alphabet.fraction(span.last, depth)
        parts = min(most + 1, max(2, int(span.left / (SPARE_PAGES * self.page_rows))))
        step = (high - low) / parts
        start = span.position[:depth]
        return [(self._alphabet.key_at(low + step * part, start, step / 16), None) for part in range(1, parts)]

    def _by_depth(self, span: Span, most: int) -> list[tuple[str, int | None]]:
        """A few cuts at each depth where the next keys may differ from the last one seen."""
        assert span.position is not None
        first = self._divergence(span)
        stop = min(max(span.varies, first) + 1, len(span.position))
        depths = [depth for depth in range(first, stop) if self._choices(span, depth)]
        promising = [depth for depth in depths if self._is_promising(depth)] or depths[len(depths) // 2 :][:1]
        chosen = _spread(promising, min(DEPTHS_AT_ONCE, most))
        each = max(1, min(4, most // max(1, len(chosen))))
        return [
            (span.position[:depth] + character, depth)
            for depth in chosen
            for character in _inner(self._choices(span, depth), each)
        ]

    def _affordable(self) -> int:
        """How many cuts to try at once, so that requests in vain stay a small share of the pages read.

        A cut that finds nothing costs a request, one that finds something half a page: two ranges end in
        partly filled pages instead of one. An unanswered cut counts as the former.
        """
        unanswered = sum(not span.pages for span in self.spans)
        spent = self.misses + (self.steals - self.misses - unanswered) / 2
        return max(0, int(self.pages * WASTE_A_PAGE - spent) - unanswered)

    def _is_promising(self, depth: int) -> bool:
        """Whether guesses at a depth have not failed too often before."""
        return self._guesses[depth, False] <= 2 + 2 * self._guesses[depth, True]

    def _choices(self, span: Span, depth: int) -> str:
        """Characters that would move the position up at a depth and stay below the span's end."""
        assert span.position is not None
        bounded = span.last is not None and depth < len(span.last) and span.last[:depth] == span.position[:depth]
        high = span.last[depth] if bounded and span.last is not None else None
        return self._alphabet.above(depth, span.position[depth], high)


def _scaled(rows: int, to_come: float, taken: float) -> float:
    """Rows to come if they lie as densely as those that took `taken`."""
    return max(rows, 1) * to_come / taken if taken > 0 else float("inf")


def _spread(items: list[int], most: int) -> list[int]:
    """At most so many items, evenly spaced, both ends included."""
    if len(items) <= most:
        return items
    if most <= 1:
        return items[len(items) // 2 : len(items) // 2 + 1]
    return sorted({items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)})


def _inner(characters: str, count: int) -> list[str]:
    """The lowest character, then others evenly spaced above it."""
    step = len(characters) / count
    return sorted({characters[int(index * step)] for index in range(count)})
