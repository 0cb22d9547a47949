"""Scan: references in, one complete manifest out, or an error; never a short list."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from asyncref.engine.flow import Meter, ProgressHook
from asyncref.engine.scan.job import Heads, Job
from asyncref.engine.scan.pages import Pages
from asyncref.engine.scan.pipeline import Budget
from asyncref.engine.scan.rows import BadKeys
from asyncref.engine.scan.spool import Spool
from asyncref.engine.scan.target import Target
from asyncref.globs import Filter
from asyncref.manifest import Manifest, build
from asyncref.model import Limits, Record

__all__ = ["BadKeys", "Heads", "Pages", "Target", "scan"]


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
    job = Job(storage_options, filter, bounds, bad_keys, heads, Budget(max_objects, targets[0].uri), meter)
    started = datetime.now(UTC)
    temporary = Path(await anyio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="asyncref-spool-")))
    try:
        spools: list[Spool] = []
        for index, target in enumerate(targets):
            room = temporary / str(index)
            room.mkdir()
            spool = Spool(room, memory_bytes=min(16 * 2**20, bounds.memory_bytes))
            spools.append(spool)
            await job.add(target, spool.append, spool.discard)
        record = Record(
            started=started,
            ended=datetime.now(UTC),
            requests=dict(meter.requests),
            skipped={reason: count for reason, count in meter.skipped.items() if count},
            notes=tuple(meter.notes),
        )
        runs = [run for spool in spools for run in spool.runs()]
        return await anyio.to_thread.run_sync(
            partial(build, runs, sources=tuple(job.sources), record=record, folder=folder)
        )
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(shutil.rmtree, temporary, ignore_errors=True))
