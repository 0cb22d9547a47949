"""A listing on a simulated clock: real splitter, real ledger, real controller; only store and time are modelled.

What the pipeline does in tasks (`engine/scan/pipeline.py`, `engine/flow/retry.py`) is done here by events in the order
of their times: no loop, no sleep, no network. Every request goes through the controller; a refused one goes to the end
of the queue, and after its third try in a row it sleeps first.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

import pyarrow as pa

from asyncref.engine.flow import Controller
from asyncref.engine.scan.keyspace import LEARN_PAGES
from asyncref.engine.scan.ledger import Coverage, Covered, remaining
from asyncref.engine.scan.span import Span
from asyncref.model import Cursor, KeyRange, Limits, Page
from benchmarks.model.keys import Keys
from benchmarks.model.splitters import Splitter
from benchmarks.model.store import Store

_SAMPLES: Final = 6  # keys of the middle of a page that the model is shown, as the pipeline does
_AT_ONCE: Final = 3
_TIMED: Final = 4  # one page in so many: asking the thread's clock costs 1 to 5 us, four times a page
_ANSWER, _HANDLE, _AGAIN, _WAKE = range(4)
_MORE: Final = Cursor("more")


class IncompleteError(AssertionError):
    """A listing that ended without having given every key once."""


@dataclass(slots=True)
class _Rows:
    """As much of a page's rows as the ledger reads: how many, and the first key."""

    num_rows: int
    first: str

    def column(self, index: int) -> list[pa.StringScalar]:
        """The key of the first row."""
        del index
        return [pa.scalar(self.first, pa.string())]


@dataclass(slots=True)
class _Worker:
    """One place in flight, and the range in its hands."""

    number: int
    pages: int = 0
    span: Span = field(default_factory=lambda: Span(-1, None, None))
    coverage: Coverage = field(default_factory=lambda: Coverage(None, repeats=False))
    rank: int = 0
    last: str | None = None
    stop: int = 0
    sent_s: float = 0.0
    tries: int = 0
    is_refused: bool = False


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a listing cost.

    Attributes:
        wall_s: Simulated seconds from the first request to the last page.
        requests: Sent, refused ones included.
        refused: Of those.
        pages: Answers with rows, or with none.
        ranges: How many the keys were listed in.
        busy: Simulated time and workers with a range, about once in `tick_s`.
        worker_pages: Pages that each worker got.
        own_cpu_s: Real CPU of splitter, ledger and controller together, from a sample of the pages.
    """

    wall_s: float = 0.0
    requests: int = 0
    refused: int = 0
    pages: int = 0
    ranges: int = 0
    busy: list[tuple[float, int]] = field(default_factory=list)
    worker_pages: list[int] = field(default_factory=list)
    own_cpu_s: float = 0.0

    @property
    def busy_share(self) -> float:
        """Share of all workers' time in which they had a range."""
        return sum(worker for _, worker in self.busy) / max(1, len(self.busy) * len(self.worker_pages))

    @property
    def gini(self) -> float:
        """Of the pages over the workers: 0: all alike; near 1: one worker got all."""
        ascending, count = sorted(self.worker_pages), len(self.worker_pages)
        weighted = sum(place * pages for place, pages in enumerate(ascending, start=1))
        return 2 * weighted / (count * max(1, sum(ascending))) - (count + 1) / count


