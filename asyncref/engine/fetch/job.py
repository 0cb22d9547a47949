"""One object on its way, and the feed from which workers take its parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import anyio

from asyncref.backends.base import Share
from asyncref.engine.fetch.plan import Attempt, Part, Parts, first, parts_of
from asyncref.engine.fetch.sources import Place
from asyncref.model import Answer, Entry, Pin, Source


class Sink(Protocol):
    """Where the bytes of one object go."""

    def room(self, offset: int, length: int) -> memoryview | None:
        """Memory in which these bytes may be received, as if written; None: `write` is wanted."""
        ...

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        """Take bytes that start at an offset within the object."""
        ...

    def descriptor(self) -> int | None:
        """Of the open file in which these bytes may be put, each at its offset, as if written; None: `write` is wanted."""
        ...

    async def take_from(self, share: Share) -> bool:
        """Share a part's bytes with the file that holds them; False where that cannot be."""
        ...

    def has(self, part: Part) -> bool:
        """Whether an earlier run brought this part."""
        ...

    def note(self, part: Part) -> None:
        """A part is complete."""
        ...

    async def restart(self) -> None:
        """Forget everything: the object comes again from its first byte."""
        ...

    def length(self) -> int:
        """Bytes of the object, once it is complete."""
        ...

    async def composite(self, part_bytes: int) -> bytes:
        """The MD5 of the MD5s of its parts, were it cut so, once it is complete."""
        ...

    async def sum(self, algorithm: str) -> bytes:
        """A checksum of all that was written, once it is complete."""
        ...


@dataclass(slots=True)
class Job:
    """One object: its pin, how it is asked for at present, and what is left of it.

    Attributes:
        entry: The row.
        source: Its source record.
        place: Where it is asked for.
        key: Its raw key.
        pin: What every answer is compared with.
        attempt: The attempt that all parts use now.
        parts: All of them.
        local: Its file below the target.
        index: Its place in the order of the manifest.
        sink: Where its bytes go; None until it is opened, and where they are not needed.
        opened: The outlet was asked for the sink.
        taken: Parts handed to workers.
        left: Parts not finished.
        stated: The checksum of the whole object that an answer had, `algorithm:hex`.
        modified: When the object was last changed, as an answer had it.
        confirmed: A checksum confirmed its content.
        unranged: The server ignored a range: the object has to be read in one piece.
        unsure: A file of the same size lies there and nothing tells whether it is this one.
        error: Why it failed; the parts that are left are not asked for.
        older: Older manifests already tried.
        sliced: Only a slice of the object is wanted, which no checksum of the whole proves.
        adopted: The manifest does not pin it: `pin` is that of the first answer.
    """

    entry: Entry
    source: Source
    place: Place
    key: str
    pin: Pin
    attempt: Attempt
    parts: Parts
    local: str = ""
    index: int = 0
    sink: Sink | None = None
    opened: bool = False
    taken: int = 0
    left: int = 0
    stated: str | None = None
    modified: datetime | None = None
    confirmed: bool = False
    unranged: bool = False
    unsure: bool = False
    error: Exception | None = None
    older: int = 0
    sliced: bool = False
    adopted: bool = False
    _lock: anyio.Lock | None = None

    @classmethod
    def of(
        cls, entry: Entry, source: Source, place: Place, *, local: str = "", index: int = 0, span: Part | None = None
    ) -> Job:
        """The job of a manifest's row, or of a span of its object (which has an end)."""
        if span is None or span.stop is None:
            parts = parts_of(entry.pin.size)
        else:
            parts = parts_of(span.stop - span.start, first_byte=span.start)
        attempt = first(entry.pin, versioned=place.versioned)
        key = source.key_of(entry.ref)
        return cls(
            entry, source, place, key, entry.pin, attempt, parts, local, index, left=len(parts), sliced=span is not None
        )

    @property
    def lock(self) -> anyio.Lock:
        """Held to open the sink of several parts and to move to another attempt."""
        if self._lock is None:  # few objects need one, and making it costs 5 µs
            self._lock = anyio.Lock()
        return self._lock

    @property
    def is_pinned(self) -> bool:
        """Whether anything tells its bytes from others."""
        return bool(self.pin.etag or self.pin.version or self.pin.checksum)

    def adopt(self, answer: Answer) -> bool:
        """Hold all parts of an object that the manifest does not pin to the first answer; False if this is another object's."""
        if self.adopted:
            return answer.version in (
                None,
                self.pin.version,
            )  # ETags were compared, the version that no one named was not
        if answer.etag or answer.version:
            self.pin = replace(self.pin, etag=answer.etag, version=answer.version)
            self.attempt = first(self.pin, versioned=self.place.versioned)
            self.adopted = True
        return True

    def turn_to(self, entry: Entry, source: Source, place: Place) -> None:
        """Ask for the same bytes under an older pin."""
        self.source, self.place, self.pin = source, place, entry.pin
        self.key = source.key_of(entry.ref)
        self.attempt = first(entry.pin, versioned=place.versioned)


class Feed:
    """Hands parts to workers, one at a time and without waiting while there are any.

    Args:
        refill: Gives the next jobs; an empty list when there are no more.
        abreast: So many objects of several parts are read side by side, in turn. A file system lets one writer at a time into
            a file, so as many threads as files can write.
    """

    def __init__(self, refill: Callable[[], Awaitable[Sequence[Job]]], *, abreast: int = 1) -> None:
        self._refill = refill
        self._abreast = abreast
        self._turn = 0
        self._jobs: deque[Job] = deque()
        self._lock = anyio.Lock(fast_acquire=True)  # else whoever fills up lets all others queue up behind it first
        self._ended = False

    async def take(self) -> tuple[Job, Part] | None:
        """The next part; None at the end."""
        while not self._jobs:
            async with self._lock:
                if self._ended:
                    return None
                if not self._jobs:
                    self._jobs.extend(await self._refill())
                    self._ended = not self._jobs
        at = self._next() if self._abreast > 1 else 0
        job = self._jobs[at]
        part = job.parts[job.taken]
        job.taken += 1
        if job.taken == len(job.parts):
            del self._jobs[at]
        return job, part

    def _next(self) -> int:
        """Which job's turn it is."""
        if len(self._jobs[0].parts) == 1:
            return 0
        self._turn += 1
        at = self._turn % min(self._abreast, len(self._jobs))
        return at if len(self._jobs[at].parts) > 1 else 0
