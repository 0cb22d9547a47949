"""Verbs that read what is pinned: `fetch` into a folder, `stream` through memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from asyncref import config
from asyncref import registry as registries
from asyncref import uri as uris
from asyncref.backends.mounting import with_mounts
from asyncref.display import displayed
from asyncref.engine.fetch import DEFAULT_BYTES, Cache, Checksum, FetchReport, Fsync
from asyncref.engine.fetch import fetch as _fetch
from asyncref.engine.flow import ProgressHook
from asyncref.errors import OptionError
from asyncref.globs import Filter
from asyncref.loaders import Item, Ranges
from asyncref.loaders.stream import stream as _stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.verbs.sources import Globs, Options, SourceLike, candidates, is_file


async def fetch(
    source: SourceLike,
    root: str | Path | None = None,
    *,
    include: Globs = None,
    exclude: Globs = None,
    path_prefix: str | None = None,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
    allow_missing_references: bool = False,
    escape: bool = False,
    overwrite: bool = False,
    checksum: Checksum = "auto",
    fsync: Fsync = "end",
    mounts: Mapping[str, str] | None = None,
    cache: bool | str | Path = False,
    cache_bytes: int = DEFAULT_BYTES,
    cache_links: bool = False,
) -> FetchReport:
    """Write exactly the pinned bytes of a SOURCE into a folder.

    Args:
        source: See the module.
        root: The folder. None: `artifacts/NAME:vN` for an artifact, built beside it and renamed when whole.
        include: Globs of what to fetch.
        exclude: Globs of what to leave out; they win.
        path_prefix: Only paths that start with it.
        registry: Another registry's URL.
        storage_options: Win over what the manifest recorded of its sources.
        limits: Bounds on requests, memory and time.
        progress: True shows progress on a terminal; or a hook.
        allow_missing_references: Objects that are gone are counted, not an error.
        escape: Write names that the file system cannot hold under a reversible escape.
        overwrite: Replace files that lie there and differ.
        checksum: `never` trusts sizes and ETags alone.
        fsync: When to flush files to the disk.
        mounts: Folders of file references that lie elsewhere here, such as `{"/mount": "/mnt/nfs"}`; None: the setting
            of this name.
        cache: A folder in which objects are kept for later fetches of whatever artifact, or True for the one in
            asyncref's cache folder. What it has is not asked for, and is checked before it is used.
        cache_bytes: Bound on that folder; what was not used for longest goes first.
        cache_links: Hard links instead of copies where the file system cannot share blocks. An edit of one file is then
            an edit of every other that came from it; the cache notices and fetches anew.

    Raises:
        FetchError: Some entries failed, each named; nothing wrong lies under a final name.
        PathConflictError: Names that cannot lie side by side; nothing was written.
    """
    manifests = (
        [source] if isinstance(source, Manifest) else await candidates(source, registry, storage_options, limits)
    )
    with displayed(progress) as hook:
        return await _fetch(
            manifests[0],
            Path(root) if root is not None else _default_root(source, registry),
            filter=Filter.of(include, exclude),
            path_prefix=path_prefix,
            storage_options=with_mounts(storage_options, mounts),
            limits=limits or Limits(),
            progress=hook,
            allow_missing=allow_missing_references,
            escape=escape,
            overwrite=overwrite,
            checksum=checksum,
            fsync=fsync,
            whole=root is None,
            older=manifests[1:],
            cache=_cache(cache, cache_bytes, links=cache_links),
        )


def _cache(place: bool | str | Path, most_bytes: int, *, links: bool) -> Cache | None:
    if place is False:
        return None
    folder = Path(config.get("cache").value) / "objects" if place is True else Path(place)
    return Cache(folder.expanduser().absolute(), most_bytes, links)


def _default_root(source: SourceLike, registry: str | None) -> Path:
    if isinstance(source, Manifest) or uris.has_scheme(source) or is_file(source):
        raise OptionError("a folder to fetch into is needed", hint="only artifacts have one of their own")
    version = registries.Registry.open(registry, read_only=True).resolve(source)
    return Path(config.get("artifacts").value) / f"{version.name}:v{version.number}"


@asynccontextmanager
async def stream(
    source: SourceLike,
    *,
    concurrency: int | None = None,
    memory_bytes: int | None = None,
    ordered: bool = True,
    include: Globs = None,
    exclude: Globs = None,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
    checksum: Checksum = "auto",
    ranges: Ranges | None = None,
) -> AsyncIterator[AsyncIterator[Item]]:
    """The objects of a SOURCE through memory, as an async context manager that gives an async iterator.

    `async with asyncref.stream("mnist:v3") as objects: async for item in objects: …`

    Args:
        source: See the module.
        concurrency: Requests in flight.
        memory_bytes: Bound on bytes in flight.
        ordered: In manifest order; False: as they complete.
        include: Globs of what to read.
        exclude: Globs of what to leave out; they win.
        registry: Another registry's URL.
        storage_options: Win over what the manifest recorded of its sources.
        limits: Bounds on requests, memory and time.
        progress: True shows progress on a terminal; or a hook.
        checksum: `never` trusts sizes and ETags alone.
        ranges: By path, pieces of objects as `(first byte, end)`: only these are read, each an item of its own.

    Yields:
        An iterator of items: `path`, `data` and where it starts in the object, or `error` where this entry failed.
    """
    manifests = (
        [source] if isinstance(source, Manifest) else await candidates(source, registry, storage_options, limits)
    )
    with displayed(progress) as hook:
        async with _stream(
            manifests[0],
            concurrency=concurrency,
            memory_bytes=memory_bytes,
            ordered=ordered,
            filter=Filter.of(include, exclude),
            storage_options=storage_options,
            limits=limits or Limits(),
            progress=hook,
            checksum=checksum,
            ranges=ranges,
            older=manifests[1:],
        ) as objects:
            yield objects
