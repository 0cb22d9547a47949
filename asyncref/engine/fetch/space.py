"""Whether what is still to come fits on the disk: judged before anything is written. Blocking calls that write nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from anyio import to_thread

from asyncref.engine.fetch.naming import Names, batches_of, texts
from asyncref.engine.fetch.target import Target
from asyncref.errors import SpaceError
from asyncref.manifest import Manifest

_SECTOR_BYTES = (
    512  # the unit of st_blocks, whatever the file system's blocks are (POSIX leaves it open; Linux, macOS: 512)
)


async def check_space(manifest: Manifest, names: Names, folder: Path, sharing: Iterable[int] = ()) -> None:
    """Compare the bytes still to come with the space that is free.

    Costs nothing where everything would fit; otherwise one look at the disk for every entry that is not known to lie there.
    Files of the right size and the parts that an interrupted run left are taken for what they seem to be.

    Args:
        manifest: What is fetched.
        names: The first pass over it.
        folder: Where its files are written; need not exist.
        sharing: Sources whose files may share their blocks with the copies, which then need no space.

    Raises:
        SpaceError: It does not fit; nothing was written.
    """
    free_bytes = await to_thread.run_sync(free_in, folder)
    if free_bytes is None or names.bytes <= free_bytes:
        return
    target, needed_bytes, start = Target(folder), 0, 0
    left_out = np.array(list(sharing), np.int16)
    async for batch in batches_of(manifest):
        wanted = ~np.isin(batch["source"].to_numpy(), left_out)
        if len(settled := names.settled[start : start + batch.num_rows]):
            wanted &= ~settled
        start += batch.num_rows
        needed_bytes += await to_thread.run_sync(_missing_bytes, batch.filter(pa.array(wanted)), names, target)
    if needed_bytes > free_bytes:
        raise SpaceError(
            f"{folder}: {needed_bytes:,} bytes are still to come, and {free_bytes:,} are free; nothing was written",
            hint="make room, choose another folder, or fetch less of it",
        )


def free_in(folder: Path) -> int | None:
    """Bytes that this user may still write there; None where the file system does not say."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not hasattr(os, "statvfs"):
        return None
    found = os.statvfs(nearest)
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def _missing_bytes(rows: pa.RecordBatch, names: Names, target: Target) -> int:
    """What these rows still need."""
    needed = 0
    for path, size in zip(texts(rows["path"]), rows["size"].to_pylist(), strict=True):
        if size:
            needed += max(0, size - _held_bytes(target, names.plan.local(path), size))
    return needed


def _held_bytes(target: Target, local: str, size_bytes: int) -> int:
    """Space that an entry's file has already: its own, if it may be the right one, or that of a begun one."""
    for path, whole in ((target.file_of(local), True), (target.temporary_of(local), False)):
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and (found.st_size == size_bytes or not whole):
            return found.st_size if whole else found.st_blocks * _SECTOR_BYTES
    return 0
