"""The lanes of one run: one for each container and kind of request, shared by whatever of the run asks there."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncref.backends.base import Backend
from asyncref.engine.flow.progress import Meter
from asyncref.engine.flow.retry import Lane
from asyncref.model import Limits


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
            traits = backend.traits
            self._made[place, kind] = Lane(
                kind, limits=self.limits, meter=self.meter, most=traits.concurrency, ramp=traits.ramp, place=place
            )
        return self._made[place, kind]
