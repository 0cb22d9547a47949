"""Requests far slower than their peers: which they are, and how many second ones may be sent. Told the time.

A second request for the same bytes, over another connection, mostly meets another server (J. Dean, L. A. Barroso, "The Tail
at Scale", CACM 56(2), 2013). What is far slower is judged among requests of about the same length, by how long those took
of late; where all are slow, none is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from anyio import CancelScope, Event

from asyncref.engine.fetch.job import Job, Sink
from asyncref.engine.fetch.plan import Part

TICK_S: Final = 0.5
"""How often the requests in flight are looked at."""
LEAST_S = 2.0
"""Nothing quicker is hedged: a second request costs money, and a server that is merely busy gets busier."""
_TIMES: Final = 4.0
_ENOUGH: Final = 16  # answers of a length, until others are held against them
_WEIGHT: Final = 0.1
_SHARE: Final = 0.05  # of all requests, at most
_AT_ONCE: Final = 4


class Seat:
    """Where a worker reads one part after the other, and a second request may end what it reads, but not the worker.

    A context: one cancel scope for all parts, since one each takes 10 µs. Only a cancelled one gives way to another.
    """

    __slots__ = ("_scope",)

    def __enter__(self) -> Self:
        self._scope = CancelScope()
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._scope.__exit__(kind, error, trace)

    def end(self) -> None:
        """End the part that is being read."""
        self._scope.cancel()

    def renew(self, error: BaseException | None = None) -> bool:
        """Make ready for the next part; whether the error, if any, was no more than the end of this one."""
        if not self._scope.cancel_called:
            return False
        ended = self._scope.__exit__(type(error) if error else None, error, None)
        self.__enter__()
        return bool(ended)


@dataclass(slots=True, eq=False)
class Second:
    """A second request on its way.

    Attributes:
        scope: Cancelled to end it.
        over: Set once it writes nothing more.
    """

    scope: CancelScope = field(default_factory=CancelScope)
    over: Event = field(default_factory=Event)

    async def call_off(self) -> None:
        """End it, and wait until it has ended: what it writes to may be closed then, and its number another file's."""
        self.scope.cancel()
        with CancelScope(shield=True):
            await self.over.wait()


@dataclass(slots=True, eq=False)
class Flight:
    """One part on its way.

    Attributes:
        job: Its object.
        part: Its bytes.
        sink: Where they go.
        end: Ends it, once a second request has brought the rest.
        offset: The first byte that has not come yet.
        sent_s: When the request in flight was sent; None between two tries.
        length: Bytes asked for by it.
        hedged: A second request was sent, and none may be sent again.
        second: That request.
    """

    job: Job
    part: Part
    sink: Sink
    end: Callable[[], None]
    offset: int = 0
    sent_s: float | None = None
    length: int = 0
    hedged: bool = False
    second: Second | None = None


@dataclass(slots=True)
class _Usual:
    answers: int = 0
    mean_s: float = 0.0
    deviation_s: float = 0.0


@dataclass(slots=True)
class Hedging:
    """What is usual, and what was sent twice.

    Attributes:
        requests: Answered ones.
        sent: Second ones.
        flying: Of those, on their way.
    """

    requests: int = 0
    sent: int = 0
    flying: int = 0
    _usual: dict[int, _Usual] = field(default_factory=dict)

    def note(self, length: int, elapsed_s: float) -> None:
        """A request for so many bytes was answered whole after so long."""
        self.requests += 1
        usual = self._usual.get(length.bit_length())
        if usual is None:
            usual = self._usual[length.bit_length()] = _Usual(mean_s=elapsed_s)
        usual.answers += 1
        apart_s = elapsed_s - usual.mean_s
        usual.mean_s += _WEIGHT * apart_s
        usual.deviation_s += _WEIGHT * (abs(apart_s) - usual.deviation_s)

    def late(self, flights: Iterable[Flight], now_s: float) -> list[Flight]:
        """Those that should get a second request now, the latest first; they are marked.

        Args:
            flights: All on their way.
            now_s: Monotonic time.
        """
        room = min(_AT_ONCE - self.flying, int(self.requests * _SHARE) - self.sent)
        if room <= 0:
            return []
        found = [flight for flight in flights if self._is_late(flight, now_s)]
        found.sort(key=lambda flight: flight.sent_s or 0.0)
        for flight in found[:room]:
            flight.hedged = True
            self.sent += 1
            self.flying += 1
        return found[:room]

    def landed(self, flight: Flight, *, again: bool) -> None:
        """A second request has ended.

        Args:
            flight: Its part.
            again: It failed, so that another one may do better.
        """
        self.flying -= 1
        flight.hedged = not again

    def _is_late(self, flight: Flight, now_s: float) -> bool:
        # Without an end nothing tells what belongs to the rest; without a pin nothing tells that both are the same bytes.
        if flight.hedged or flight.sent_s is None or flight.part.stop is None or not flight.job.is_pinned:
            return False
        usual = self._usual.get(flight.length.bit_length())
        if usual is None or usual.answers < _ENOUGH:
            return False
        most_s = max(LEAST_S, _TIMES * (usual.mean_s + 2 * usual.deviation_s))
        return now_s - flight.sent_s > most_s
