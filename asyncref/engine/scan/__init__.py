"""Scan: references in, one complete manifest out, or an error; never a short list."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio

from asyncref import uri as uris
from asyncref.backends import open_backend
from asyncref.backends.base import Backend
from asyncref.engine.flow import Meter, ProgressHook
from asyncref.engine.scan.pins import Pinner
from asyncref.engine.scan.pipeline import Budget, Emit, Lister
from asyncref.engine.scan.rows import BadKeys, RowMaker
from asyncref.engine.scan.spool import UNORDERED, Spool
from asyncref.engine.scan.target import Finder, Listing, Single, Target, single_path, source_of, unpinned
from asyncref.errors import NothingFoundError, OrderError
from asyncref.globs import Filter
from asyncref.manifest import Manifest, build
from asyncref.model import Limits, Record, Source

__all__ = ["BadKeys", "Heads", "Target", "scan", "scan_into"]

Heads = Literal["auto", "never"]
"""Whether to ask for every object whose version id the listing may not tell."""


@dataclass(slots=True)
class _Scan:
    """One scan's settings and what it has counted so far."""

    storage_options: Mapping[str, Any] | None
    wanted: Filter
    limits: Limits
    bad_keys: BadKeys
    heads: Heads
    budget: Budget
    meter: Meter
    sources: list[Source] = field(default_factory=list)


async def scan(
    targets: Sequence[Target],
    *,
    storage_options: Mapping[str, Any] | None = None,
    filter: Filter = Filter(),  # noqa: A002, B008  the field's word; frozen
    limits: Limits | None = None,
    bad_keys: BadKeys = "raise",
    heads: Heads = "auto",
    max_objects: int | None = None,
    progress: ProgressHook | None = None,
    folder: Path | None = None,
) -> Manifest:
    """List what the targets name and pin every object of it.

    Args:
        targets: References; several make one manifest.
        storage_options: fsspec's names, flat or by scheme.
        filter: Globs over the path relative to its target.
        limits: Bounds.
        bad_keys: What to do with keys that no path can stand for.
        heads: Whether to HEAD every object where the listing may not tell version ids.
        max_objects: More are an error.
        progress: Called once with the meter to poll.
        folder: Where the manifest's parts go; None for a temporary place that lives as long as the manifest.

    Returns:
        The manifest, complete: every key unchanged from start to end is in it once. Memory is bounded by
        `limits.memory_bytes` whatever the count; rows beyond it wait in a temporary folder.

    Raises:
        NothingFoundError: A target that holds nothing.
        TooManyObjectsError, BadKeyError, DuplicatePathError: See there.
        StorageError, RetryableError: What a storage answered for good, or to the last try.
    """
    bounds = limits or Limits()
    meter = Meter("scan")
    if progress is not None:
        progress(meter)
    state = _Scan(storage_options, filter, bounds, bad_keys, heads, Budget(max_objects, targets[0].uri), meter)
    started = datetime.now(UTC)
    temporary = Path(await anyio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="asyncref-spool-")))
    try:
        spools: list[Spool] = []
        for index, target in enumerate(targets):
            room = temporary / str(index)
            room.mkdir()
            spool = Spool(room, memory_bytes=min(16 * 2**20, bounds.memory_bytes))
            spools.append(spool)
            await _scan_target(state, index, target, spool.append, spool.discard)
        record = Record(
            started=started,
            ended=datetime.now(UTC),
            requests=dict(meter.requests),
            skipped={reason: count for reason, count in meter.skipped.items() if count},
            notes=tuple(meter.notes),
        )
        runs = [run for spool in spools for run in spool.runs()]
        return await anyio.to_thread.run_sync(
            partial(build, runs, sources=tuple(state.sources), record=record, folder=folder)
        )
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, temporary, ignore_errors=True))


async def scan_into(
    target: Target,
    emit: Emit,
    *,
    storage_options: Mapping[str, Any] | None = None,
    filter: Filter = Filter(),  # noqa: A002, B008  the field's word; frozen
    limits: Limits | None = None,
    bad_keys: BadKeys = "raise",
    heads: Heads = "auto",
    progress: ProgressHook | None = None,
) -> Source:
    """List one target into a sink, page by page as they come; no manifest.

    Raises:
        OrderError: The storage's pages are out of order; what was emitted may be incomplete.
    """
    meter = Meter("scan")
    if progress is not None:
        progress(meter)
    state = _Scan(storage_options, filter, limits or Limits(), bad_keys, heads, Budget(), meter)
    await _scan_target(state, 0, target, emit, discard=None)
    return state.sources[0]


async def _scan_target(
    state: _Scan, index: int, target: Target, emit: Emit, discard: Callable[[], None] | None
) -> None:
    reference = uris.parse(target.uri)
    backend = open_backend(reference, state.storage_options, state.limits)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.aclose)
        before = state.meter.objects
        reference = replace(reference, key=backend.source(reference).prefix)
        if not target.checksum and not backend.traits.hierarchical:
            path, single = unpinned(target, reference, backend)
            state.sources.append(source_of(target, reference, backend, ""))
            await _emit_single(state, index, path, reference.key, single, emit)
            return
        found = await Finder(backend, state.limits, state.meter).find(reference, checksum=target.checksum)
        if isinstance(found, Single):
            state.sources.append(source_of(target, reference, backend, reference.key))
            await _emit_single(state, index, single_path(target, reference.key), reference.key, found, emit)
            return
        state.sources.append(source_of(target, reference, backend, found.prefix))
        await _list(state, index, backend, found, emit, discard)
        if state.meter.objects == before and not state.meter.skipped.total():
            raise NothingFoundError("nothing there", uri=target.uri, hint="the listing is complete and empty")


async def _emit_single(state: _Scan, index: int, path: str, key: str, single: Single, emit: Emit) -> None:
    source = state.sources[index]
    rows = RowMaker(source, index).single(single.page, path, f"{source.root}{key}")
    state.budget.take(1)
    state.meter.objects += 1
    state.meter.bytes += single.page.column(1)[0].as_py() or 0
    await emit(UNORDERED, rows)


async def _list(
    state: _Scan, index: int, backend: Backend, found: Listing, emit: Emit, discard: Callable[[], None] | None
) -> None:
    source = state.sources[index]
    traits = backend.traits
    stat = (not traits.listing_pins and source.checksum) or (found.stat_for_versions and state.heads == "auto")
    lister = Lister(
        backend=backend,
        prefix=found.prefix,
        versions=found.versions,
        rows=RowMaker(source, index, state.wanted, state.bad_keys, traits.folder_markers, state.meter.skipped),
        pinner=Pinner(backend, source, state.limits, state.meter) if stat else None,
        emit=emit,
        limits=state.limits,
        meter=state.meter,
        budget=state.budget,
        uri=source.uri,
        first_page=found.first_page,
    )
    objects, size, taken = state.meter.objects, state.meter.bytes, state.budget.taken
    try:
        await lister.run()
    except OrderError as error:
        if discard is None:
            raise
        discard()
        state.meter.objects, state.meter.bytes, state.budget.taken = objects, size, taken
        state.meter.skipped.clear()
        state.meter.note(f"{source.uri}: {error.message}; listed once more serially, then sorted")
        lister.first_page = None
        await lister.run_serially()
