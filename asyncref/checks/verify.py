"""Whether a folder holds the bytes of a manifest: a verdict a file, nothing asked of any storage."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import pyarrow as pa
from anyio import to_thread

from asyncref.engine.fetch.checking import ENOUGH_UNLIKE
from asyncref.engine.fetch.content import Match, match
from asyncref.engine.fetch.naming import Names, batches_of, survey
from asyncref.engine.fetch.paths import RESERVED
from asyncref.engine.flow import Meter, ProgressHook
from asyncref.errors import NotFoundError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.manifest.rows import entries_of
from asyncref.model import Limits, Pin

Verdict = Literal["right", "differs", "missing", "extra", "unchecked-content"]
_SLICE_ROWS: Final = 64
_SLICE_BYTES: Final = 32 * 2**20  # about 50 ms; a file is not divided


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not right.

    Attributes:
        path: The entry's path; for an extra file its path below the folder.
        verdict: What it is.
        reason: Why, in words.
    """

    path: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a folder holds, compared with a manifest.

    Attributes:
        folder: The folder.
        counts: Files by verdict, `right` among them.
        findings: Every file that is not `right`, in path order.
        bytes: Bytes read.
        elapsed_s: Seconds.
    """

    folder: Path
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    bytes: int
    elapsed_s: float

    @property
    def ok(self) -> bool:
        """Whether nothing differs, is missing or is there besides. Content that nothing can check does not count."""
        return not any(self.counts.get(verdict) for verdict in ("differs", "missing", "extra"))

    @property
    def complete(self) -> bool:
        """Whether the content of every file that is there was compared with something."""
        return not self.counts.get("unchecked-content")

    def to_json(self) -> dict[str, Any]:
        """As JSON values, `schema` first."""
        return {
            "schema": "asyncref.verify/1",
            "folder": str(self.folder),
            "ok": self.ok,
            "complete": self.complete,
            "counts": dict(sorted(self.counts.items())),
            "files": [
                {"path": finding.path, "verdict": finding.verdict, "reason": finding.reason}
                for finding in self.findings
            ],
            "bytes": self.bytes,
            "elapsed_s": round(self.elapsed_s, 6),
        }


async def verify(
    manifest: Manifest,
    folder: Path,
    *,
    filter: Filter = Filter(),  # noqa: A002, B008  the word that users know; frozen
    limits: Limits = Limits(),  # noqa: B008  frozen
    progress: ProgressHook | None = None,
    escape: bool = False,
) -> VerifyReport:
    """Compare size and content of every file with the manifest.

    Content is compared by the MD5 where the pin states one or its ETag is one, and by the composite ETag of a
    multipart upload where it was cut at a usual size. Other content of the right size is
    `unchecked-content`. Files that no entry stands for are `extra`, unless a filter chose among the entries.

    Cost: one read of everything, in as many threads as there are processors (about 700 MB/s each). Memory:
    one path a file of the manifest, to know which are extra.

    Args:
        manifest: What should be there.
        folder: Where.
        filter: Globs over paths: only these entries.
        limits: `concurrency` is the number of threads.
        progress: Called once, with the meter to poll.
        escape: It was fetched with `escape=True`.

    Raises:
        NotFoundError: No such folder.
        PathConflictError: Names that a folder cannot hold side by side.
    """
    root = Path(folder)
    if not await to_thread.run_sync(root.is_dir):
        raise NotFoundError("no such folder", uri=str(root))
    if filter:
        manifest = await to_thread.run_sync(partial(manifest.select, include=filter.include, exclude=filter.exclude))
    meter = Meter(verb="verify", objects_total=len(manifest), bytes_total=manifest.size)
    if progress:
        progress(meter)
    names = await survey(manifest, root, escape=escape, look=False, to_write=False)
    run = _Run(root, names, meter)
    await run.run(manifest, threads=limits.concurrency or max(2, os.cpu_count() or 1))
    findings = run.findings()
    if not filter:
        findings += await to_thread.run_sync(run.extras)
    findings.sort(key=lambda finding: finding.path)
    counts: Counter[str] = Counter(finding.verdict for finding in findings)
    right = names.objects - sum(count for verdict, count in counts.items() if verdict != "extra")
    return VerifyReport(
        folder=root,
        counts={"right": right, **counts},
        findings=tuple(findings),
        bytes=meter.bytes,
        elapsed_s=meter.elapsed_s,
    )


def slices(sizes: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Cut rows into what one thread takes at a time: bounded in rows, and after the row that fills it in bytes.

    Args:
        sizes: Bytes of each row's file.
    """
    start = held = 0
    for row, size in enumerate(sizes):
        held += size or 0
        if held >= _SLICE_BYTES or row + 1 - start == _SLICE_ROWS:
            yield start, row + 1
            start, held = row + 1, 0
    if start < len(sizes):
        yield start, len(sizes)


