"""How many requests in flight a client can use: no more than keep it busy. Pure.

A listing's pages cost their reader more than 1 ms of computing each, in one thread. Answers beyond what it can read
only wait, in memory that no cache holds: at 64 in flight a page cost a fifth more CPU than at 4, and every range
that is listed beside others ends in a page of its own. So a client that computes all the time asks for less at a time,
down to twice what the latency needs (J. D. C. Little, "A Proof for the Queuing Formula: L = λW", 1961), and one that
waits asks for more.
"""

from __future__ import annotations

import math
from typing import Final

FIRST: Final = 8
LEAST: Final = 4
_BUSY: Final = 0.9
_IDLE: Final = 0.75
_EASE: Final = 0.8
_SPARE: Final = 2.0


class Need:
    """Adapts the number of requests in flight to a client's own speed.

    Args:
        most: Never more.

    Attributes:
        wanted: How many to have in flight now.
    """

    __slots__ = ("_answers", "_least_s", "_most", "wanted")

    def __init__(self, most: int) -> None:
        self.wanted = min(FIRST, most)
        self._most = most
        self._answers = 0
        self._least_s = math.inf

    def answered(self, took_s: float) -> None:
        """A request was answered."""
        self._answers += 1
        self._least_s = min(self._least_s, took_s)

    def judge(self, busy_share: float, seconds: float) -> None:
        """Adapt; to be called some times a second.

        Args:
            busy_share: The share of the time since the last call in which the event loop's thread computed, 0 to 1.
            seconds: That time.
        """
        if busy_share < _IDLE:
            self.wanted = min(self._most, 2 * self.wanted)
        elif busy_share > _BUSY and self._answers:
            floor = max(LEAST, math.ceil(_SPARE * self._least_s * self._answers / seconds))
            self.wanted = max(min(self.wanted, floor), int(self.wanted * _EASE))
        self._answers = 0
        self._least_s *= 1.01  # an old record does not bind for ever
