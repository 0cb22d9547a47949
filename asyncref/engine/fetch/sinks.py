"""Where the bytes of one object go: chunks in memory, one buffer in memory, or a temporary file."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

import anyio
from anyio import to_thread

from asyncref.backends.base import Share
from asyncref.engine.fetch.content import md5_of_md5s, sum_of
from asyncref.engine.fetch.disk import Bytes, write_at
from asyncref.engine.fetch.plan import Part
from asyncref.engine.fetch.sums import combined, combines, new_sum
from asyncref.engine.fetch.temporary import Temporary

INLINE_BYTES = 64 * 1024
"""Up to here a write or an MD5 is done on the loop: a hop to a thread costs about 60 µs, hashing 64 KiB 90 µs."""
_SLOW_S = 0.005
"""A write that took longer was no copy into the page cache: the following ones are left to threads."""
_SLOW_WRITES = 256
_SLICE_BYTES = 64 * 2**20  # of a file, to a thread
T = TypeVar("T")


class Threads:
    """A bounded set of threads for blocking calls of one run.

    Args:
        most: Calls at once.

    Attributes:
        most: The same.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most or max(4, os.cpu_count() or 1)
        self._limiter = anyio.CapacityLimiter(self.most)
        self._distrust = 0

    async def write(self, fd: int, chunks: Sequence[Bytes], offset: int) -> None:
        """Write to a file: on the loop while that is a mere copy into memory (0.2 ms a MiB), else in a thread.

        A hop costs as much as copying half a MiB, and the next core's cache is cold: 1,050 MB a CPU-second beside 750.
        """
        await self.copy(partial(write_at, fd, chunks, offset), length=INLINE_BYTES + 1)

    async def copy(self, call: Callable[[], T], *, length: int) -> T:
        """Run a call that copies `length` bytes into the page cache: few always on the loop, more as `write` has it."""
        if length > INLINE_BYTES and self._distrust:
            self._distrust -= 1
            return await to_thread.run_sync(call, limiter=self._limiter)
        start_s = monotonic()
        done = call()
        if length > INLINE_BYTES and monotonic() - start_s > _SLOW_S:
            self._distrust = _SLOW_WRITES
        return done

    async def run(self, call: Callable[[], T], *, length: int = INLINE_BYTES + 1) -> T:
        """Run a call that handles `length` bytes: on the loop if they are few, else in a thread."""
        if length <= INLINE_BYTES:
            return call()
        return await to_thread.run_sync(call, limiter=self._limiter)

    async def each(self, call: Callable[[int, int], T], *, size_bytes: int, step_bytes: int) -> list[T]:
        """Call for every step of a range, as many at once as there are threads; the results in order.

        Args:
            call: Takes the first byte and the end of a step.
            size_bytes: Of all.
            step_bytes: Of each but the last.
        """
        starts = range(0, size_bytes, step_bytes)
        found: dict[int, T] = {}
        coming = iter(starts)

        async def work() -> None:
            for start in coming:
                stop = min(start + step_bytes, size_bytes)
                found[start] = await self.run(partial(call, start, stop), length=stop - start)

        async with anyio.create_task_group() as group:
            for _ in range(min(self.most, len(starts))):
                group.start_soon(work)
        return [found[start] for start in starts]


class ChunkSink:
    """The chunks of an object whose size no one said, in order.

    Args:
        threads: For hashing.
        grow: Waited for before more bytes are held than ever before; told how many that will be.
    """

    def __init__(self, threads: Threads, grow: Callable[[int], Awaitable[None]] | None = None) -> None:
        self._threads = threads
        self._grow = grow
        self._held_bytes = self._most_bytes = 0
        self.chunks: list[bytes] = []

    def room(self, offset: int, length: int) -> None:
        """None."""
        del offset, length

    async def write(self, offset: int, chunks: Sequence[Bytes]) -> None:
        """Keep them; they come in order."""
        del offset
        self._held_bytes += sum(map(len, chunks))
        if self._held_bytes > self._most_bytes:
            self._most_bytes = self._held_bytes
            if self._grow is not None:
                await self._grow(self._held_bytes)
        self.chunks.extend(map(bytes, chunks))

    def descriptor(self) -> None:
        """None."""

    async def take_from(self, share: Share) -> bool:
        """Never: memory has no file's blocks."""
        del share
        return False

    def has(self, part: Part) -> bool:
        """Never: nothing outlives the process."""
        del part
        return False

    def note(self, part: Part) -> None:
        """Nothing, for the same reason."""

    async def restart(self) -> None:
        """Drop them."""
        self._held_bytes = 0
        self.chunks.clear()

    def length(self) -> int:
        """Of all chunks."""
        return self._held_bytes

    async def composite(self, part_bytes: int) -> bytes:
        """In one thread: parts begin anywhere in the chunks."""
        return await self._threads.run(partial(_composite, self.chunks, part_bytes), length=self.length())

    async def sum(self, algorithm: str) -> bytes:
        """Of all chunks."""
        return await self._threads.run(partial(_sum, self.chunks, algorithm), length=self.length())


