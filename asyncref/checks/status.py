"""status: what lies at a manifest's sources now, compared with what the manifest pins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import anyio
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends import open_backend
from asyncref.engine.fetch.sources import merged
from asyncref.engine.flow import ProgressHook
from asyncref.engine.scan import Target, scan
from asyncref.errors import ContainerNotFoundError, NotFoundError, NothingFoundError
from asyncref.globs import Filter
from asyncref.manifest import Diff, Manifest, Run, build
from asyncref.manifest.diff import Change, Pairs
from asyncref.model import Limits, Source
from asyncref.record import Record
from asyncref.uri import Reference

SCHEMA: Final = "asyncref.status/1"
_WORDS: Final = {"removed": "gone", "added": "new", "changed": "changed", "version_only": "newer_version"}
_METADATA: Final = "metadata_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What changed in the storage since a manifest was made.

    Attributes:
        diff: The manifest against what lies there now.
        now: What lies there now, as a manifest of its own.
        metadata_only: Objects with the same bytes whose metadata was edited: their ETag, which is their digest on GCS,
            is another, their generation and checksum are not. They are no part of `diff`.
        notes: Sentences for the user, such as a source that pins nothing and was not looked at.
    """

    diff: Diff
    now: Manifest
    metadata_only: Pairs
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every object is there with the bytes it had, and no other; newer versions of the same bytes are fine."""
        return self.diff.same_content

    @property
    def unchanged(self) -> int:
        """How many objects are exactly as pinned."""
        return self.diff.unchanged

    @property
    def changed(self) -> Pairs:
        """Objects with other bytes now: as pinned, and as they are."""
        return self.diff.changed

    @property
    def newer_version(self) -> Pairs:
        """Objects with the same bytes under another version id: uploaded again."""
        return self.diff.version_only

    @property
    def gone(self) -> pa.Table:
        """Objects that are no longer there (logical table)."""
        return self.diff.removed

    @property
    def new(self) -> pa.Table:
        """Objects that came since (logical table)."""
        return self.diff.added

    @property
    def counts(self) -> dict[str, int]:
        """How many objects of each kind; `metadata_only` where there are any."""
        counts = {
            "unchanged": self.unchanged,
            "changed": len(self.changed),
            "newer_version": len(self.newer_version),
            "gone": len(self.gone),
            "new": len(self.new),
        }
        return counts | ({_METADATA: len(self.metadata_only)} if len(self.metadata_only) else {})

    def __iter__(self) -> Iterator[tuple[str, Change]]:
        """Every difference in path order: `changed`, `newer_version`, `metadata_only`, `gone` or `new`, and its entries."""
        found = [(_WORDS[change.kind], change) for change in self.diff]
        found += [(_METADATA, Change("changed", new.path, old, new)) for old, new in self.metadata_only]
        return iter(sorted(found, key=lambda one: one[1].path))

    def __str__(self) -> str:
        """One line."""
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items())

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with their schema: counts, and every difference in path order."""
        said = self.diff.to_json()
        changes = [change | {"kind": _WORDS[change["kind"]]} for change in said["changes"]]
        edited = [change | {"kind": _METADATA} for change in self._edited().to_json()["changes"]]
        return {
            "schema": SCHEMA,
            "same": self.same,
            "counts": self.counts,
            "pinned": said["old"],
            "now": said["new"],
            "changes": sorted([*changes, *edited], key=lambda change: str(change["path"])),
            "notes": list(self.notes),
        }

    def _edited(self) -> Diff:
        """The edits of metadata as differences of their own."""
        none = self.diff.added.slice(0, 0)
        return replace(self.diff, added=none, removed=none, changed=self.metadata_only, version_only=Pairs(none, none))


async def status(
    manifest: Manifest,
    *,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    progress: ProgressHook | None = None,
    filter: Filter = Filter(),  # noqa: A002, B008  the field's word; frozen
) -> StatusReport:
    """List a manifest's sources again and compare. Cost: that of a scan; no object of a bucket is read.

    Each source is listed by the globs that it was scanned by.

    Args:
        manifest: What is pinned.
        storage_options: Win over what the manifest recorded of its sources.
        limits: Bounds.
        progress: Called with the meter of each source's scan.
        filter: Globs over paths: what to compare.

    Raises:
        ContainerNotFoundError: A bucket that is not there; a folder that is not there or empty, as where nothing is mounted.
        StorageError, RetryableError: What a storage answered for good, or to the last try.
    """
    found: list[Manifest | None] = []
    notes: list[str] = []
    for source in manifest.sources:
        found.append(await _scan_again(source, storage_options, limits or Limits(), progress))
        notes += _notes_of(source, found[-1])
    diff, now = await anyio.to_thread.run_sync(partial(_compared, manifest, found, filter))
    diff, edited = _same_bytes(diff)
    return StatusReport(diff=diff, now=now, metadata_only=edited, notes=tuple(dict.fromkeys(notes)))


