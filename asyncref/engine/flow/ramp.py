"""A provider's own ramp-up: requests a second that may be sent by now, counted by whole seconds. Pure."""

from __future__ import annotations

import math
from typing import Final

from asyncref.model import Ramp

_WINDOW_S: Final = 1.0  # requests spaced out evenly would each cost a timer, and providers count by seconds


class RampUp:
    """Counts requests against a ramp that starts with the first of them.

    Args:
        ramp: Where it begins, and how fast it grows.
    """

    __slots__ = ("_end_s", "_left", "_ramp", "_start_s")

    def __init__(self, ramp: Ramp) -> None:
        self._ramp = ramp
        self._start_s = math.nan
        self._end_s = -math.inf
        self._left = 0

    def per_s(self, now_s: float) -> float:
        """Requests a second that may be sent by now."""
        since_s = 0.0 if math.isnan(self._start_s) else now_s - self._start_s
        return self._ramp.per_s * math.exp2(since_s / self._ramp.doubling_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds until one more request may be sent; 0.0: now."""
        if now_s >= self._end_s:
            if math.isnan(self._start_s):
                self._start_s = now_s
            self._end_s = now_s + _WINDOW_S
            self._left = max(1, int(self.per_s(now_s) * _WINDOW_S))
        return 0.0 if self._left else self._end_s - now_s

    def take(self) -> None:
        """One request is sent."""
        self._left -= 1
