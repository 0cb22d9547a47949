"""When the next request may be sent: one controller for each bucket and kind of request, without clock or loop.

Four bounds hold at once: requests in flight (the window), requests a second as the user caps them, as the server
allows them (`rate.py`), and as its provider asks everyone to begin (`ramp.py`). The window is where a run starts;
only one that the user made larger has to be grown into, and it grows while latency holds. Where answers are costly to
read, it is not used beyond what keeps the client busy (`need.py`).
"""

from __future__ import annotations

import math
from typing import Final

from asyncref.engine.flow.need import Need
from asyncref.engine.flow.ramp import RampUp
from asyncref.engine.flow.rate import AllowedRate
from asyncref.model import Limits

_CREDIT_S: Final = 0.05  # a loop that wakes late may make up for this much, no more: a burst is what servers refuse
_HOLDS: Final = 2.0  # latency over the best round's that still lets the window grow
_CROSSINGS: Final = 4  # turns of the event loop in one exchange: sent, headers, body, task
_LAG_WEIGHT: Final = 0.2


class Controller:
    """Bounds and adapts the requests of one kind to one bucket. Pure: every method is told the time.

    Every request that `admit` lets pass has to end in one of `succeeded`, `throttled` and `ended`.

    Args:
        limits: The user's bounds.
        most: The backend's bound on requests in flight, and where to start from.
        ramp: The provider's own ramp-up, if it names one; shared by all that is sent to the container.
        is_costly: Answers take their reader's time: no more are asked for than it can use.
    """

    __slots__ = (
        "_base_s", "_cap_s", "_free_s", "_full", "_lag_s", "_latencies", "_latency_s", "_latency_sum_s", "_most_lag_s",
        "_need", "_ramp", "_window", "in_flight", "most", "rate",
    )  # fmt: skip

    def __init__(self, limits: Limits, *, most: int, ramp: RampUp | None = None, is_costly: bool = False) -> None:
        self.most = limits.concurrency or most
        self._need = Need(self.most) if is_costly else None
        self.in_flight = 0
        self.rate = AllowedRate()
        self._cap_s = 1.0 / limits.requests_per_second if limits.requests_per_second else 0.0
        self._ramp = ramp
        self._free_s = -math.inf  # when the next request may go, as far as rates are concerned
        self._window = min(self.most, most)
        self._full = False
        self._base_s = math.inf
        self._latency_s = self._latency_sum_s = 0.0
        self._latencies = 0
        self._lag_s = self._most_lag_s = 0.0

    @property
    def wanted(self) -> int:
        """Requests in flight that there is a use for: work for so many."""
        return self.most if self._need is None else self._need.wanted

    def admit(self, now_s: float, *, queued: bool = False) -> float:
        """Let one request pass, or say when to ask again.

        Args:
            now_s: Monotonic time.
            queued: The request has been waiting, so lateness is the loop's and is made up for. Idle time never is:
                no request is ahead of the schedule that began when the last idle time ended.

        Returns:
            0.0: it counts as sent. Otherwise the seconds to wait; infinite until a request ends.
        """
        if self.in_flight >= self._window:
            self._full = True
            return math.inf
        if self._need is not None and self.in_flight >= self._need.wanted:
            return math.inf
        if self._ramp is not None and (wait_s := self._ramp.wait_s(now_s)):
            return wait_s
        allowed_s = 1.0 / self.rate.per_s  # 0.0 while nothing was refused
        if allowed_s or self._cap_s or self._free_s > now_s:
            wait_s = self._free_s - now_s
            if wait_s > 0.0:
                self.rate.pressed |= allowed_s >= self._cap_s
                return wait_s
            start_s = max(self._free_s, now_s - _CREDIT_S) if queued else now_s
            self._free_s = start_s + max(allowed_s, self._cap_s)
        if self._ramp is not None:
            self._ramp.take()
        self.in_flight += 1
        return 0.0

    def succeeded(self, now_s: float, sent_s: float) -> None:
        """A request was answered, and not refused."""
        self.in_flight -= 1
        self.rate.accept(now_s, sent_s)
        self._latency_sum_s += now_s - sent_s
        self._latencies += 1
        if self._need is not None:
            self._need.answered(now_s - sent_s)
        if self._latencies >= self._window:
            self._judge_latency()

    def throttled(self, now_s: float, sent_s: float, retry_after_s: float | None) -> None:
        """The server refused a request; a pause that it names holds for everyone.

        Args:
            now_s: When the refusal came.
            sent_s: When the request was sent.
            retry_after_s: The pause that the server named.
        """
        self.rate.refuse(now_s, sent_s, window=self._window)
        self.in_flight -= 1
        self._free_s = max(self._free_s, now_s + (retry_after_s or 0.0))  # nor is lost time made up for now

    def ended(self) -> None:
        """A request ended in some other way, which says nothing of the server's capacity."""
        self.in_flight -= 1

    def lagged(self, late_s: float) -> None:
        """A timer of this loop was late by so much: the client is busy, and answers seem slower than they came."""
        self._lag_s += _LAG_WEIGHT * (late_s - self._lag_s)
        self._most_lag_s = max(self._most_lag_s, late_s)

    def was_busy(self, busy_share: float, seconds: float) -> None:
        """The event loop's thread computed for that share of the last seconds."""
        if self._need is not None:
            self._need.judge(busy_share, seconds)

    def statistics(self) -> dict[str, float | int]:
        """The state, for `-v` and for tests.

        `window`, `wanted` and `most` are requests in flight; `per_second` is what the server was found to allow (0: it never
        refused), `cap_per_second` the user's (0: none); `refused_share` is of late, `latency_s` the last round's mean
        without the loop's own lag, `lag_s` the event loop's lateness of late and `most_lag_s` its worst.
        """
        return {
            "window": self._window,
            "wanted": self.wanted,
            "most": self.most,
            "in_flight": self.in_flight,
            "per_second": 0.0 if self.rate.per_s == math.inf else self.rate.per_s,
            "cap_per_second": 1.0 / self._cap_s if self._cap_s else 0.0,
            "accepted": self.rate.accepted,
            "refused": self.rate.refused,
            "refused_share": self.rate.refused_share,
            "cuts": self.rate.cuts,
            "latency_s": self._latency_s,
            "lag_s": self._lag_s,
            "most_lag_s": self._most_lag_s,
        }

    def _judge_latency(self) -> None:
        """After a window of answers: let the window grow by half if it was used and latency holds."""
        mean_s = self._latency_sum_s / self._latencies
        self._latency_s = max(0.0, mean_s - _CROSSINGS * self._lag_s)
        if 2 * self._latency_s >= mean_s:  # else it is more of a guess than a measurement, and may be zero
            self._base_s = min(self._base_s * 1.01, self._latency_s)  # 1% a round: an old record does not bind for ever
        if self._full and self._window < self.most and self._latency_s <= _HOLDS * max(self._base_s, 1e-3):
            self._window = min(self.most, self._window + (self._window + 1) // 2)
        self._full = False
        self._latency_sum_s = 0.0
        self._latencies = 0
