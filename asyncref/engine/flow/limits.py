"""Adaptive concurrency: one controller for each bucket and kind of request.

Additive increase, multiplicative decrease (as TCP's congestion avoidance, RFC 5681, over requests in
flight): the window grows by one a window of answers while it is used and latency holds; a throttled answer
halves it, at most once a round trip, and a pause that the server names holds everyone back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from asyncref.model import Limits


class Controller:
    """Bounds and adapts the requests in flight of one kind to one bucket.

    Args:
        limits: The user's bounds.
        most: Most requests in flight, unless `limits.concurrency` says otherwise.
    """

    def __init__(self, limits: Limits, *, most: int) -> None:
        self.most = limits.concurrency or most
        self._interval_s = 1.0 / limits.requests_per_second if limits.requests_per_second else 0.0
        self._window = float(self.most)
        self._in_flight = 0
        self._waiting: deque[anyio.Event] = deque()
        self._not_before_s = 0.0
        self._last_cut_s = 0.0
        self._cuts = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one place among the requests in flight; waits in turn for it."""
        while self._in_flight >= int(self._window):
            turn = anyio.Event()
            self._waiting.append(turn)
            try:
                await turn.wait()
            except BaseException:
                if turn.is_set():
                    self._wake()
                else:
                    self._waiting.remove(turn)
                raise
        self._in_flight += 1
        try:
            await self._pace()
            yield
        finally:
            self._in_flight -= 1
            self._wake()

    def succeeded(self) -> None:
        """An answer came: grow by one a window."""
        if self._window < self.most:
            self._window = min(float(self.most), self._window + 1.0 / self._window)
            self._wake()

    def throttled(self, retry_after_s: float | None, *, sent_s: float) -> None:
        """The server asked to slow down: halve once for all requests sent before the last cut.

        Args:
            retry_after_s: The pause that the server named.
            sent_s: Monotonic time at which the refused request was sent.
        """
        now = time.monotonic()
        if retry_after_s is not None:
            self._not_before_s = max(self._not_before_s, now + retry_after_s)
        if sent_s >= self._last_cut_s:
            self._window = max(1.0, self._window / 2)
            self._last_cut_s = now
            self._cuts += 1

    def statistics(self) -> dict[str, float | int]:
        """The state for `-v` and for tests."""
        return {
            "window": int(self._window),
            "most": self.most,
            "in_flight": self._in_flight,
            "waiting": len(self._waiting),
            "cuts": self._cuts,
        }

    def _wake(self) -> None:
        free = int(self._window) - self._in_flight
        while free > 0 and self._waiting:
            self._waiting.popleft().set()
            free -= 1

    async def _pace(self) -> None:
        now = time.monotonic()
        start = max(now, self._not_before_s)
        if self._interval_s:
            self._not_before_s = start + self._interval_s
        if start > now:
            await anyio.sleep(start - now)