class MemorySink:
    """One buffer for an object whose size is known, or for a slice of one; bodies are received straight into it.

    Args:
        size_bytes: Of the object, or of the slice.
        threads: For hashing.
        first_byte: Where the slice begins.
    """

    def __init__(self, size_bytes: int, threads: Threads, first_byte: int = 0) -> None:
        self._threads = threads
        self._first = first_byte
        self.data = bytearray(size_bytes)

    def room(self, offset: int, length: int) -> memoryview | None:
        """The place of these bytes; None for what lies before or behind a slice, of which a server sent the whole object."""
        start = offset - self._first
        if not 0 <= start < len(self.data):
            return None
        return memoryview(self.data)[start : start + length]

    async def write(self, offset: int, chunks: Sequence[Bytes]) -> None:
        """Copy what is wanted of them to its place."""
        at = offset - self._first
        for chunk in chunks:
            low, high = max(at, 0), min(at + len(chunk), len(self.data))
            if low < high:
                self.data[low:high] = memoryview(chunk)[low - at : high - at]
            at += len(chunk)

    def descriptor(self) -> None:
        """None."""

    async def take_from(self, share: Share) -> bool:
        """Never: memory has no file's blocks."""
        del share
        return False

    def has(self, part: Part) -> bool:
        """Never: nothing outlives the process."""
        del part
        return False

    def note(self, part: Part) -> None:
        """Nothing, for the same reason."""

    async def restart(self) -> None:
        """Nothing: what comes overwrites what came."""

    def length(self) -> int:
        """Of the buffer."""
        return len(self.data)

    async def composite(self, part_bytes: int) -> bytes:
        """Parts at once."""
        view = memoryview(self.data)
        return md5_of_md5s(
            await self._threads.each(
                lambda start, stop: _sum((view[start:stop],), "md5"), size_bytes=len(view), step_bytes=part_bytes
            )
        )

    async def sum(self, algorithm: str) -> bytes:
        """Of the whole buffer."""
        return await self._threads.run(partial(_sum, (self.data,), algorithm), length=len(self.data))


class FileSink:
    """A temporary file.

    Args:
        temporary: Open; it stays the caller's to finish or discard.
        threads: For writing and hashing.
    """

    def __init__(self, temporary: Temporary, threads: Threads) -> None:
        self._threads = threads
        self.temporary = temporary

    def room(self, offset: int, length: int) -> None:
        """None: a mapped file that a full disk or another process cuts would end this process."""
        del offset, length

    async def write(self, offset: int, chunks: Sequence[Bytes]) -> None:
        """Write them at their place."""
        await self._threads.write(self.temporary.fd, chunks, offset)

    def descriptor(self) -> int:
        """The temporary's own."""
        return self.temporary.fd

    async def take_from(self, share: Share) -> bool:
        """By the file system, where it can."""
        return await share(self.temporary.fd)

    def has(self, part: Part) -> bool:
        """Whether its journal says so."""
        journal = self.temporary.journal
        return journal is not None and journal.has(part)

    def note(self, part: Part) -> None:
        """Write it to the journal, if there is one: two system calls, no wait for the disk."""
        if self.temporary.journal is not None:
            self.temporary.journal.note(part)

    async def restart(self) -> None:
        """Nothing is kept: the object may be shorter than what came before."""
        if self.temporary.journal is not None:
            self.temporary.journal.forget()
        await self._threads.run(partial(os.ftruncate, self.temporary.fd, 0), length=0)

    def length(self) -> int:
        """As the file system says."""
        return os.fstat(self.temporary.fd).st_size

    async def composite(self, part_bytes: int) -> bytes:
        """Parts at once, over the page cache."""
        fd = self.temporary.fd
        return md5_of_md5s(
            await self._threads.each(
                lambda start, stop: sum_of(fd, start, stop, "md5"), size_bytes=self.length(), step_bytes=part_bytes
            )
        )

    async def sum(self, algorithm: str) -> bytes:
        """Of the whole file: a second pass, over the page cache; a CRC of its parts at once, combined."""
        fd, size_bytes = self.temporary.fd, self.length()
        if not combines(algorithm) or size_bytes <= _SLICE_BYTES:
            return await self._threads.run(partial(sum_of, fd, 0, size_bytes, algorithm), length=size_bytes)
        digests = await self._threads.each(
            lambda start, stop: sum_of(fd, start, stop, algorithm), size_bytes=size_bytes, step_bytes=_SLICE_BYTES
        )
        lengths = [min(_SLICE_BYTES, size_bytes - start) for start in range(0, size_bytes, _SLICE_BYTES)]
        return combined(algorithm, zip(digests, lengths, strict=True))


def _composite(chunks: Sequence[Bytes], part_bytes: int) -> bytes:
    digests: list[bytes] = []
    running, left = new_sum("md5"), part_bytes
    for chunk in chunks:
        view = memoryview(chunk)
        while len(view) >= left:
            running.update(view[:left])
            view = view[left:]
            digests.append(running.digest())
            running, left = new_sum("md5"), part_bytes
        running.update(view)
        left -= len(view)
    if left < part_bytes:
        digests.append(running.digest())
    return md5_of_md5s(digests)


def _sum(chunks: Sequence[Bytes], algorithm: str) -> bytes:
    running = new_sum(algorithm)
    for chunk in chunks:
        running.update(chunk)
    return running.digest()
