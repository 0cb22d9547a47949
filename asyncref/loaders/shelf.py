"""Items of a stream, and where finished ones wait for the consumer, with the memory that all of them take."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a stream.

    Attributes:
        path: Its path in the manifest.
        data: Its bytes as stored; above 64 KiB the `bytearray` into which they were received. None on failure.
        error: Why this entry could not be had; the stream goes on.
        start: Where `data` begins in the object: 0, or the first byte of the range that was asked for.
        checked: A checksum confirmed the content; else only what the storage says of it (ETag, version, size) was compared,
            which of a file is its size.
    """

    path: str
    data: bytes | bytearray | None = None
    error: Exception | None = None
    start: int = 0
    checked: bool = False


class Shelf:
    """Where finished items wait for the consumer, and the memory that they and the running ones take.

    Args:
        memory_bytes: Bound.
        ordered: Hand items out by their number.
    """

    def __init__(self, memory_bytes: int, *, ordered: bool) -> None:
        self._free = self._least_free = memory_bytes
        self._memory_bytes = memory_bytes
        self._ordered = ordered
        self._waiting: dict[int, tuple[Item, int]] = {}
        self._ready: deque[tuple[Item, int]] = deque()
        self._next = 0
        self._lent = 0
        self._ended = False
        self._takers: list[asyncio.Future[None]] = []  # by themselves, since a wait for an event takes 3 µs more
        self._freed = asyncio.Event()

    @property
    def peak_bytes(self) -> int:
        """Most that was taken at once."""
        return self._memory_bytes - self._least_free

    def fits(self, cost_bytes: int) -> bool:
        """Take memory if there is enough; whatever is asked for if nobody else has any."""
        if cost_bytes > self._free and self._free < self._memory_bytes:
            return False
        self._free -= cost_bytes
        if self._free < self._least_free:  # noqa: PLR1730  for every object
            self._least_free = self._free
        return True

    async def wait_for(self, cost_bytes: int) -> None:
        """Take memory, waiting for it."""
        while not self.fits(cost_bytes):
            self._freed.clear()
            await self._freed.wait()

    def owe(self, cost_bytes: int) -> None:
        """Take memory that was needed whether there is enough or not; what comes next waits until it is there again."""
        self._free -= cost_bytes
        self._least_free = min(self._least_free, self._free)

    def put(self, number: int, item: Item, cost_bytes: int, *, spare_bytes: int = 0) -> None:
        """Take a finished item; never waits, since its memory is counted.

        Args:
            number: Its own.
            item: What came.
            cost_bytes: Taken for it, to be given back when the item after it is asked for.
            spare_bytes: Taken for it besides, and needed no more.
        """
        self._free += spare_bytes
        self._freed.set()
        if not self._ordered:
            self._ready.append((item, cost_bytes))
        else:
            self._waiting[number] = (item, cost_bytes)
            while (following := self._waiting.pop(self._next, None)) is not None:
                self._ready.append(following)
                self._next += 1
        if self._ready:
            self._wake()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._wake()

    async def take(self) -> Item | None:
        """The next item, giving back the memory of the one before; None at the end."""
        self._free += self._lent
        self._lent = 0
        self._freed.set()
        while not self._ready:
            if self._ended:
                return None
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        item, self._lent = self._ready.popleft()
        return item

    def _wake(self) -> None:
        for taker in self._takers:
            if not taker.done():  # else cancelled
                taker.set_result(None)
        self._takers.clear()
