"""A modelled store: how long an answer takes, and which requests its partitions refuse."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

_DRAWN: Final = 2**20
_BURST_S: Final = 0.1  # worth of requests that a partition lets pass above its rate, once
_FULL: Final = 0.8  # share of its rate at which a partition is split in the end
_REMEMBERED: Final = 1001


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the store is like.

    Attributes:
        median_s: Of an answer's latency, which is log-normal.
        sigma: Of its logarithm.
        tail_share: Share of answers that take `tail_times` as long.
        tail_times: See there.
        partition_per_s: Requests a second that a partition serves; more are refused.
        split_after_s: A partition that was fully used for so long is parted in two.
        page_rows: Rows of a page.
    """

    median_s: float = 0.05
    sigma: float = 0.25
    tail_share: float = 0.002
    tail_times: float = 10.0
    partition_per_s: float = 5500.0
    split_after_s: float = 30.0
    page_rows: int = 1000


@dataclass(slots=True)
class _Partition:
    """Keys from one rank on, up to the next partition's, with a bucket of tokens.

    Args:
        tokens: Requests that it would serve at once.
        filled_s: When that was so.
    """

    tokens: float
    filled_s: float
    window_s: float
    served: int = 0
    asked: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Store:
    """Answers by rank: the keys themselves are no matter here.

    Args:
        traits: What it is like.
        seed: Of the latencies.
    """

    def __init__(self, traits: Traits, seed: int) -> None:
        self.traits = traits
        random = np.random.default_rng(seed)
        drawn = traits.median_s * np.exp(traits.sigma * random.standard_normal(_DRAWN))
        drawn[random.random(_DRAWN) < traits.tail_share] *= traits.tail_times
        self._latencies: list[float] = drawn.tolist()
        self._drawn = 0
        self._starts = [0]
        self._partitions = {0: _Partition(traits.partition_per_s * _BURST_S, 0.0, 0.0)}

    @property
    def partitions(self) -> int:
        """How many there are by now."""
        return len(self._starts)

    def latency_s(self) -> float:
        """Of the next request."""
        self._drawn += 1
        return self._latencies[self._drawn % _DRAWN]

    def refuses(self, rank: int, now_s: float) -> bool:
        """Whether the partition of a rank has no token left for a request now; else it takes one."""
        start = self._starts[bisect_right(self._starts, rank) - 1]
        partition, rate = self._partitions[start], self.traits.partition_per_s
        if now_s - partition.window_s >= self.traits.split_after_s:
            self._judge(partition, now_s)
        partition.asked.append(rank)
        partition.tokens = min(rate * _BURST_S, partition.tokens + (now_s - partition.filled_s) * rate)
        partition.filled_s = now_s
        if partition.tokens < 1.0:
            return True
        partition.tokens -= 1.0
        partition.served += 1
        return False

    def _judge(self, partition: _Partition, now_s: float) -> None:
        """Part a partition where half of the late requests lie below, if it was fully used."""
        full = partition.served >= _FULL * self.traits.partition_per_s * (now_s - partition.window_s)
        partition.window_s, partition.served = now_s, 0
        if full:
            middle = sorted(partition.asked)[len(partition.asked) // 2]
            if middle not in self._partitions:
                insort(self._starts, middle)
                self._partitions[middle] = _Partition(partition.tokens, partition.filled_s, now_s)
                partition.asked.clear()