async def _scan_again(
    source: Source,
    storage_options: Mapping[str, Any] | None,
    limits: Limits,
    progress: ProgressHook | None,
) -> Manifest | None:
    """One source as it is now; None if nothing is left of it."""
    target = Target(uri=source.uri, name=source.name or None, checksum=source.checksum)
    try:
        return await scan(
            [target],
            storage_options=merged(source, storage_options),
            filter=Filter(source.include, source.exclude),
            limits=limits,
            progress=progress,
            bad_keys="skip",
        )
    except NothingFoundError:
        await _require_ground(source, storage_options, limits)
        return None
    except ContainerNotFoundError:
        if source.container or source.prefix.endswith("/"):
            raise
        return None  # a single file: what was asked for last is a folder of its name
    except NotFoundError:
        return None


async def _require_ground(source: Source, storage_options: Mapping[str, Any] | None, limits: Limits) -> None:
    """Tell a folder whose files are gone from a mount point with nothing mounted: that one is empty.

    Raises:
        ContainerNotFoundError: The folder is empty, or not there.
    """
    if source.container or not source.prefix.endswith("/"):
        return
    async with AsyncExitStack() as stack:
        reference = Reference(source.scheme, source.container, source.prefix)
        backend = open_backend(reference, merged(source, storage_options), limits)
        stack.push_async_callback(backend.aclose)
        try:
            await backend.stat(source.prefix)
        except ContainerNotFoundError:
            raise
        except NotFoundError:
            return  # a folder is no file; it holds something


def _notes_of(source: Source, now: Manifest | None) -> list[str]:
    if not source.checksum and source.container:
        return [f"{source.uri} is referred to without pins (checksum=False), so nothing of it was compared"]
    if now is None:
        return [f"nothing lies at {source.uri} any more"]
    skipped = now.record.skipped.get("bad_key", 0)
    left_out = [f"{skipped} keys of {source.uri} cannot be a path and were left out"] if skipped else []
    return [*left_out, *now.record.notes]


def _compared(pinned: Manifest, found: Sequence[Manifest | None], wanted: Filter) -> tuple[Diff, Manifest]:
    now = _joined(pinned, found)
    if wanted:
        pinned, now = (one.select(include=wanted.include, exclude=wanted.exclude) for one in (pinned, now))
    return pinned.diff(now), now


def _same_bytes(diff: Diff) -> tuple[Diff, Pairs]:
    """Take what a checksum proves to be the same bytes out of `changed`, though its digest differs.

    Uploaded again is a newer version; the same version with other metadata is given back apart.
    """
    old, new = diff.changed.old, diff.changed.new

    def agree(column: str) -> pa.ChunkedArray:
        return pc.fill_null(pc.equal(old[column], new[column]), False)

    def pairs(mask: pa.ChunkedArray) -> Pairs:
        return Pairs(old.filter(mask), new.filter(mask))

    same = pc.and_(pc.and_(agree("checksum"), agree("size")), agree("ref"))
    again = pairs(pc.and_not(same, agree("version")))
    newer = Pairs(*(pa.concat_tables(two) for two in zip(_both(diff.version_only), _both(again), strict=True)))
    rest = replace(diff, changed=pairs(pc.invert(same)), version_only=newer)
    return rest, pairs(pc.and_(same, agree("version")))


def _both(pairs: Pairs) -> tuple[pa.Table, pa.Table]:
    return pairs.old, pairs.new


def _joined(pinned: Manifest, found: Sequence[Manifest | None]) -> Manifest:
    """The sources' manifests as one, built as a scan of all of them would be."""
    if len(found) == 1 and found[0] is not None:
        return found[0]
    sources = [now.sources[0] if now else was for was, now in zip(pinned.sources, found, strict=True)]
    runs = [
        Run(now.parts[0].first, now.parts[-1].last, len(now), partial(_numbered, now, index))
        for index, now in enumerate(found)
        if now is not None and len(now)
    ]
    records = [now.record for now in found if now is not None] or [pinned.record]
    requests = sum((Counter(now.record.requests) for now in found if now is not None), Counter[str]())
    record = Record(
        started=min(one.started for one in records), ended=max(one.ended for one in records), requests=dict(requests)
    )
    return build(runs, sources=sources, record=record)


def _numbered(manifest: Manifest, index: int) -> Iterator[pa.RecordBatch]:
    """A manifest's rows, as those of the source with this number."""
    for batch in manifest.batches():
        column = pa.array(np.full(len(batch), index, np.int16))
        yield batch.set_column(batch.num_columns - 1, batch.schema.field("source"), column)
