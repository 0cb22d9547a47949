"""Verbs that list or look up: `scan`, `load`, `pages`, `forecast`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path

import anyio
import pyarrow as pa

from asyncref import config
from asyncref import uri as uris
from asyncref.checks.forecast import SourceForecast
from asyncref.checks.forecast import forecast as _forecast
from asyncref.checks.prices import load as load_prices
from asyncref.display import displayed
from asyncref.engine.flow import ProgressHook
from asyncref.engine.scan import BadKeys, Heads, Pages, Save, Target
from asyncref.engine.scan import scan as _scan
from asyncref.errors import InvalidURIError, OptionError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.verbs.sources import Globs, Options, SourceLike, candidates


async def scan(
    source: str | Sequence[str],
    *,
    name: str | None = None,
    storage_options: Options = None,
    include: Globs = None,
    exclude: Globs = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
    bad_keys: BadKeys = "raise",
    checksum: bool = True,
    heads: Heads = "auto",
    max_objects: int | None = None,
    resume: bool | str | Path | None = None,
    at: datetime | str | None = None,
    against: SourceLike | Path | None = None,
    registry: str | None = None,
    column: str | None = None,
    allow_partial: bool = False,
    save: Save | None = None,
) -> Manifest:
    """List a source and pin every object of it; not a byte of content is copied.

    Args:
        source: One URI, or several that make one manifest. `s3://b/mnist` is the object `mnist` if there is one,
            else what lies under `mnist/`; `s3://b/mnist/` is what lies under it; never `mnist2`.
        name: What the paths start with; for a single object its path.
        storage_options: fsspec's names (`endpoint_url`, `key`, `secret`, `anon`, ...), flat or by scheme.
        include: Globs of what to take. Without `/` they match the basename, with one the whole relative path.
        exclude: Globs of what to leave out; they win.
        limits: Bounds on requests, memory and time.
        progress: True shows progress on a terminal; or a hook that is given the meter to poll.
        bad_keys: `skip` leaves out and counts keys that no path can stand for (`..` segments).
        checksum: False does not pin: on a bucket one entry and no request; of files only path and size.
        heads: `never` keeps from asking every object where the listing may not tell version ids.
        max_objects: More are an error, never a cut.
        resume: Keep what was listed on disk, so that a scan that was killed or failed goes on when the same request
            is made again: with a folder there, with True in asyncref's data folder. The folder is emptied when the
            manifest is made, and saved by `save` if that is given. What was listed before is not looked at again (the manifest's record says since
            when), so it is not the default; after seven days everything is listed anew. Buckets only.
        at: Pin what lay there at this moment (a time with its zone, or such a text in ISO 8601): one state, however
            much the bucket changes while it is listed. It has to keep versions; see docs/point-in-time.md.
        against: A former manifest of the place (a `Manifest`, its file, or an artifact's name): the listing is split at
            its keys from the start, which saves time where the storage answers slowly. What is found does not
            depend on it.
        registry: Another registry's URL, for the name in `against`.
        allow_partial: A scan that a storage's error ends, or a cancellation (`asyncio.timeout`; Ctrl-C under
            `asyncio.run`), gives what it has by then: `manifest.record.complete` is False, its `notes` say why, and
            logging it is refused unless allowed in the same way.
        save: A function that puts the manifest where it stays, such as `lambda manifest: manifest.save("m.parquet")`. It is
            called in a thread before what `resume` kept is removed, so that a scan that is killed at any moment, this
            one included, goes on at little cost. What it raises is raised.
        column: The source is a local list of URLs, CSV or Parquet, and this column holds them. A `.txt`, `.csv` or `.tsv`
            is one in any case. Paths are then `host/folder/file`.

    Returns:
        The manifest, complete unless `allow_partial`. Cost: about one request a 1,000 objects on S3; memory is bounded.

    Raises:
        UsageError: A reference or an option that cannot be.
        NothingFoundError: The listing is complete and empty.
        StorageError, RetryableError: What the storage answered for good, or to the last try.
        ScanError: Too many objects, bad keys, or two pins for one path.
    """
    targets = [
        Target(uri=uris.list_of_urls(uri, column), name=name, checksum=checksum)
        for uri in ([source] if isinstance(source, str) else source)
    ]
    if not targets:
        raise InvalidURIError("nothing to scan: the list of references is empty")
    with displayed(progress) as hook:
        return await _scan(
            targets,
            storage_options=storage_options,
            filter=Filter.of(include, exclude),
            limits=limits,
            bad_keys=bad_keys,
            heads=heads,
            max_objects=max_objects,
            progress=hook,
            resume=_resume_folder(resume),
            at=at,
            allow_partial=allow_partial,
            save=save,
            against=None if against is None else await _former(against, registry),
        )


async def forecast(
    source: str | Sequence[str],
    *,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
    column: str | None = None,
    prices: str | Path | None = None,
) -> tuple[SourceForecast, ...]:
    """What a scan and a fetch of a source would cost: requests, bytes, money, time; by a sample of its listing.

    Args:
        source: One URI, or several.
        storage_options: As of `scan`.
        limits: Bounds.
        progress: As of `scan`.
        column: As of `scan`.
        prices: A table of prices instead of asyncref's own; see docs/forecast.md.

    Returns:
        A forecast for each URI. Cost: at most about 200 list requests each.
    """
    table = await anyio.to_thread.run_sync(load_prices, prices)
    targets = [Target(uri=uris.list_of_urls(uri, column)) for uri in ([source] if isinstance(source, str) else source)]
    with displayed(progress) as hook:
        return await _forecast(targets, prices=table, storage_options=storage_options, limits=limits, progress=hook)


async def _former(against: SourceLike | Path, registry: str | None) -> Manifest:
    if isinstance(against, str) and uris.has_scheme(against):
        raise OptionError(
            f"against={against!r} is a URI", hint="give a former manifest, its file or an artifact's name"
        )
    if isinstance(against, Path):
        return await anyio.to_thread.run_sync(Manifest.load, against)
    return await load(against, registry=registry)


def _resume_folder(resume: bool | str | Path | None) -> Path | None:
    if resume is True:
        return Path(config.get("home").value).expanduser() / "scans"
    return Path(resume).expanduser() if resume else None


async def load(
    source: SourceLike,
    *,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
) -> Manifest:
    """The manifest of a SOURCE: a URI is scanned, a file read, an artifact looked up.

    Raises:
        ManifestError: A file that is no manifest.
        UnknownArtifactError: No such artifact, version or alias; lists what there is.
    """
    if isinstance(source, Manifest):
        return source
    return (await candidates(source, registry, storage_options, limits, progress))[0]


def pages(
    uri: str,
    *,
    name: str | None = None,
    storage_options: Options = None,
    include: Globs = None,
    exclude: Globs = None,
    limits: Limits | None = None,
    progress: ProgressHook | None = None,
    bad_keys: BadKeys = "raise",
    heads: Heads = "auto",
    at: datetime | str | None = None,
) -> AbstractAsyncContextManager[AsyncIterator[pa.RecordBatch]]:
    """Arrow batches of logical rows as they are listed: unsorted, without a manifest, with backpressure.

    Use: `async with asyncref.pages("s3://bucket/prefix") as batches: async for batch in batches: …`. Batches of
    a storage that breaks its own order raise `OrderError`, since what was given out cannot be taken back.
    """
    return Pages(
        Target(uri=uri, name=name),
        storage_options=storage_options,
        filter=Filter.of(include, exclude),
        limits=limits,
        bad_keys=bad_keys,
        heads=heads,
        progress=progress,
        at=at,
    )
