"""Whether what came is what was pinned: which checksum tells, and what becomes of an object that differs.

Damage on the way is hardly ever twice alike, so an object that differs is read again: other bytes the second time are
damage, the same bytes are what lies there, and then it is the expectation that says what they are. Where the answers themselves
state the expected checksum, they have to come alike three times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import anyio

from asyncref.backends.base import Describes
from asyncref.engine.fetch.content import Composite, Expected, composite_of, expected_of, part_sizes, stated_sum
from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.plan import Part, is_pinned, request_for
from asyncref.engine.fetch.reader import Reader
from asyncref.engine.flow import Meter
from asyncref.errors import BrokenBodyError, ChangedError, RetryableError, StorageError
from asyncref.model import Answer

Checksum = Literal["auto", "always", "never"]
ENOUGH_UNLIKE = 8
"""Objects whose ETag proved to be no MD5, none the contrary, until a source's ETags are no longer taken for one."""
_ALIKE: Final = 2
_ALIKE_STATED: Final = 3
"""How often the same unexpected bytes have to come to be believed; and where the answers state the expected checksum."""

Measure = Callable[[], Awaitable[tuple[bool, bytes]]]
"""Whether the content is the one expected, and a digest that is the same for the same content."""


@dataclass(slots=True)
class _Trust:
    """What was learnt of one place's ETags of one kind."""

    like: int = 0
    unlike: int = 0

    @property
    def lost(self) -> bool:
        return self.unlike >= ENOUGH_UNLIKE and not self.like


@dataclass(slots=True)
class Checker:
    """Checks objects that are complete.

    Args:
        reader: Reads again what differs.
        meter: Counts.
        checksum: `never` compares ETags, versions and sizes only; `always` also what costs a request or a pass more.

    Attributes:
        unchecked: Objects whose content nothing confirmed.
    """

    reader: Reader
    meter: Meter
    checksum: Checksum = "auto"
    unchecked: int = 0
    _md5s: dict[int, _Trust] = field(default_factory=dict)
    _composites: dict[int, _Trust] = field(default_factory=dict)
    _same: dict[tuple[int, str], datetime] = field(default_factory=dict)
    _looking: anyio.Lock = field(default_factory=anyio.Lock)

    async def check(self, job: Job, sink: Sink) -> None:
        """Compare an object with the first checksum that tells.

        Raises:
            ChangedError: It is not what the storage states.
            BrokenBodyError: Every try gave damaged bytes.
        """
        if self.checksum != "never":
            if job.sliced:
                await self._require_same_file(job)
            else:
                job.confirmed = await self._confirmed(job, sink)
        self.unchecked += not job.confirmed

    async def _require_same_file(self, job: Job) -> None:
        """Of a piece of a file that has another time than the pin, look at the whole file's content, once.

        A file has no ETag, and one that was copied or touched is still the same; other storages state no time here.

        Raises:
            ChangedError: It is another.
        """
        mark = (id(job.place), job.key)
        if job.modified is None or not job.pin.checksum or job.modified in (job.pin.modified, self._same.get(mark)):
            return
        async with self._looking:
            if job.modified == self._same.get(mark):
                return
            found = await job.place.get.call(lambda: job.place.backend.stat(job.key))
            if (found.checksum, found.modified) != (job.pin.checksum, job.modified):
                raise ChangedError("the file was written to since, and its content is another", uri=job.entry.ref)
            self._same[mark] = job.modified

    async def _confirmed(self, job: Job, sink: Sink) -> bool:
        expected = expected_of(job.pin)
        trust = self._md5s.setdefault(id(job.place), _Trust())
        if expected is not None and not expected.stated and trust.lost:
            expected = None
        if expected is None:
            expected = stated_sum(job.stated)  # proves the way here, where the pin proves nothing
        if expected is None and self.checksum == "always":
            if len(job.parts) > 1:  # an answer to a range states nothing of the whole
                told = await self._described(job)
                expected = stated_sum(told.checksum) if told else None
            if expected is None and (composite := composite_of(job.pin)) is not None:
                return await self._composed(job, sink, composite)
        if expected is None:
            return False
        algorithm, digest = expected.algorithm, expected.digest

        async def measure() -> tuple[bool, bytes]:
            found = await sink.sum(algorithm)
            return found == digest, found

        once = await sink.sum(algorithm)
        if once == digest or await self._settled(job, sink, measure, once, expected):
            trust.like += not expected.stated
            return True
        if expected.stated:
            text = f"the content changed: its {expected.name} is not {digest.hex()}, as the storage states"
            raise ChangedError(text, uri=job.entry.ref, hint="checksum='never' takes it as it lies there")
        trust.unlike += 1
        self.meter.note(f"{job.source.uri}: some ETags are not the MD5 of the content (aws:kms, SSE-C)")
        return False

    async def _composed(self, job: Job, sink: Sink, composite: Composite) -> bool:
        """Whether an ETag of upload parts is that of the content, cut as it was uploaded or at a usual size."""
        trust = self._composites.setdefault(id(job.place), _Trust())
        if trust.lost:
            return False
        length = sink.length()
        told = await self._described(job, upload_part=1) if composite.parts > 1 else None
        if told is not None and told.stop and told.stop < length:
            sizes = [told.stop]
        else:  # nobody tells, or the server spoke of the whole object
            sizes = part_sizes(length, composite.parts) or [length or 1]

        async def measure() -> tuple[bool, bytes]:
            first = b""
            for size in sizes:
                found = await sink.composite(size)
                if found == composite.digest:
                    return True, found
                first = first or found
            return False, first

        right, once = await measure()
        if right or await self._settled(job, sink, measure, once):
            trust.like += 1
            return True
        trust.unlike += 1
        self.meter.note(
            f"{job.source.uri}: some ETags of multipart uploads could not be checked (cut unevenly, aws:kms)"
        )
        return False

    async def _described(self, job: Job, *, upload_part: int | None = None) -> Answer | None:
        """What a HEAD says of the pinned object; None where nobody tells or it says it of another one."""
        backend = job.place.backend
        if not isinstance(backend, Describes):
            return None
        request = request_for(job.key, job.attempt, Part(0, job.pin.size), job.pin)
        with suppress(StorageError, RetryableError):  # the bytes are here; this would only have confirmed them
            answer = await job.place.get.call(lambda: backend.describe(request, upload_part=upload_part))
            if is_pinned(answer, request, job.pin):
                return answer
        return None

    async def _settled(
        self, job: Job, sink: Sink, measure: Measure, once: bytes, expected: Expected | None = None
    ) -> bool:
        """Read an object again until it is the one expected, or has come alike often enough to be what lies there.

        Raises:
            BrokenBodyError: Every try gave damaged bytes.
        """
        times = Counter([once])
        for _ in range(self.reader.limits.attempts):
            self.meter.retries += 1
            await self.reader.read_whole(job, sink)
            right, found = await measure()
            times[found] += 1
            is_stated = expected is not None and stated_sum(job.stated) == expected
            if right or times[found] >= (_ALIKE_STATED if is_stated else _ALIKE):
                return right
        if len(times) == 1:
            return False  # with few tries, each of which said the same
        raise BrokenBodyError(f"the content came damaged {times.total()} times", uri=job.entry.ref)
