"""Scan: references in, one complete manifest out, or an error; never a short list."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from asyncref.engine.flow import Meter, ProgressHook, one_error
from asyncref.engine.scan.budget import Budget
from asyncref.engine.scan.job import Heads, Job, Sink
from asyncref.engine.scan.pages import Pages
from asyncref.engine.scan.resume import Resumable
from asyncref.engine.scan.rows import BadKeys
from asyncref.engine.scan.spool import Spool
from asyncref.engine.scan.target import Target
from asyncref.errors import (
    AsyncrefError,
    DuplicatePathError,
    NothingFoundError,
    RetryableError,
    ScanError,
    StorageError,
)
from asyncref.globs import Filter
from asyncref.manifest import Manifest, build
from asyncref.model import Limits, Source
from asyncref.record import Proof, Record
from asyncref.rooms import Room, open_room

Save = Callable[[Manifest], object]
"""Puts a manifest where it stays."""

__all__ = ["BadKeys", "Heads", "Pages", "Save", "Target", "scan"]


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
    resume: Path | None = None,
    at: datetime | str | None = None,
    against: Manifest | None = None,
    allow_partial: bool = False,
    save: Save | None = None,
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
        resume: Where what is listed outlives a scan that is killed or fails, so that the same request continues;
            removed when the manifest is built and saved. Flat, ordered storages only: others are listed from the start.
        at: List what lay there at this moment; None: what lies there now.
        against: A former manifest of the place; where its keys lay, the listing is split at once.
        allow_partial: A scan that a storage's error ends, or a cancellation (`asyncio.timeout`; Ctrl-C under
            `asyncio.run`), gives what it has by then, with `record.complete` False. With nothing at all, the error is raised.
        save: Called with the manifest, in a thread, before what `resume` keeps is removed; see there.

    Returns:
        The manifest, complete unless `allow_partial`: every key unchanged from start to end is in it once. Memory is bounded by
        `limits.memory_bytes` whatever the count; rows beyond it wait in a temporary folder.

    Raises:
        NothingFoundError: A target that holds nothing.
        TooManyObjectsError, BadKeyError, DuplicatePathError: See there.
        ScanError: `resume`, and another process has this very scan under way.
        StorageError, RetryableError: What a storage answered for good, or to the last try.
    """
    bounds = limits or Limits()
    meter = Meter("scan")
    if progress is not None:
        progress(meter)
    job = Job(storage_options, filter, bounds, bad_keys, heads, Budget(max_objects, targets[0].uri), meter, at, against)
    started = datetime.now(UTC)
    kept = Resumable(resume, meter, started, [asdict(target) for target in targets]) if resume is not None else None
    temporary = await anyio.to_thread.run_sync(open_room)
    spools: list[Spool] = []
    remove = True
    stopped: BaseException | None = None
    try:
        try:
            with one_error():  # a task of its own ends in order, whoever cancels this one
                async with anyio.create_task_group() as group:
                    group.start_soon(_list_all, job, targets, spools, temporary.path, kept)
        except (StorageError, RetryableError, anyio.get_cancelled_exc_class()) as error:
            if not (allow_partial and meter.listed.kept):
                raise
            stopped, remove = error, False
            meter.note(_cut_short(error))
        record = Record(
            started=kept.started if kept else started,
            ended=datetime.now(UTC),
            complete=stopped is None,
            requests=dict(meter.requests),
            skipped={reason: count for reason, count in meter.skipped.items() if count},
            resumes=kept.resumes if kept else 0,
            notes=tuple(meter.notes),
            proof=Proof(**asdict(meter.listed)),
        )
        with anyio.CancelScope(shield=stopped is not None):
            if kept is not None:  # or what waits would be listed again if the rest is interrupted
                for spool in spools:
                    await spool.flush()
            manifest = await anyio.to_thread.run_sync(partial(_built, spools, tuple(job.sources), record, folder))
            wrong = _miscount(manifest, exact=job.in_order and len(targets) == 1)
            if save is not None and wrong is None:
                await anyio.to_thread.run_sync(save, manifest)
    except (NothingFoundError, DuplicatePathError):
        raise  # the same again, if it were continued
    except BaseException:
        remove = False
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_tidy_up, spools, kept, temporary, remove)
    if wrong is not None:  # what is kept would only give the same again
        raise wrong
    return manifest


async def _list_all(
    job: Job, targets: Sequence[Target], spools: list[Spool], temporary: Path, kept: Resumable | None
) -> None:
    """List one target after the other, each into a spool of its own."""

    def sink_of(index: int) -> Sink:
        room = temporary / str(index)
        room.mkdir()
        spool = Spool(room, memory_bytes=min(16 * 2**20, job.limits.memory_bytes))
        spools.append(spool)
        return Sink(spool.append, spool.discard, partial(kept.open, spool) if kept else None)

    try:
        await job.add_all(targets, sink_of)
    finally:
        await job.aclose()
    if job.wanted and not job.meter.objects:
        job.meter.note("nothing there matches the filter")


def _built(spools: Sequence[Spool], sources: tuple[Source, ...], record: Record, folder: Path | None) -> Manifest:
    return build([run for spool in spools for run in spool.runs()], sources=sources, record=record, folder=folder)


def _cut_short(error: BaseException) -> str:
    """Why a scan is partial; a cancellation is taken back, since it has done what it was for (anyio's ends with its scope)."""
    if isinstance(error, AsyncrefError):
        return f"incomplete: {error}"
    task = asyncio.current_task()
    if task is not None and anyio.current_effective_deadline() > -math.inf:
        task.uncancel()
    return "incomplete: the scan was interrupted"


def _miscount(manifest: Manifest, *, exact: bool) -> ScanError | None:
    """The error, if not every row that was listed is accounted for: a fault of this program."""
    proof = manifest.record.proof
    assert proof is not None
    if not proof.adds_up or len(manifest) > proof.kept or (exact and len(manifest) != proof.kept):
        return ScanError(
            f"the counts do not add up: {proof}, {len(manifest)} entries",
            uri=manifest.sources[0].uri if manifest.sources else None,
            hint="please report this; the manifest was not made",
        )
    return None


def _tidy_up(spools: Sequence[Spool], kept: Resumable | None, temporary: Room, remove: bool) -> None:
    for spool in spools:
        spool.close(remember=not remove)
    if kept is not None:
        kept.release(remove=remove)
    temporary.close()
