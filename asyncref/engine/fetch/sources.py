"""From a manifest's source records to open backends: the same place that the scan asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import anyio
import orjson

from asyncref.backends import open_backend, schemes
from asyncref.backends.base import Backend
from asyncref.engine.flow import Lane, Meter, ramp_of
from asyncref.errors import ManifestFormatError
from asyncref.model import Limits, Source
from asyncref.uri import Reference, service

_OPTIONS: Final = {
    "endpoint": "endpoint_url",
    "region": "region",
    "anon": "anon",
    "requester_pays": "requester_pays",
    "addressing": "addressing_style",
    "account": "account_name",
}
"""Fields of a source record, and their names as storage options (fsspec's)."""
_OVERRULED: Final = {
    "endpoint_url": ("addressing_style",),  # another server has another addressing
    "region_name": ("region",),
    "key": ("anon",),
    "token": ("anon",),
    "profile": ("anon",),
    "client_kwargs.region_name": ("region",),
    "client_kwargs.endpoint_url": ("endpoint_url", "addressing_style"),
    "client_kwargs.aws_access_key_id": ("anon",),
    "config_kwargs.region_name": ("region",),
    "config_kwargs.s3": ("addressing_style",),
}
"""Explicit options, and what a record says that does not hold beside them."""


def options_of(source: Source) -> dict[str, Any]:
    """The storage options by which a source is found again; no secrets, empty where the defaults do."""
    return {option: value for field, option in _OPTIONS.items() if (value := getattr(source, field))}


def merged(source: Source, explicit: Mapping[str, Any] | None) -> dict[str, Any]:
    """What to open a source with: its record, overridden by what the caller says.

    Args:
        source: The record.
        explicit: `storage_options`, flat or keyed by scheme.
    """
    chosen: Mapping[str, Any] = explicit or {}
    if chosen and all(isinstance(value, Mapping) and key in schemes() for key, value in chosen.items()):
        chosen = chosen.get(source.scheme, chosen.get(service(source.scheme, source.container), {}))
    recorded = options_of(source)
    inner = {f"{name}.{field}" for name in ("client_kwargs", "config_kwargs") for field in chosen.get(name) or ()}
    for option in chosen.keys() | inner:
        for overruled in _OVERRULED.get(option, ()):
            recorded.pop(overruled, None)
    return recorded | dict(chosen)


@dataclass(frozen=True, slots=True)
class Place:
    """One open container and the lanes to it."""

    backend: Backend
    get: Lane
    search: Lane
    versioned: bool


class Places:
    """The containers of one fetch, opened once each, closed together.

    Args:
        explicit: `storage_options`.
        limits: Bounds.
        meter: Counts requests.
    """

    def __init__(self, explicit: Mapping[str, Any] | None, limits: Limits, meter: Meter) -> None:
        self._explicit = explicit
        self._limits = limits
        self._meter = meter
        self._open: dict[bytes, Place] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            for place in self._open.values():
                await place.backend.aclose()

    def of(self, source: Source) -> Place:
        """Where a source lies; no request is sent.

        Raises:
            UnknownSchemeError, OptionError: It cannot be opened.
        """
        options = merged(source, self._explicit)
        # Of files each folder is a place of its own: whether it is there at all is asked once.
        folder = source.prefix if not source.container and source.prefix.endswith("/") else ""
        named = [source.scheme, source.container, folder, options]
        mark = orjson.dumps(named, default=repr, option=orjson.OPT_SORT_KEYS)
        if mark not in self._open:
            backend = open_backend(Reference(source.scheme, source.container, source.prefix), options, self._limits)
            most, shown = backend.traits.concurrency, backend.reference(folder)
            lane = partial(Lane, limits=self._limits, meter=self._meter, ramp=ramp_of(backend), place=shown)
            get, search = lane("get", most=most), lane("history", most=min(most, 8))
            self._open[mark] = Place(backend, get, search, backend.traits.versioned)
        return self._open[mark]

    def all_of(self, sources: Sequence[Source]) -> list[Place]:
        """The place of each source, in their order.

        Raises:
            ManifestFormatError: There is none.
        """
        if not sources:
            raise ManifestFormatError("the manifest names no source, so nothing in it can be fetched")
        return [self.of(source) for source in sources]

    @property
    def most(self) -> int:
        """Most requests in flight that are of use."""
        return self._limits.concurrency or max(place.backend.traits.concurrency for place in self._open.values())
