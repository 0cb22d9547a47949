"""The lanes of one run: one for each container and kind of request, shared by whatever of the run asks there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from asyncref.backends.base import Backend
from asyncref.engine.flow.progress import Meter
from asyncref.engine.flow.ramp import RampUp
from asyncref.engine.flow.retry import Lane
from asyncref.model import Limits

_RAMPS: Final[dict[str, RampUp]] = {}


def ramp_of(backend: Backend) -> RampUp | None:
    """The ramp-up of a backend's container, if its provider asks for one.

    One for the whole process and all kinds of requests: it is the bucket that the provider counts for, not our runs.
    """
    ramp = backend.traits.ramp
    return None if ramp is None else _RAMPS.setdefault(backend.reference(""), RampUp(ramp))


@dataclass(frozen=True, slots=True)
class Lanes:
    """Makes lanes and keeps them, so that what was learnt of a server holds for all of the run.

    Args:
        limits: The user's bounds, for each lane.
        meter: Counts requests, and shows the lanes' states.
    """

    limits: Limits
    meter: Meter
    _made: dict[tuple[str, str], Lane] = field(default_factory=dict)

    def of(self, kind: str, backend: Backend) -> Lane:
        """The lane of one kind of request (`list`, `stat`, ...) to a backend's container."""
        place = backend.reference("")
        if (place, kind) not in self._made:
            most, ramp = backend.traits.concurrency, ramp_of(backend)
            self._made[place, kind] = Lane(
                kind, limits=self.limits, meter=self.meter, most=most, ramp=ramp, place=place
            )
        return self._made[place, kind]
