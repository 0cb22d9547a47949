"""The workers of a fetch or a stream: parts in, checked objects out, failures gathered entry by entry.

A fixed number of workers takes parts from a feed; whoever finishes an object's last part checks its
content and hands it to the outlet. There is no task an object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from asyncref.engine.fetch.checking import Checker
from asyncref.engine.fetch.hedging import Seat
from asyncref.engine.fetch.job import Feed, Job, Sink
from asyncref.engine.fetch.plan import Part
from asyncref.engine.fetch.reader import Reader
from asyncref.engine.flow import Meter
from asyncref.errors import (
    ContainerNotFoundError,
    CredentialsError,
    NotFoundError,
    RetryableError,
    UnsupportedError,
    UsageError,
)

Produce = Callable[[MemoryObjectSendStream[Sequence[Job]]], Awaitable[None]]
"""Sends jobs, many at a time, until there are no more."""

_FATAL = (ContainerNotFoundError, CredentialsError, UsageError)  # the same for every entry


class Outlet(Protocol):
    """What becomes of objects."""

    async def open(self, job: Job) -> Sink | None:
        """Where the bytes should go; None if they are not needed. Called once an object."""
        ...

    async def finish(self, job: Job) -> None:
        """The object is complete and checked."""
        ...

    async def fail(self, job: Job, error: Exception) -> None:
        """The object cannot be had. Raises to end the whole run."""
        ...


@dataclass(slots=True)
class Transfer:
    """One run of workers.

    Args:
        reader: Reads parts.
        outlet: Takes objects.
        meter: Counts.
        workers: How many.
        checker: Checks what is complete.
        abreast: As `Feed` has it.
    """

    reader: Reader
    outlet: Outlet
    meter: Meter
    workers: int
    checker: Checker
    abreast: int = 1
    _in_vain: int = 0
    _fatal: Exception | None = None

    async def run(self, produce: Produce) -> None:
        """Work until the producer has ended and all its jobs are finished or failed.

        Raises:
            AsyncrefError: What makes going on useless: no credentials, no bucket, nothing answers any more,
                or whatever the outlet raised.
        """
        send, receive = anyio.create_memory_object_stream[Sequence[Job]](1)
        async with receive, anyio.create_task_group() as group:
            feed = Feed(lambda: _next(receive), abreast=self.abreast)
            group.start_soon(self._guard, group.cancel_scope, lambda: _produce(produce, send))
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._guard, group.cancel_scope, lambda: self.reader.hedge(beside))
                async with anyio.create_task_group() as working:
                    for _ in range(self.workers):
                        working.start_soon(self._guard, group.cancel_scope, lambda: self._work(feed))
                beside.cancel_scope.cancel()
        if self._fatal is not None:
            raise self._fatal

    async def _guard(self, scope: CancelScope, call: Callable[[], Awaitable[None]]) -> None:
        """Let the first error end the run as itself, not as one of a group."""
        try:
            await call()
        except Exception as error:  # noqa: BLE001  raised again by `run`
            self._fatal = self._fatal or error
            scope.cancel()

    async def _work(self, feed: Feed) -> None:
        with Seat() as seat:
            while (piece := await feed.take()) is not None:
                job, part = piece
                try:
                    if job.error is None:
                        await self._part(job, part, seat)
                except Exception as error:  # noqa: BLE001  one entry's failure; `fail` decides what it means
                    job.error = job.error or error
                job.left -= 1
                if not job.left:
                    await self._close(job)

    async def _part(self, job: Job, part: Part, seat: Seat) -> None:
        if len(job.parts) == 1:
            await self._open(job)
        elif not job.opened:
            async with job.lock:
                if not job.opened:
                    await self._open(job)
        if job.sink is None or job.unranged or job.sink.has(part):
            return
        if not await self.reader.read(job, part, job.sink, seat):
            job.unranged = True
        elif not job.unranged:
            job.sink.note(part)

    async def _open(self, job: Job) -> None:
        if not job.is_pinned and (not job.key or job.key.endswith("/")):
            raise _no_object(job)  # on S3 a read of no key would be a listing
        job.sink = await self.outlet.open(job)
        job.opened = True

    async def _close(self, job: Job) -> None:
        try:
            if job.error is None and job.sink is not None:
                if job.unranged:
                    await self.reader.read_whole(job, job.sink)
                await self.checker.check(job, job.sink)
            if job.error is None:
                await self.outlet.finish(job)
        except Exception as error:  # noqa: BLE001  as above
            job.error = error
        if job.error is None:
            self._in_vain = 0
            return
        failure = _explained(job, job.error)
        self._in_vain = self._in_vain + 1 if isinstance(failure, RetryableError) else 0
        if isinstance(failure, _FATAL):
            raise failure
        await self.outlet.fail(job, failure)
        if self._in_vain >= self.workers:
            raise failure  # as many in a row as there are workers used up all their tries: nothing answers any more


def _explained(job: Job, error: Exception) -> Exception:
    """A reference without pins may stand for a whole prefix, which is nothing that a read can bring."""
    unknown = not job.is_pinned and job.pin.size is None
    return _no_object(job) if type(error) is NotFoundError and unknown else error


def _no_object(job: Job) -> UnsupportedError:
    return UnsupportedError(
        "no such object; a reference to a prefix made with checksum=False has no list of its objects to fetch",
        uri=job.entry.ref,
        hint="make the reference again with checksums",
    )


async def _next(receive: MemoryObjectReceiveStream[Sequence[Job]]) -> Sequence[Job]:
    try:
        try:
            return receive.receive_nowait()  # without a turn of the loop, if there are any
        except anyio.WouldBlock:
            return await receive.receive()
    except anyio.EndOfStream:
        return ()


async def _produce(produce: Produce, send: MemoryObjectSendStream[Sequence[Job]]) -> None:
    async with send:
        await produce(send)
