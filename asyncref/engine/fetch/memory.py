"""What of `Limits.memory_bytes` one request takes: pure decisions of a fetch and a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncref.net.wire.connection import BUFFER_BYTES

TRANSIT_BYTES: Final = 2 * BUFFER_BYTES
"""Of one request, before its bytes are the sink's: the connection's buffer, and the chunk that was taken out of it."""
LEAST_WINDOW_BYTES: Final = 64 * 1024
_MOST_WINDOW_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Shares:
    """How a bound is shared.

    Attributes:
        workers: Requests at once.
        window_bytes: Bytes that each may gather before they go to the sink.
        small_bytes: Largest object that may be held whole, and once more as the chunks of which it is made.
    """

    workers: int
    window_bytes: int
    small_bytes: int


def shares(memory_bytes: int, workers: int) -> Shares:
    """Share a bound among workers: fewer of them where it does not suffice for all.

    Args:
        memory_bytes: The bound; one request takes about 1.1 MiB, and one there is in any case.
        workers: Those that would be of use.
    """
    workers = max(1, min(workers, memory_bytes // (TRANSIT_BYTES + LEAST_WINDOW_BYTES)))
    each = memory_bytes // workers
    window = max(LEAST_WINDOW_BYTES, min(_MOST_WINDOW_BYTES, each - TRANSIT_BYTES))
    return Shares(workers, window, max(LEAST_WINDOW_BYTES, min(window, (each - BUFFER_BYTES) // 2)))


def transit_bytes(size_bytes: int, requests: int) -> int:
    """What an object takes besides its own bytes while it is on its way, by so many requests at once."""
    return min(size_bytes, requests * TRANSIT_BYTES)