@dataclass(slots=True)
class _Judged:
    """What one slice of rows gave."""

    findings: list[Finding] = field(default_factory=list)
    unlike: list[tuple[int, Finding]] = field(default_factory=list)  # with the number of its source
    like: Counter[int] = field(default_factory=Counter)
    locals: list[str] = field(default_factory=list)
    bytes: int = 0


@dataclass(slots=True)
class _Run:
    """One verification."""

    root: Path
    names: Names
    meter: Meter
    judged: _Judged = field(default_factory=_Judged)
    known: set[str] = field(default_factory=set)

    async def run(self, manifest: Manifest, *, threads: int) -> None:
        """Judge every entry, slices of rows at a time."""
        limiter = anyio.CapacityLimiter(threads)
        send, receive = anyio.create_memory_object_stream[pa.RecordBatch](threads)

        async def judge() -> None:
            async for rows in receive:
                call = partial(self._judge_rows, rows, manifest)
                self._add(await to_thread.run_sync(call, limiter=limiter), rows.num_rows)

        async with receive, anyio.create_task_group() as group:
            for _ in range(threads):
                group.start_soon(judge)
            async with send:
                async for batch in batches_of(manifest):
                    for start, stop in slices(batch["size"].to_pylist()):
                        await send.send(batch.slice(start, stop - start))

    def findings(self) -> list[Finding]:
        """Everything that is not right."""
        found = list(self.judged.findings)
        per_source = Counter(source for source, _ in self.judged.unlike)
        for source, finding in self.judged.unlike:
            if per_source[source] >= ENOUGH_UNLIKE and not self.judged.like[source]:
                found.append(Finding(finding.path, "unchecked-content", "right size; no ETag here is an MD5"))
            else:
                found.append(finding)
        return found

    def extras(self) -> list[Finding]:
        """Files in the folder that no entry stands for; temporaries of an interrupted fetch among them."""
        return [
            Finding(
                local, "extra", "a temporary of an interrupted fetch" if RESERVED in local else "not in the manifest"
            )
            for local in _files(self.root, "")
            if local not in self.known
        ]

    def _add(self, judged: _Judged, rows: int) -> None:
        self.judged.findings += judged.findings
        self.judged.unlike += judged.unlike
        self.judged.like += judged.like
        self.known.update(judged.locals)
        self.meter.objects += rows
        self.meter.bytes += judged.bytes

    def _judge_rows(self, rows: pa.RecordBatch, manifest: Manifest) -> _Judged:
        judged = _Judged()
        for entry in entries_of(rows, manifest.sources):
            local = self.names.plan.local(entry.path)
            judged.locals.append(local)
            try:
                found, read_bytes = _match(self.root / local, entry.pin)
            except (FileNotFoundError, NotADirectoryError):
                judged.findings.append(Finding(entry.path, "missing", "no such file"))
                continue
            except OSError as error:
                judged.findings.append(Finding(entry.path, "differs", error.strerror or str(error)))
                continue
            judged.bytes += read_bytes
            if found is Match.SAME:
                judged.like[entry.source] += 1
            elif found is Match.OTHER:
                judged.findings.append(Finding(entry.path, "differs", "another size or other content"))
            elif found is Match.UNLIKE:
                judged.unlike.append((entry.source, Finding(entry.path, "differs", "its MD5 is not the ETag")))
            else:
                finding = Finding(entry.path, "unchecked-content", "right size; no checksum that tells")
                judged.findings.append(finding)
        return judged


def _match(path: Path, pin: Pin) -> tuple[Match, int]:
    """How a file compares with its pin, and the bytes read for it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
    try:
        held = os.fstat(fd)
        if not stat.S_ISREG(held.st_mode):
            return Match.OTHER, 0
        found = match(fd, pin)
        return found, held.st_size if found is not Match.OTHER else 0
    finally:
        os.close(fd)


def _files(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as children:
        for child in children:
            if child.is_dir(follow_symlinks=False):
                yield from _files(folder / child.name, f"{prefix}{child.name}/")
            else:
                yield f"{prefix}{child.name}"
