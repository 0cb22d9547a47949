"""Fetch: the pinned bytes of a manifest into a folder, every answer checked, nothing half-written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncref.engine.fetch.cache import DEFAULT_BYTES, Cache
from asyncref.engine.fetch.checking import Checksum
from asyncref.engine.fetch.options import FetchOptions, Fsync
from asyncref.engine.fetch.pipeline import fetch_into
from asyncref.engine.fetch.report import FetchReport
from asyncref.engine.fetch.sources import options_of
from asyncref.engine.flow import ProgressHook
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits

__all__ = ["DEFAULT_BYTES", "Cache", "Checksum", "FetchReport", "Fsync", "fetch", "options_of"]


async def fetch(
    manifest: Manifest,
    root: Path,
    *,
    filter: Filter = Filter(),  # noqa: A002, B008  the word that users know; frozen
    path_prefix: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008  frozen
    progress: ProgressHook | None = None,
    allow_missing: bool = False,
    escape: bool = False,
    overwrite: bool = False,
    checksum: Checksum = "auto",
    fsync: Fsync = "end",
    whole: bool = False,
    older: Sequence[Manifest] = (),
    cache: Cache | None = None,
) -> FetchReport:
    """Bring the pinned bytes of every entry into a folder.

    Objects are read in parts of 8 to 16 MiB, the largest first, one pinned request a part. Each file is
    written under a temporary name, checked and renamed. What already lies there and matches by size and
    checksum is not asked for; an interrupted fetch goes on where it stopped.

    Memory: `limits.memory_bytes` for bodies on their way, and one path per failed entry.

    Args:
        manifest: What to fetch.
        root: The folder; made if there is none.
        filter: Globs over paths.
        path_prefix: Only paths that start with it; they keep their whole path.
        storage_options: fsspec's names, flat or keyed by scheme; they override what the manifest recorded.
        limits: Bounds.
        progress: Called once, with the meter to poll.
        allow_missing: Leave out entries that are gone or overwritten; the report names them.
        escape: Write paths that no file system can hold in the escape of `asyncref.engine.fetch.paths`.
        overwrite: Replace files that are not their entry's.
        checksum: `auto`: what the pin or the answer states. `always`: multipart uploads too. `never`: sizes, ETags
            and versions only, and a file of the right size is taken for the right one.
        fsync: Force files to the disk `each` before its rename, all at the `end`, or `never`.
        whole: Build the folder as `root` + `.incomplete` and rename it when every entry is right. A folder
            that already exists under `root` is filled in place.
        older: Manifests with older pins of the same content, tried where the newest is gone.
        cache: Objects kept on this machine: what it has is not asked for, what was fetched is added.

    Raises:
        FetchError: Entries failed: names each with its reason, after all others were fetched.
        PathConflictError: Names that the folder cannot hold; nothing was written.
        StorageError, RetryableError, UsageError: What concerns every entry: no bucket, no credentials, nothing answers.
    """
    options = FetchOptions(
        filter=filter,
        path_prefix=path_prefix,
        storage_options=storage_options,
        limits=limits,
        progress=progress,
        allow_missing=allow_missing,
        escape=escape,
        overwrite=overwrite,
        checksum=checksum,
        fsync=fsync,
        whole=whole,
        older=older,
        cache=cache,
    )
    return await fetch_into(manifest, Path(root), options)
