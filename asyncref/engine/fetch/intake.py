"""The way of a body to a sink: by the system alone, into the sink's memory, or in windows that are written. Counted, and paced."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable
from dataclasses import dataclass, field

import anyio

from asyncref.backends.base import Body, Pour, Receive
from asyncref.engine.fetch.hedging import Flight
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.plan import Part
from asyncref.engine.flow import Meter
from asyncref.errors import AsyncrefError, BrokenBodyError, ProtocolError, RetryableError, StorageError
from asyncref.model import Limits

_POURED_BYTES = 2**20  # a thread's turn costs as much as copying some hundred KiB
_POUR_BYTES = 8 * 2**20  # at once: as often the meter hears of it
_ODD = 3  # answers that contradict the pin or themselves, until they are taken for the server's last word


@dataclass(slots=True)
class Cursor:
    """How far one part has come, and how many odd answers it was given."""

    offset: int
    odd: int = 0
    flight: Flight | None = None

    def once_more(self, error: StorageError) -> AsyncrefError:
        """The error itself, once it came too often to be a slip of something on the way."""
        self.odd += 1
        if self.odd > _ODD:
            return error
        return BrokenBodyError(error.message, uri=error.uri, request_id=error.request_id)


@dataclass(slots=True)
class Intake:
    """Takes the bodies of one run.

    Args:
        limits: Bounds.
        meter: Counts bytes.
        window_bytes: Most bytes held before they go to the sink.
    """

    limits: Limits
    meter: Meter
    window_bytes: int = 2**20
    _windows: list[bytearray] = field(default_factory=list)
    _free_s: float = field(default_factory=time.monotonic)

    async def take(self, body: Body, job: Job, part: Part, cursor: Cursor, sink: Sink) -> None:
        """Bring a body to the sink; what came before it broke stays, `cursor` tells how much, and is not asked for again.

        Raises:
            BrokenBodyError: It is shorter than announced.
            ProtocolError: It is longer.
            OSError: The sink cannot take it.
        """
        stop = part.stop if part.stop is not None else body.answer.stop
        if body.share is not None and stop is not None and await sink.take_from(body.share):
            self.meter.bytes += stop - cursor.offset
            cursor.offset = stop
            return
        if body.pour is not None and stop is not None and stop - cursor.offset >= _POURED_BYTES:
            await self._pour(body.pour, stop, cursor, sink)
        if body.receive is None:
            longer = await self._collect(body.chunks, stop, cursor, sink)
        else:
            await self._receive(body.receive, stop, cursor, sink)
            longer = body.answer.stop is None and bool(await body.receive(memoryview(bytearray(1))))
        if longer:
            raise ProtocolError("the body is longer than announced", uri=job.entry.ref)
        if stop is not None and cursor.offset != stop:
            raise BrokenBodyError(f"the body ended at byte {cursor.offset} of {stop}", uri=job.entry.ref)

    async def _pour(self, pour: Pour, stop: int, cursor: Cursor, sink: Sink) -> None:
        """Have the system put the bytes in the sink's file, if it is one, without this process."""
        file = sink.descriptor() if not self.limits.bytes_per_second else None  # a rate is held by whoever counts
        while file is not None and cursor.offset < stop:
            came = await pour(file, cursor.offset, min(stop - cursor.offset, _POUR_BYTES))
            if not came:
                return
            self.meter.bytes += came
            cursor.offset += came
            if cursor.flight is not None:
                cursor.flight.offset = cursor.offset

    async def _receive(self, receive: Receive, stop: int | None, cursor: Cursor, sink: Sink) -> None:
        """Receive straight into the sink's memory, or into a buffer that is written again and again."""
        window: bytearray | None = None
        try:
            while stop is None or cursor.offset < stop:
                most = self.window_bytes if stop is None or self.limits.bytes_per_second else stop - cursor.offset
                view = sink.room(cursor.offset, most)
                if view is None:
                    window = window or (self._windows.pop() if self._windows else bytearray(self.window_bytes))
                    view = memoryview(window)[: min(most, self.window_bytes)]
                came = await receive(view)
                if not came:
                    return
                self.meter.bytes += came
                if window is not None:
                    await sink.write(cursor.offset, (view[:came],))
                cursor.offset += came
                if cursor.flight is not None:
                    cursor.flight.offset = cursor.offset
                if self.limits.bytes_per_second:
                    await self._pace(came)
        finally:
            if window is not None:
                self._windows.append(window)

    async def _collect(self, chunks: AsyncIterable[bytes], stop: int | None, cursor: Cursor, sink: Sink) -> bool:
        """Gather chunks and write them together; whether more came than should have."""
        held: list[bytes] = []
        held_bytes = 0

        async def put() -> None:
            nonlocal held, held_bytes
            await sink.write(cursor.offset, held)
            cursor.offset += held_bytes
            if cursor.flight is not None:
                cursor.flight.offset = cursor.offset
            await self._pace(held_bytes)
            held, held_bytes = [], 0

        try:
            async for chunk in chunks:
                self.meter.bytes += len(chunk)
                if stop is not None and cursor.offset + held_bytes + len(chunk) > stop:
                    return True
                held.append(chunk)
                held_bytes += len(chunk)
                if held_bytes >= self.window_bytes:
                    await put()
        except RetryableError:
            if held:
                await put()
            raise
        if held:
            await put()
        return False

    async def _pace(self, length: int) -> None:
        """Hold the rate of `limits.bytes_per_second` over all parts."""
        if self.limits.bytes_per_second:
            now = time.monotonic()
            self._free_s = max(self._free_s, now) + length / self.limits.bytes_per_second
            if self._free_s > now:
                await anyio.sleep(self._free_s - now)
