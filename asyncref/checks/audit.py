"""audit: will what a manifest pins still be readable? What the containers say, what lies there, what may be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends import open_backend
from asyncref.backends.base import Backend
from asyncref.backends.retention import Archived, Archives, Retains, Retention
from asyncref.checks.findings import ORDER, AuditReport, Finding, found
from asyncref.checks.permissions import needed
from asyncref.checks.rules import Pinned, judge, prefixes_of
from asyncref.checks.status import StatusReport, status
from asyncref.engine.fetch.sources import merged
from asyncref.engine.flow import Lane, Meter, ProgressHook, one_error, ramp_of
from asyncref.errors import (
    AccessDeniedError,
    ArchivedError,
    AsyncrefError,
    ChangedError,
    ContainerNotFoundError,
    NotFoundError,
    RetryableError,
    StorageError,
)
from asyncref.manifest import Manifest
from asyncref.manifest.rows import logical_entries, refs
from asyncref.model import Entry, Limits, ListRequest, Page, ReadRequest, Source
from asyncref.uri import Reference

_EXAMPLES: Final = 5
_LOOKED_AT: Final = 10_000  # replaced entries whose version is asked for, one HEAD each; more are counted as unknown


async def audit(
    manifest: Manifest,
    *,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    progress: ProgressHook | None = None,
    compare: bool = True,
) -> AuditReport:
    """Find what makes, or may make, entries unreadable. Nothing is written; a byte of one object a source is read.

    Cost: a scan of every source (`compare`), one HEAD for each entry that was replaced or deleted since (10,000 at
    most), one listing more where the storage has archive tiers, and about four requests a container.

    Args:
        manifest: What is pinned.
        storage_options: Win over what the manifest recorded of its sources.
        limits: Bounds.
        progress: Called with the meters.
        compare: Compare with what lies there now; False where the manifest has just been made.

    Raises:
        UsageError: A source that cannot be opened.
        RetryableError: A storage that does not answer.
    """
    bounds, meter = limits or Limits(), Meter("audit")
    meter.objects_total = len(manifest)
    if progress is not None:
        progress(meter)
    findings: list[Finding] = []
    now = await _compared(manifest, storage_options, bounds, progress, findings) if compare else None
    said: dict[str, Retention | None] = {}
    for index, source in enumerate(manifest.sources):
        async with AsyncExitStack() as stack:
            reference = Reference(source.scheme, source.container, source.prefix)
            backend = open_backend(reference, merged(source, storage_options), bounds)
            stack.push_async_callback(backend.aclose)
            visit = _Visit(manifest, index, source, backend, bounds, meter)
            findings += await visit.examine(now)
            said[source.uri] = visit.said
    findings.sort(key=lambda one: ORDER.index(one.severity))
    scanned = manifest.record if not compare else now.now.record if now else None
    return AuditReport(
        objects=len(manifest),
        bytes=manifest.size,
        findings=tuple(findings),
        said=said,
        requests=dict(meter.requests + Counter(scanned.requests if scanned else {})),
        sources=manifest.sources,
    )


async def _compared(
    manifest: Manifest,
    storage_options: Mapping[str, Any] | None,
    limits: Limits,
    progress: ProgressHook | None,
    findings: list[Finding],
) -> StatusReport | None:
    """What lies there now; a storage that refuses to say is a finding."""
    try:
        return await status(manifest, storage_options=storage_options, limits=limits, progress=progress)
    except ContainerNotFoundError as error:
        if (error.uri or "").startswith("file:"):  # a mount that is not there now may be there tomorrow
            findings.append(found("not-compared", error.uri or "", error.message))
        else:
            findings.append(found("lost", error.uri or "", error.message, entries=len(manifest)))
    except StorageError as error:
        findings.append(found("not-compared", error.uri or "", error.message))
    return None


@dataclass(slots=True)
class _Visit:
    """One source under examination."""

    manifest: Manifest
    index: int
    source: Source
    backend: Backend
    limits: Limits
    meter: Meter
    said: Retention | None = None

    async def examine(self, now: StatusReport | None) -> list[Finding]:
        """Everything, in the order of what the next needs."""
        lane = self._lane("audit")
        keeps: bool | None = None
        try:
            if isinstance(self.backend, Retains):
                self.said = await lane.call(self.backend.retention)
            else:
                keeps = await lane.call(self.backend.versioning)
        except ContainerNotFoundError:
            return []  # said already
        pinned = await anyio.to_thread.run_sync(partial(self._counted, prefixes_of(self.said)))
        findings: list[Finding] = []
        if now is not None:
            findings += await self._replaced(now, pinned)
        findings += judge(pinned, self.said, keeps_versions=keeps)
        findings += await self._archived(pinned)
        findings += await self._read()
        return findings

    @property
    def _keeps(self) -> bool:
        """Whether this storage can keep versions, so that an entry's version asks for its very bytes."""
        return self.backend.traits.versioned or self.backend.traits.past

    def _lane(self, kind: str) -> Lane:
        most, ramp = self.backend.traits.concurrency, ramp_of(self.backend)
        return Lane(kind, limits=self.limits, meter=self.meter, most=most, ramp=ramp)

    def _rows(self) -> Iterator[pa.RecordBatch]:
        """The source's rows, compact, with references; some row groups at a time."""
        for batch in self.manifest.batches():
            mine = batch.filter(pc.equal(batch["source"], self.index))
            if mine.num_rows:
                column = mine.schema.get_field_index("ref")
                yield mine.set_column(column, "ref", pa.array(refs(mine, self.manifest.sources), pa.string()))

    def _counted(self, prefixes: set[str]) -> Pinned:
        pinned, root = Pinned(uri=self.source.uri), self.source.root
        for rows in self._rows():
            version, ref = rows["version"], rows["ref"]
            nulls = pc.fill_null(pc.equal(version, "null"), False)
            bare = pc.and_(*(pc.is_null(rows[name]) for name in ("etag", "etag16")))
            bare = pc.and_(bare, pc.and_(pc.is_null(rows["md5"]), pc.is_null(rows["checksum"])))
            if not self._keeps:  # a web server's Last-Modified stands there: it asks for no older bytes
                version = pa.nulls(rows.num_rows, pa.string())
            pinned.entries += rows.num_rows
            pinned.nulls += pc.sum(nulls).as_py()
            pinned.versions += pc.sum(pc.and_not(pc.is_valid(version), nulls)).as_py()
            pinned.names += pc.sum(pc.and_(bare, pc.is_null(version))).as_py()
            for prefix in prefixes:
                count = pc.sum(pc.starts_with(ref, f"{root}{prefix}")).as_py()
                pinned.under[prefix] = pinned.under.get(prefix, 0) + count
            first = pc.min(rows["modified"]).as_py()
            if first is not None and (pinned.oldest is None or first < pinned.oldest):
                pinned.oldest = first
        return pinned

    async def _replaced(self, now: StatusReport, pinned: Pinned) -> list[Finding]:
        """Which of the entries that are no longer current are still kept."""
        changed = [pair for pair in now.changed if pair[0].source == self.index]
        gone = [entry for entry in logical_entries(now.gone) if entry.source == self.index]
        pinned.replaced = {
            self.source.key_of(old.ref): new.pin.modified for old, new in changed if new.pin.modified is not None
        }
        verdicts: dict[str, list[str]] = {}
        lane, due = self._lane("stat"), [(entry, "superseded") for entry, _ in changed]
        due += [(entry, "deleted") for entry in gone]

        async def look(entry: Entry, word: str) -> None:
            verdicts.setdefault(await self._kept(entry, word, lane), []).append(entry.path)

        with one_error():
            for start in range(0, min(len(due), _LOOKED_AT), 1000):
                async with anyio.create_task_group() as group:
                    for entry, word in due[start : min(start + 1000, _LOOKED_AT)]:
                        group.start_soon(look, entry, word)
        if rest := due[_LOOKED_AT:]:
            verdicts["not-compared"] = [entry.path for entry, _ in rest]
        return [
            found(code, self.source.uri, _REPLACED[code], entries=len(paths), examples=_some(paths))
            for code, paths in verdicts.items()
        ]

    async def _kept(self, entry: Entry, word: str, lane: Lane) -> str:
        """The kind of finding that an entry which is no longer current makes."""
        version, key = entry.pin.version, self.source.key_of(entry.ref)
        if version is None or not self._keeps:
            return "lost"
        try:
            pin = await lane.call(lambda: self.backend.stat(key, version))
        except NotFoundError:
            return "lost"
        except AccessDeniedError:
            return "denied-version"
        same = pin.etag == entry.pin.etag or version != "null"
        return word if same else "lost"

    async def _archived(self, pinned: Pinned) -> list[Finding]:
        if not isinstance(self.backend, Archives):
            return []
        try:
            lying = await self._tiers(self.backend, versions=pinned.versions > 0)
        except StorageError as error:
            return [found("not-compared", self.source.uri, f"archive tiers: {error.message}")]
        if not lying:
            return []
        paths = await anyio.to_thread.run_sync(partial(self._those, lying))
        if not paths:
            return []
        tiers = ", ".join(sorted({one.tier for one in lying}))
        return [
            found("archived", self.source.uri, f"in tier {tiers}", entries=len(paths), examples=_some(paths)),
        ]

    async def _tiers(self, backend: Archives, *, versions: bool) -> list[Archived]:
        """All that lies in an archive tier under the source's prefix, page by page."""
        lane, lying = self._lane("list"), list[Archived]()
        request = ListRequest(prefix=self.source.prefix, limit=self.backend.traits.page_rows, versions=versions)
        while True:
            asked = request
            page, some = await lane.call(partial(backend.archived, asked))
            lying += some
            if page.cursor is None:
                return lying
            request = _behind(page, request)

    def _those(self, lying: Sequence[Archived]) -> list[str]:
        """The paths of pinned entries among them."""
        by_key: dict[str, set[str | None]] = {}
        for one in lying:
            by_key.setdefault(one.key, set()).add(one.version)
        paths: list[str] = []
        for rows in self._rows():
            columns = (rows[name].to_pylist() for name in ("path", "ref", "version"))
            for path, ref, version in zip(*columns, strict=True):
                versions = by_key.get(self.source.key_of(ref))
                if versions is not None and (version is None or versions & {version, None}):
                    paths.append(path)
        return paths

    async def _read(self) -> list[Finding]:
        """Whether one entry can be read: a byte of it, by its version if it has one."""
        sample = next((row for rows in self._rows() for row in rows.slice(0, 1).to_pylist()), None)
        if sample is None or not self.source.checksum:
            return []
        key, version = self.source.key_of(sample["ref"]), sample["version"]
        request = ReadRequest(key, stop=1 if sample["size"] else None, version=version)
        lane = self._lane("get")

        async def read() -> None:
            async with self.backend.read(request) as body:
                async for _ in body.chunks:
                    break

        try:
            await lane.call(read)
        except (NotFoundError, ChangedError, ArchivedError):
            return []  # what became of it is said elsewhere
        except AccessDeniedError as error:
            code, check = ("denied-version", "read a version") if version else ("denied-read", "read")
            permission = needed(Reference(self.source.scheme, self.source.container, self.source.prefix), check)
            missing = f"missing: {permission.action}" if permission else error.message
            return [found(code, self.source.uri, missing, examples=(sample["path"],))]
        except RetryableError:
            raise
        except AsyncrefError as error:
            return [found("not-compared", self.source.uri, f"reading {sample['path']!r}: {error.message}")]
        return []


_REPLACED: Final = {
    "lost": "overwritten or deleted since, and kept nowhere",
    "superseded": "overwritten since; the pinned versions are kept",
    "deleted": "deleted since; the pinned versions are kept",
    "denied-version": "overwritten or deleted since, and older versions may not be read",
    "not-compared": f"overwritten or deleted since; only the first {_LOOKED_AT:,} such entries were looked at",
}


def _behind(page: Page, request: ListRequest) -> ListRequest:
    if page.cursor == request.cursor:
        raise StorageError("the server's marker does not advance")
    return ListRequest(request.prefix, request.keys, page.cursor, request.limit, request.versions)


def _some(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(paths)[:_EXAMPLES])
