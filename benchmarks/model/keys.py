"""Keys as a function of their place in the order, so that a bucket of a billion keys takes no memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import sqrt
from typing import Final

PREFIX: Final = "data/"
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: its multiples scatter evenly, and two that follow each other are never close."""
_MASK: Final = 2**64 - 1
_MIX: Final = 0xD6E8FEB86659FD93
_START: Final = datetime(2022, 1, 1, tzinfo=UTC)
_HOURS: Final = 3 * 365 * 24
_USERS: Final = 10_000
_HOT_USER: Final = 4242
_HOT_SHARE: Final = 0.9

Name = Callable[[int, int], str]
"""The key at a place, of so many: strictly ascending with the place."""


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one bucket, in byte order.

    Args:
        layout: One of `LAYOUTS`.
        count: How many.
    """

    layout: str
    count: int

    def at(self, rank: int) -> str:
        """The key with so many before it. Cost: about 1 us."""
        return LAYOUTS[self.layout](rank, self.count)

    def rank_after(self, key: str, start: int = 0) -> int:
        """How many keys are not above a text, if at least `start` are."""
        name, count = LAYOUTS[self.layout], self.count
        return bisect_right(range(count), key, lo=start, key=lambda rank: name(rank, count))


def _scattered(rank: int) -> int:
    return rank * _GOLDEN & _MASK


def _uuid(rank: int, count: int) -> str:
    high = ((rank << 64) + _scattered(rank)) // count
    low = _scattered(rank ^ _MIX)
    text = f"{high:016x}{low:016x}"
    return f"data/{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _counter(rank: int, count: int) -> str:
    del count
    return f"data/img_{rank:010d}.jpg"


@lru_cache(maxsize=4096)
def _hour(hours: int) -> str:
    return (_START + timedelta(hours=hours)).strftime("%Y/%m/%d/%H")


def _dated(rank: int, count: int) -> str:
    """Each hour has more keys than the one before."""
    hours = _HOURS * sqrt((rank + _scattered(rank) / 2**64) / (count + 1))
    hour = int(hours)
    return f"data/{_hour(hour)}/{int((hours - hour) * 2**32):08x}.json"


def _hot(rank: int, count: int) -> str:
    """Nine keys of ten belong to one user, deep below the prefix."""
    hot, others = int(count * _HOT_SHARE), _USERS - 1
    few = max(1, count - hot)
    before = -(-few * _HOT_USER // others)
    if before <= rank < before + hot:
        user, share = _HOT_USER, (((rank - before) << 32) + (_scattered(rank) >> 32)) // hot
    else:
        other = rank if rank < before else rank - hot
        user, rest = divmod(other * others, few)
        share = (rest << 32) // few
        user += user >= _HOT_USER
    return f"data/users/{user:04d}/events/raw/year=2024/{share:08x}-{rank:010d}.parquet"


LAYOUTS: Final[dict[str, Name]] = {"uuid": _uuid, "counter": _counter, "dated": _dated, "hot": _hot}
"""uuid: random; counter: zero-padded; dated: year/month/day/hour, growing; hot: 90% under one deep prefix."""
