"""Splits one flat key space among workers by stealing. Pure: no I/O, no clock, no randomness.

A *span* is a half-open range `(after, last]` that one worker lists from its start. Whoever is idle takes the
upper part of a span with much left. Nobody has to know whether a pivot exists or whether anything lies above
it: the ranges partition the key space by construction, so a bad guess costs one request and never a key.

Where to cut follows from a model of the keys (`alphabet.py`), and how far to trust the model from evidence:

* *Gallop*: rows read so far make it likely that there are some times more. So a span is cut where the model
  expects that many more rows. If the new span finds rows, all that the model sees in between counts as
  evidence, for both; the next step is longer by the same factor.
* *Share out*: what is supported by evidence is cut into equal parts, as many as there are idle workers.
* Requests in vain (a cut that finds nothing, the partly filled last page of each range) are a bounded share
  of the pages read and supported by evidence, so a small prefix is listed almost serially.

The first page of a new span is at the same time the probe of its pivot: a full page costs the request that
a one-key probe would cost, and brings a thousand keys where the guess was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, common_prefix
from asyncref.model import KeyRange, Page

GROWTH: Final = 8.0
"""How many times the evidence the next gallop reaches; shorter after each that found nothing."""
LEAST_GROWTH: Final = 2.0
SPARE_PAGES: Final = 3.0
"""A span with fewer pages left than this is not worth a cut: both halves end in a partly filled page."""
FEW_PAGES: Final = 30
EARNED: Final = 1.0
"""Evidence counts up to so many times the pages read: early evidence is a guess, too."""
WASTE_A_PAGE: Final = 0.06
"""Bound on requests in vain: one for a few pages, then a share of the pages read or supported by evidence."""


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
        left: Rows in `(position, last]` by the model; 0 before the first page.
        evidence: Rows that are known or well supported to lie in the span.
        growth: How far the next gallop reaches, in multiples of the evidence.
        low: The first key of the last page.
        on_page: Rows kept of the last page.
        parent: The span that this one was cut from, until the first page answers.
        claim: Rows of the parent that this span's first row would support.
        stride: How many characters further a step goes that leaves what the model knows.
        waits: A gallop from this span is unanswered.
    """

    run: int
    after: str | None
    last: str | None
    position: str | None = None
    pages: int = 0
    rows: int = 0
    left: float = 0.0
    evidence: float = 0.0
    growth: float = GROWTH
    low: str | None = None
    on_page: int = 0
    parent: Span | None = None
    claim: float = 0.0
    stride: int = 1
    waits: bool = False


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
    _courage: float = 8.0  # parts to share a span out into at once; as TCP's window, by hits and misses
    _next_run: int = 0

    @property
    def active(self) -> int:
        """Spans not yet listed to their end."""
        return len(self.spans)

    def start(self) -> Span:
        """The whole prefix as one span; called once."""
        return self._open(None, None)

    def start_from(self, ranges: Sequence[KeyRange]) -> list[Span]:
        """What is left of the prefix as one span a range; called once, instead of `start`."""
        return [self._open(keys.after, keys.last) for keys in ranges]

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
        span.on_page = kept
        if page.first is not None and page.last is not None:
            self._alphabet.learn((page.first, *keys, page.last))
            span.low, span.position = page.first, page.last
        self._answer_parent(span)
        if page.cursor is None or self._is_past(span):
            self.spans.remove(span)
            self.misses += span.rows == 0
            return False
        span.evidence = max(span.evidence - kept, float(span.rows))
        self._measure(span)
        return True

    def _answer_parent(self, span: Span) -> None:
        """The first page of a span tells how good the guess was that made it."""
        parent, span.parent = span.parent, None
        if parent is None:
            return
        parent.waits = False
        self._courage = min(64.0, self._courage + 1) if span.rows else max(1.0, self._courage / 2)
        if span.rows:
            span.evidence = span.claim
            parent.evidence = max(parent.evidence, span.claim)
            span.stride = parent.stride * (1 if span.claim else 4)
        else:
            parent.growth = max(LEAST_GROWTH, parent.growth / 2)
            parent.stride = max(1, parent.stride // 4)
            parent.evidence = min(parent.evidence, float(parent.rows))

    def _is_past(self, span: Span) -> bool:
        if span.last is None or span.position is None:
            return False
        return span.position > span.last or (span.position == span.last and not self.repeats)

    def steal(self, idle: int) -> list[Span]:
        """New spans for at most `idle` workers, cut from the upper parts of those with most left."""
        found: list[Span] = []
        supported = sum(min(span.left, span.evidence) for span in self.spans)
        least = max(SPARE_PAGES * self.page_rows, supported / max(1, idle + len(self.spans)))
        idle = min(idle, self._affordable())
        skipped: set[int] = set()
        while len(found) < idle:
            candidates = (span for span in self.spans if span.run not in skipped and not span.waits)
            victim = max(candidates, key=_reach, default=None)
            if victim is None or _reach(victim) < least:
                break
            cuts = self._cuts(victim, min(idle - len(found), max(1, int(2 * _reach(victim) / least) - 1)))
            for pivot, claim in cuts:
                found.append(self._open(pivot, victim.last, victim, claim))
                victim.last = pivot
            self.steals += len(cuts)
            if cuts and victim.left <= victim.evidence:
                victim.left /= len(cuts) + 1
            else:
                victim.waits = bool(cuts)
                skipped.add(victim.run)
        return found

    def _open(self, after: str | None, last: str | None, parent: Span | None = None, claim: float = 0.0) -> Span:
        span = Span(self._next_run, after, last, parent=parent, claim=claim)
        self._next_run += 1
        self.spans.append(span)
        return span

    def _affordable(self) -> int:
        """How many cuts to try at once, so that requests in vain stay a small share of all.

        A cut that finds nothing costs a request, one that finds something half a page: two ranges end in
        partly filled pages instead of one. An unanswered cut counts as the former.
        """
        unanswered = sum(not span.pages for span in self.spans)
        spent = self.misses + (self.steals - self.misses - unanswered) / 2
        supported = sum(min(span.left, span.evidence) for span in self.spans) / self.page_rows
        pages = self.pages + min(supported, EARNED * self.pages)
        allowed = 1 + WASTE_A_PAGE * max(0.0, pages - FEW_PAGES)
        return max(0, int(allowed - spent) - unanswered)

    def _measure(self, span: Span) -> None:
        """What the model says is left of a span: its range, by the share of it that the last page took."""
        if span.position is None or span.low is None or (span.last is not None and span.last <= span.position):
            span.left = 0.0
            return
        depth = self._divergence(span)
        share = self._alphabet.fraction
        here = share(span.position, depth)
        to_come = (1.0 if span.last is None else share(span.last, depth)) - here
        taken = here - share(span.low, depth)
        span.left = max(span.on_page, 1) * to_come / taken if taken > 0 else float("inf")
        if span.last is None and span.left < SPARE_PAGES * self.page_rows:
            span.left = 2 * span.evidence  # characters not seen yet may follow: an open end is never near

    def _divergence(self, span: Span) -> int:
        """The depth at which the span's position and its end part."""
        return len(self.prefix) if span.last is None else common_prefix(span.position or "", span.last)

    def _cuts(self, span: Span, most: int) -> list[tuple[str, float]]:
        """Where to cut a span, descending, and the rows that each cut would support if it finds any."""
        cuts = self._even(span, most) if span.left <= span.evidence else self._gallop(span)
        assert span.position is not None
        legal = {
            pivot: claim for pivot, claim in cuts if pivot > span.position and (span.last is None or pivot < span.last)
        }
        return sorted(legal.items(), reverse=True)[:most]

    def _even(self, span: Span, most: int) -> list[tuple[str, float]]:
        """Equal parts by the model: the victim keeps the lowest."""
        assert span.position is not None
        depth = self._divergence(span)
        low = self._alphabet.fraction(span.position, depth)
        high = 1.0 if span.last is None else self._alphabet.fraction(span.last, depth)
        parts = min(most + 1, int(self._courage) + 1, max(2, int(span.left / (SPARE_PAGES * self.page_rows))))
        step = (high - low) / parts
        start = span.position[:depth]
        cuts = [self._alphabet.key_at(low + step * part, start, step / 16) for part in range(1, parts)]
        return [(pivot, span.left / parts) for pivot in cuts]

    def _gallop(self, span: Span) -> list[tuple[str, float]]:
        """One cut where the model expects `growth` times the evidence, from the deepest depth that has room for it."""
        assert span.position is not None
        assert span.low is not None
        claim = min(span.growth * span.evidence, span.left / 2)
        ratio = claim / max(span.on_page, 1)
        first = self._divergence(span)
        for depth in range(min(common_prefix(span.low, span.position), len(span.position) - 1), first - 1, -1):
            here = self._alphabet.fraction(span.position, depth)
            taken = here - self._alphabet.fraction(span.low, depth)
            target = here + taken * ratio
            if taken > 0 and target < 1.0:
                pivot = self._alphabet.key_at(target, span.position[:depth], taken * ratio / 16)
                if span.last is None or pivot < span.last:
                    return [(pivot, claim)]
        for depth in range(len(span.position) - 1, first - 1, -1):
            if depth < common_prefix(span.low, span.position) and (above := self._choices(span, depth)):
                return [(span.position[:depth] + above[min(span.stride, len(above)) - 1], 0.0)]
        return []

    def _choices(self, span: Span, depth: int) -> str:
        """Characters that would move the position up at a depth and stay below the span's end."""
        assert span.position is not None
        bounded = span.last is not None and depth < len(span.last) and span.last[:depth] == span.position[:depth]
        high = span.last[depth] if bounded and span.last is not None else None
        return self._alphabet.above(depth, span.position[depth], high)


def _reach(span: Span) -> float:
    """Rows that may be taken from a span by what is known of it."""
    return min(span.left, span.growth * span.evidence)
