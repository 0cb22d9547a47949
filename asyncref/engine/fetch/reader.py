"""Reads one part to its end: attempts, retries, resuming, and the check of every answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from asyncref.engine.fetch.hedging import TICK_S, Flight, Hedging, Seat, Second
from asyncref.engine.fetch.intake import Cursor, Intake
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.plan import Attempt, Part, Step, after, check, found, outcome, request_for
from asyncref.engine.fetch.sources import Places
from asyncref.engine.flow import Meter
from asyncref.errors import (
    BrokenBodyError,
    ChangedError,
    ProtocolError,
    StorageError,
    UnsupportedError,
)
from asyncref.manifest import Manifest
from asyncref.model import Entry, Limits

_log = logging.getLogger("asyncref.fetch")
_RESTARTS = 3  # of a body that broke on a server that ignores ranges


@dataclass(slots=True)
class Reader:
    """Reads parts.

    Args:
        places: Opens the sources of older manifests.
        limits: Bounds.
        meter: Counts bytes.
        intake: Brings bodies to sinks.
        older: Manifests with older pins of the same content, tried after the newest.
    """

    places: Places
    limits: Limits
    meter: Meter
    intake: Intake
    older: Sequence[Manifest] = ()
    hedging: Hedging = field(default_factory=Hedging)
    _flights: set[Flight] = field(default_factory=set)

    async def read(self, job: Job, part: Part, sink: Sink, seat: Seat) -> bool:
        """Read one part to its end, by whichever attempt is granted.

        Args:
            job: Its object.
            part: The part.
            sink: Where its bytes go.
            seat: Of the worker; entered by this task.

        Returns:
            False if the server ignores ranges, and the object has to be read in one piece.

        Raises:
            StorageError: No attempt is granted.
            RetryableError: The last try's.
        """
        flight = Flight(job, part, sink, seat.end)
        self._flights.add(flight)
        try:
            return await self._read(job, part, sink, Cursor(part.start, flight=flight))
        except anyio.get_cancelled_exc_class() as error:
            if not seat.renew(error):
                raise
            return True  # a second request has brought it
        finally:
            self._flights.discard(flight)
            if flight.second is not None:
                await flight.second.call_off()
                seat.renew()  # it may have come to its end just then

    async def hedge(self, group: TaskGroup) -> None:
        """Send second requests for parts that are far slower than their peers, until cancelled.

        Args:
            group: Runs them; ended with this.
        """
        while True:
            await anyio.sleep(TICK_S)
            for flight in self.hedging.late(self._flights, time.monotonic()):
                group.start_soon(self._second, flight)

    async def _second(self, flight: Flight) -> None:
        """Read what one part still lacks over another connection; the first request ends if this comes first."""
        again = False
        second = Second()
        try:
            if flight in self._flights:  # else it ended before this task had its turn
                flight.second = second
                with second.scope:
                    await self._overtake(flight)
        except Exception as error:  # noqa: BLE001  the first request is still on its way, and its error counts
            again = True
            _log.info("a second request for %s failed: %s", flight.job.entry.ref, error)
        finally:
            self.hedging.landed(flight, again=again)
            second.over.set()

    async def _overtake(self, flight: Flight) -> None:
        job, rest = flight.job, Part(flight.offset, flight.part.stop)
        self.meter.retries += 1
        if await job.place.get.call(partial(self._send, job, job.attempt, rest, Cursor(rest.start), flight.sink)):
            flight.end()

    async def _read(self, job: Job, part: Part, sink: Sink, cursor: Cursor) -> bool:
        refusals: list[StorageError] = []
        while True:
            attempt = job.attempt
            try:
                send = partial(self._send, job, attempt, part, cursor, sink)
                return await job.place.get.call(send, came=lambda: cursor.offset)
            except StorageError as refusal:
                if isinstance(refusal, ProtocolError):
                    raise
                refusals.append(refusal)
                await self._move_on(job, attempt, refusals)

    async def read_whole(self, job: Job, sink: Sink) -> None:
        """Read the object in one piece from its first byte, over whatever came before.

        Raises:
            BrokenBodyError: It broke off too often, and the server ignores ranges.
        """
        for _ in range(_RESTARTS):
            await sink.restart()
            with Seat() as seat:
                if await self.read(job, Part(0, job.pin.size), sink, seat):
                    return
        raise BrokenBodyError("the body broke off again and again, and the server ignores ranges", uri=job.entry.ref)

    async def _send(self, job: Job, attempt: Attempt, part: Part, cursor: Cursor, sink: Sink) -> bool:
        if part.stop is None and cursor.offset:  # no size known: nothing tells that the rest belongs to it
            cursor.offset = 0
            await sink.restart()
        request = request_for(job.key, attempt, Part(cursor.offset, part.stop), job.pin)
        flight, length, sent_s = cursor.flight, (part.stop or 0) - cursor.offset, time.monotonic()
        if flight is not None:
            flight.offset, flight.length, flight.sent_s = cursor.offset, length, sent_s
        try:
            async with job.place.backend.read(request) as body:
                try:
                    as_asked = check(body.answer, request, job.pin, uri=job.entry.ref)
                except ChangedError as error:  # not the server's own refusal, which is final
                    raise cursor.once_more(error) from None
                if (job.adopted or not job.is_pinned) and part.stop is not None and not job.adopt(body.answer):
                    raise cursor.once_more(ChangedError("overwritten while it was read", uri=job.entry.ref))
                job.stated = body.answer.checksum or job.stated
                job.modified = body.answer.modified or job.modified
                if as_asked:
                    await self.intake.take(body, job, part, cursor, sink)
                    self.hedging.note(length, time.monotonic() - sent_s)
                return as_asked
        except ProtocolError as error:
            odd = error
        finally:
            if flight is not None:
                flight.sent_s = None
        raise cursor.once_more(odd)

    async def _move_on(self, job: Job, refused: Attempt, refusals: list[StorageError]) -> None:
        """Put the job on its next attempt, unless another part has done so.

        Raises:
            StorageError: There is none.
        """
        async with job.lock:
            if job.attempt is not refused:
                return
            following = after(refused, refusals[-1], job.pin, versioned=job.place.versioned)
            if following is not None and following.step is Step.SEARCH:
                following = await self._search(job, refusals)
            if following is not None:
                job.attempt = following
            elif not await self._turn_to_older(job):
                raise outcome(refusals, job.entry.ref) from refusals[0]

    async def _search(self, job: Job, refusals: list[StorageError]) -> Attempt | None:
        """Look for the pinned ETag among the versions of exactly this key."""
        try:
            rows = await job.place.search.call(lambda: job.place.backend.history(job.key))
        except UnsupportedError:
            return None
        except StorageError as refusal:
            refusals.append(refusal)
            return None
        etags = [
            f'"{bare.hex()}"' if bare is not None else etag
            for bare, etag in zip(rows["etag16"].to_pylist(), rows["etag"].to_pylist(), strict=True)
        ]
        return found(list(zip(rows["version"].to_pylist(), etags, rows["size"].to_pylist(), strict=True)), job.pin)

    async def _turn_to_older(self, job: Job) -> bool:
        while job.older < len(self.older):
            manifest = self.older[job.older]
            job.older += 1
            entry = await to_thread.run_sync(partial(_entry_of, manifest, job.entry.path))
            # Bytes of the same object only: parts that have come already stay.
            if entry is not None and (entry.digest, entry.pin.size) == (job.entry.digest, job.pin.size):
                source = manifest.sources[entry.source]
                job.turn_to(entry, source, self.places.of(source))
                return True
        return False


def _entry_of(manifest: Manifest, path: str) -> Entry | None:
    return manifest[path] if path in manifest else None  # noqa: SIM401  a manifest has no `get`