class Listing:
    """One listing, from its first request to its end.

    Args:
        keys: What there is.
        store: Answers.
        splitter: Gives out ranges.
        workers: Most requests in flight.
        client_s: The client's own time for a page, one after the other; 0.0: as if it cost nothing.
        seed: Of the pauses between tries.
        tick_s: How often to look at how many workers are busy.
        took: Is told the ranks `[start, stop)` of each page's rows within its range.
    """

    def __init__(
        self,
        keys: Keys,
        store: Store,
        splitter: Splitter,
        *,
        workers: int,
        client_s: float = 0.0,
        seed: int = 0,
        tick_s: float = 1.0,
        took: Callable[[int, int], None] | None = None,
    ) -> None:
        self._keys, self._store, self._splitter = keys, store, splitter
        self._rows = store.traits.page_rows
        self._limits = Limits(concurrency=workers)
        self._controller = Controller(self._limits, most=workers)
        self._client_s, self._tick_s, self._took = client_s, tick_s, took
        self._random = random.Random(seed)
        self._now_s = self._client_free_s = 0.0
        self._events: list[tuple[float, int, int, _Worker]] = []
        self._order = 0
        self._waiting: deque[_Worker] = deque()
        self._held = self._timer = False
        self._is_timed, self._spent_ns = False, 0
        self._idle = deque(_Worker(number) for number in range(workers))
        self._workers = list(self._idle)
        self._covered: dict[int, KeyRange] = {}
        self._listed = 0
        self.seen = Seen()

    def run(self) -> Seen:
        """List everything.

        Cost: see the benchmark scale, which measures it.

        Raises:
            IncompleteError: A key was left out or came twice, or the ledger does not cover all.
        """
        for span in self._splitter.start():
            self._begin(span)
        self._send()
        sampled_s = 0.0
        while self._events:
            self._now_s, _, kind, worker = heapq.heappop(self._events)
            if self._now_s >= sampled_s:
                self.seen.busy.append((self._now_s, len(self._workers) - len(self._idle)))
                sampled_s = self._now_s + self._tick_s
            if kind == _ANSWER and self._client_s:
                self._client_free_s = max(self._now_s, self._client_free_s) + self._client_s
                self._push(self._client_free_s, _HANDLE, worker)
            elif kind in (_ANSWER, _HANDLE):
                self._handle(worker)
            elif kind == _AGAIN:
                self._waiting.append(worker)
            else:
                self._timer = False
            self._send()
        self._prove()
        self.seen.worker_pages = [worker.pages for worker in self._workers]
        self.seen.ranges = len(self._covered)
        self.seen.own_cpu_s = self._spent_ns * _TIMED / 1e9
        return self.seen

    def _push(self, when_s: float, kind: int, worker: _Worker) -> None:
        self._order += 1
        heapq.heappush(self._events, (when_s, self._order, kind, worker))

    def _begin(self, span: Span) -> None:
        """Hand a range to the worker that is idle for the longest time."""
        worker = self._idle.popleft()
        worker.span, worker.coverage = span, Coverage(span.after, repeats=False)
        worker.rank = 0 if span.after is None else self._keys.rank_after(span.after)
        worker.last, worker.stop = None, self._keys.count
        self._ask(worker)

    def _ask(self, worker: _Worker) -> None:
        worker.tries = 0
        self._waiting.append(worker)

    def _send(self) -> None:
        """Send what the controller lets pass, as the gate does."""
        started_ns = time.thread_time_ns() if self._is_timed else 0
        while self._waiting:
            wait_s = self._controller.admit(self._now_s, queued=self._held)
            self._held = bool(wait_s)
            if wait_s:
                if not self._timer and wait_s < math.inf:
                    self._timer = True
                    self._push(self._now_s + wait_s, _WAKE, self._workers[0])
                break
            self._held = len(self._waiting) > 1
            self._depart(self._waiting.popleft())
        if self._is_timed:
            self._spent_ns += time.thread_time_ns() - started_ns
            self._is_timed = False

    def _depart(self, worker: _Worker) -> None:
        worker.sent_s, worker.tries = self._now_s, worker.tries + 1
        worker.is_refused = self._store.refuses(worker.rank, self._now_s)
        self.seen.requests += 1
        self._push(self._now_s + self._store.latency_s(), _ANSWER, worker)

    def _handle(self, worker: _Worker) -> None:
        if worker.is_refused:
            self._refused(worker)
            return
        page, kept, samples = self._page(worker)
        self._is_timed = self.seen.pages % _TIMED == 0
        started_ns = time.thread_time_ns() if self._is_timed else 0
        self._controller.succeeded(self._now_s, worker.sent_s)
        span = worker.span
        goes_on = self._splitter.saw(span, page, kept.num_rows, samples)
        stolen = self._splitter.more()
        covered = worker.coverage.saw(page, cast("pa.RecordBatch", kept), last=span.last, ended=not goes_on)
        if self._is_timed:
            self._spent_ns += time.thread_time_ns() - started_ns
        self._account(worker, covered, kept.num_rows)
        if goes_on:
            self._ask(worker)
        else:
            self._idle.append(worker)
        for cut in stolen:
            self._begin(cut)

    def _refused(self, worker: _Worker) -> None:
        self.seen.refused += 1
        self._controller.throttled(self._now_s, worker.sent_s, None)
        if worker.tries >= self._limits.attempts:
            raise IncompleteError(f"a request was refused {worker.tries} times in a row")
        if worker.tries > _AT_ONCE:
            longest_s = min(self._limits.backoff_max_s, self._limits.backoff_s * 2.0 ** (worker.tries - 1))
            self._push(self._now_s + self._random.uniform(0.0, longest_s), _AGAIN, worker)
        else:
            self._waiting.append(worker)

    def _page(self, worker: _Worker) -> tuple[Page, _Rows, list[str]]:
        """The page at a worker's place, what of it lies in its range, and some of those keys."""
        name, start, span = self._keys.at, worker.rank, worker.span
        stop = min(start + self._rows, self._keys.count)
        if span.last is not worker.last:
            worker.last = span.last
            worker.stop = self._keys.count if span.last is None else self._keys.rank_after(span.last)
        kept = max(0, min(stop, worker.stop) - start)
        cursor = _MORE if stop < self._keys.count else None
        if start == stop:
            return Page(cast("Any", None), None, None, cursor), _Rows(0, ""), []
        first = name(start)
        page = Page(cast("Any", None), first, name(stop - 1), cursor, seen=stop - start)
        samples: list[str] = []
        if span.pages < LEARN_PAGES:
            step = max(1, kept // (_SAMPLES + 1))
            samples = [name(start + place) for place in range(step, kept, step)]
        return page, _Rows(kept, first), samples

    def _account(self, worker: _Worker, covered: Covered | None, kept: int) -> None:
        if self._took is not None:
            self._took(worker.rank, worker.rank + kept)
        self._listed += kept
        self.seen.pages += 1
        self.seen.wall_s = self._now_s
        worker.pages += 1
        worker.rank += kept
        if covered is not None:
            run = worker.span.run
            before = self._covered.get(run)
            if before is not None and before.last != covered.keys.after:
                raise IncompleteError(f"the ledger leaves a gap between {before} and {covered.keys}")
            self._covered[run] = KeyRange(covered.keys.after if before is None else before.after, covered.keys.last)

    def _prove(self) -> None:
        left = remaining(self._covered.values())
        if self._listed != self._keys.count or left or self._waiting:
            raise IncompleteError(f"{self._listed:,} of {self._keys.count:,} keys; the ledger leaves {left[:3]}")
