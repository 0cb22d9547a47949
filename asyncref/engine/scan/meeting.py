"""Opens what targets lie in and finds out what they mean, some targets ahead of the one that is being listed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from asyncref import uri as uris
from asyncref.backends import open_backend
from asyncref.backends.base import Backend, typed_source
from asyncref.engine.flow import Lanes
from asyncref.engine.scan.target import Finder, Listing, Single, Target
from asyncref.errors import AsyncrefError, OptionError
from asyncref.globs import Filter
from asyncref.model import Limits
from asyncref.uri import Reference

_AHEAD: Final = 8
"""Targets: of a small one the first page is all, so many of them take no longer than one."""
_FRESH_S: Final = 30.0
"""A first page that waited longer for its turn is asked for again."""
_CLOSING_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Met:
    """A target, and what it means.

    Attributes:
        target: The target.
        reference: What its URI says.
        finder: Found it out.
        found: What it means; None: one entry that is not pinned.
        since: When nothing of it had been asked for yet, UTC.
    """

    target: Target
    reference: Reference
    finder: Finder
    found: Single | Listing | None
    since: datetime


@dataclass(slots=True)
class Meetings:
    """The targets of one scan. To be closed.

    Args:
        storage_options: fsspec's names, flat or by scheme.
        limits: Bounds.
        lanes: Gives the way there.
        moment: The moment whose state is meant; None: now.
        wanted: The filter.
    """

    storage_options: Mapping[str, Any] | None
    limits: Limits
    lanes: Lanes
    moment: datetime | None
    wanted: Filter
    _shared: dict[tuple[str, str], Backend] = field(default_factory=dict)
    _single: list[Backend] = field(default_factory=list)

    async def meet(self, target: Target) -> Met:
        """Find out what a target means; that may bring its first page."""
        since = datetime.now(UTC)
        reference = uris.parse(target.uri)
        backend = self._backend(reference)
        reference = replace(reference, key=(await typed_source(backend, reference)).prefix)
        finder = Finder(backend, self.lanes, self.moment, self.wanted)
        if not target.checksum and not backend.traits.hierarchical:
            if self.moment is not None:
                raise OptionError("at= pins, and checksum=False does not", uri=target.uri)
            return Met(target, reference, finder, None, since)
        return Met(target, reference, finder, await finder.find(reference, checksum=target.checksum), since)

    async def in_turn(self, targets: Sequence[Target], group: TaskGroup) -> AsyncIterator[Met]:
        """Each target in order, as soon as it is known what it means.

        Args:
            targets: The targets.
            group: Where the next ones are met meanwhile; of the caller, who does not leave it before the end.

        Raises:
            AsyncrefError: What meeting a target came to, when its turn has come.
        """
        meetings = [_Meeting() for _ in targets]
        begun = 0
        for index, target in enumerate(targets):
            while begun < min(index + _AHEAD + 1, len(targets)):
                group.start_soon(self._hold, meetings[begun], targets[begun])
                begun += 1
            await meetings[index].done.wait()
            met = meetings[index].outcome()
            meetings[index] = _Meeting()  # a first page may be large
            yield met if met is not None else await self.meet(target)

    async def leave(self, met: Met) -> None:
        """A target is done with: close what nobody else uses."""
        backend = met.finder.backend
        if backend in self._single:
            self._single.remove(backend)
            await backend.aclose()

    async def aclose(self) -> None:
        """Close everything. Idempotent."""
        backends = [*self._shared.values(), *self._single]
        self._shared.clear()
        self._single.clear()
        with anyio.move_on_after(_CLOSING_S, shield=True):  # an interrupted scan leaves no connection open either
            for backend in backends:
                await backend.aclose()

    def _backend(self, reference: Reference) -> Backend:
        """One for each container, with its pool and credentials. Trees of files and web servers hold to where they start."""
        place = (reference.scheme, reference.container)
        if place in self._shared:
            return self._shared[place]
        backend = open_backend(reference, self.storage_options, self.limits)
        if backend.traits.hierarchical:
            self._single.append(backend)
        else:
            self._shared[place] = backend
        return backend

    async def _hold(self, meeting: _Meeting, target: Target) -> None:
        """Meet a target ahead of its turn, for which an error waits, too."""
        try:
            meeting.met = await self.meet(target)
        except AsyncrefError as error:
            meeting.error = error
        meeting.at_s = monotonic()
        meeting.done.set()


@dataclass(slots=True)
class _Meeting:
    """What meeting a target came to, once it is done."""

    done: anyio.Event = field(default_factory=anyio.Event)
    met: Met | None = None
    error: AsyncrefError | None = None
    at_s: float = 0.0

    def outcome(self) -> Met | None:
        """What was found; None if that was too long ago."""
        if self.error is not None:
            raise self.error
        return self.met if monotonic() - self.at_s < _FRESH_S else None
