"""The first pass of a fetch: every name judged, the largest objects found, nothing written."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from anyio import to_thread

from asyncref.engine.fetch.ground import Ground
from asyncref.engine.fetch.paths import Conflict, PathPlan
from asyncref.engine.fetch.plan import PART_BYTES
from asyncref.engine.fetch.record import Record
from asyncref.errors import Failure, FetchError, PathConflictError
from asyncref.manifest import Manifest
from asyncref.model import Entry

_LARGE_KEPT = 4096  # objects brought first, so that no big one is the tail of a run

_ESCAPE = "escape=True writes them in a form that can be read back"
_ESCAPED = "a fetch with escape=True may have written them; verify what it wrote with escape=True"


@dataclass(slots=True)
class Names:
    """What the first pass found.

    Attributes:
        plan: Names the file of every path.
        objects: Rows.
        bytes: Sum of the sizes that are known.
        large: Row numbers of the largest objects of more than one part, at most 4,096.
        settled: For every row, whether its file lies there as it was last seen; empty where nothing lies there.
        bare: Nothing lay in the target, which need not be looked at name by name.
    """

    plan: PathPlan
    objects: int = 0
    bytes: int = 0
    large: frozenset[int] = frozenset()
    settled: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    bare: bool = False
    _largest: list[tuple[int, int]] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch of `ENTRY_SCHEMA`, in path order."""
        self.plan.add(texts(batch["path"]))
        for row, size in enumerate(batch["size"].to_pylist(), self.objects):
            if size is None:
                continue
            self.bytes += size
            if size > PART_BYTES:
                push = heapq.heappush if len(self._largest) < _LARGE_KEPT else heapq.heappushpop
                push(self._largest, (size, row))
        self.objects += batch.num_rows

    def finish(self) -> list[Conflict]:
        """What no file system can hold; empty if all is well."""
        self.large = frozenset(row for _, row in self._largest)
        return self.plan.finish()


async def survey(
    manifest: Manifest,
    root: Path,
    *,
    escape: bool,
    look: bool = True,
    record: Record | None = None,
    to_write: bool = True,
) -> Names:
    """Judge every name against the target's file system and, to write there, against what lies there already.

    Cost: about 2 s a million entries; with a target that is not empty, one look at the disk an entry more.

    Raises:
        PathConflictError: Names all that cannot be written. Nothing was written.
    """
    ground = await to_thread.run_sync(Ground, root)
    if to_write and await to_thread.run_sync(ground.is_file):
        raise PathConflictError(f"{root} is a file; nothing was written", hint="name a folder, there or not")
    name_max, path_max = await to_thread.run_sync(ground.name_limits)
    insensitive = not await to_thread.run_sync(partial(ground.tells_case, may_write=look))
    names = Names(PathPlan(escape=escape, insensitive=insensitive, name_max=name_max, path_max=path_max))
    async for batch in batches_of(manifest):
        await to_thread.run_sync(names.add, batch)
    conflicts = names.finish()
    hint = None if escape else _ESCAPE if to_write else _ESCAPED
    names.bare = not look or not await to_thread.run_sync(ground.has_anything)
    if not names.bare and not conflicts:
        settled: list[npt.NDArray[np.bool_]] = []
        async for batch in batches_of(manifest):
            mask, found = await to_thread.run_sync(partial(_judge, batch, names.plan, ground, record))
            settled.append(mask)
            conflicts += found
        hint = None  # no other name helps against what lies there
        names.settled = np.concatenate(settled) if settled else names.settled
    if conflicts:
        done = "; nothing was written" if to_write else ""
        raise await to_thread.run_sync(partial(_conflict_error, manifest, conflicts, done, hint))
    return names


async def batches_of(manifest: Manifest) -> AsyncGenerator[pa.RecordBatch]:
    """The manifest's batches, read in a thread. Who may leave early closes it, lest its end be a task of the loop's."""
    batches = manifest.batches()
    while (batch := await to_thread.run_sync(partial(next, batches, None))) is not None:
        yield batch


def _judge(
    batch: pa.RecordBatch, plan: PathPlan, ground: Ground, record: Record | None
) -> tuple[npt.NDArray[np.bool_], list[Conflict]]:
    """Which rows lie there already, and what lies in the way of the others."""
    paths = texts(batch["path"])
    locals_ = [plan.local(path) for path in paths] if plan.escape else paths
    settled = record.settled(batch, locals_) if record else np.zeros(len(paths), np.bool_)
    pairs = zip(paths, locals_, settled.tolist(), strict=True)
    return settled, ground.survey((path, local) for path, local, is_there in pairs if not is_there)


def texts(column: pa.Array[Any]) -> list[str]:
    """The values of a string column without nulls."""
    return cast("list[str]", column.to_pylist())


def _conflict_error(
    manifest: Manifest, conflicts: Iterable[Conflict], done: str, hint: str | None
) -> PathConflictError:
    failures = tuple(
        Failure(conflict.path, _entry(manifest, conflict.path).ref, FetchError(conflict.reason))
        for conflict in conflicts
    )
    count = len({failure.path for failure in failures})
    return PathConflictError(f"{count} of the paths cannot be files in this folder{done}", failures=failures, hint=hint)


def _entry(manifest: Manifest, path: str) -> Entry:
    return manifest[path]
