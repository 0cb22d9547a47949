"""A provider's own ramp-up: requests a second that may be sent by now, counted by whole seconds. Pure.

What grows is what was achieved, not what time has passed: a second in which nearly all that was allowed was sent adds a
second of growth, any other takes one off, and so does idle time. So the rate is never far above the one that the
provider has seen.
"""

from __future__ import annotations

import math
from typing import Final

from asyncref.model import Ramp

_WINDOW_S: Final = 1.0  # requests spaced out evenly would each cost a timer, and providers count by seconds
_USED: Final = 0.9  # of a window's requests, from which on it counts as load that was sustained


class RampUp:
    """Counts all requests to one container against its ramp, whatever their kind.

    Args:
        ramp: Where it begins, and how fast it grows.
    """

    __slots__ = ("_end_s", "_grown_s", "_left", "_most", "_ramp")

    def __init__(self, ramp: Ramp) -> None:
        self._ramp = ramp
        self._grown_s = 0.0
        self._end_s = math.nan
        self._left = self._most = 0

    @property
    def per_s(self) -> float:
        """Requests a second that may be sent by now."""
        return self._ramp.per_s * math.exp2(self._grown_s / self._ramp.doubling_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds until one more request may be sent; 0.0: now."""
        if not now_s < self._end_s:
            self._begin(now_s)
        return 0.0 if self._left else self._end_s - now_s

    def take(self) -> None:
        """One request is sent."""
        self._left -= 1

    def _begin(self, now_s: float) -> None:
        """A window, and what the one before it says of the load."""
        if not math.isnan(self._end_s):
            used = self._most - self._left >= _USED * self._most
            since_s = now_s - self._end_s
            self._grown_s = max(0.0, self._grown_s + (_WINDOW_S if used else -_WINDOW_S) - since_s)
        self._end_s = now_s + _WINDOW_S
        self._left = self._most = max(1, int(self.per_s * _WINDOW_S))
