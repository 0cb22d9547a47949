"""A manifest into a folder: names, then parts, then files that appear one by one, each whole and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson
from anyio import CancelScope

from asyncref import config
from asyncref.engine.fetch.building import Building
from asyncref.engine.fetch.cache import where_of
from asyncref.engine.fetch.checking import Checker
from asyncref.engine.fetch.feeder import Feeder
from asyncref.engine.fetch.intake import Intake
from asyncref.engine.fetch.memory import shares
from asyncref.engine.fetch.naming import Names, survey
from asyncref.engine.fetch.options import FetchOptions
from asyncref.engine.fetch.outlet import Files
from asyncref.engine.fetch.reader import Reader
from asyncref.engine.fetch.record import Record, rename
from asyncref.engine.fetch.report import FetchReport
from asyncref.engine.fetch.sinks import Threads
from asyncref.engine.fetch.sources import Place, Places
from asyncref.engine.fetch.space import check_space
from asyncref.engine.fetch.tally import Tally, by_reason
from asyncref.engine.fetch.target import Target, unwritable
from asyncref.engine.fetch.transfer import Transfer
from asyncref.engine.flow import Meter
from asyncref.errors import FetchError, NothingFoundError, TargetError
from asyncref.manifest import Manifest

_ABREAST = min(4, os.cpu_count() or 1)  # large objects: as many as there are threads that write them
T = TypeVar("T")


async def fetch_into(manifest: Manifest, root: Path, options: FetchOptions) -> FetchReport:
    """What `asyncref.engine.fetch.fetch` does, with its options gathered."""
    threads = Threads()
    if options.filter or options.path_prefix:
        include, exclude = options.filter.include, options.filter.exclude
        select = partial(manifest.select, prefix=options.path_prefix, include=include, exclude=exclude)
        whole, manifest = manifest, await threads.run(select)
        if options.filter and len(whole) and not len(manifest):
            uri = whole.sources[0].uri
            raise NothingFoundError(f"none of the {len(whole):,} entries matches the filter", uri=uri)
    meter = Meter(verb="fetch")
    if options.progress:
        options.progress(meter)
    root = await threads.run(root.absolute)
    if options.whole and not await threads.run(root.exists):
        return await _build(manifest, root, options, threads, meter)
    return await _fill(manifest, root, options, threads, meter)


async def _build(manifest: Manifest, root: Path, options: FetchOptions, threads: Threads, meter: Meter) -> FetchReport:
    """Into a folder beside the one that is wanted, which gets its name in the end."""
    building = await _writing(root, threads, partial(Building, root, _mark(manifest, options)))
    try:
        report = await _fill(manifest, building.folder, options, threads, meter, building=building)
        await threads.run(building.commit)
        await threads.run(partial(rename, _records(), building.folder, root))
    finally:
        building.close()
    return replace(report, root=root)


async def _fill(
    manifest: Manifest,
    folder: Path,
    options: FetchOptions,
    threads: Threads,
    meter: Meter,
    *,
    building: Building | None = None,
) -> FetchReport:
    """Into the folder itself; one under construction is begun once nothing speaks against it."""
    record, run = None, None
    if options.checksum != "never":
        record = await threads.run(lambda: Record(_records(), os.path.realpath(folder)))
    try:
        looked = None if options.checksum == "always" else record
        look = building is None or building.goes_on
        names = await survey(manifest, folder, escape=options.escape, look=look, record=looked)
        meter.objects_total, meter.bytes_total = names.objects, names.bytes
        if not manifest.record.complete:
            meter.note("the manifest is partial: what its scan had not come to is not fetched")
        async with Places(options.storage_options, options.limits, meter) as places:
            run = _Run(manifest, options, names, places, threads, record, Tally(meter, options.allow_missing))
            run.open_places()
            await run.check_space(folder)
            if building is not None:
                await _writing(building.root, threads, building.begin)
            return await run.into(folder)
    except FetchError as error:
        root, elapsed_s = folder if building is None else building.root, meter.elapsed_s
        failed = by_reason(error.failures)
        error.report = run.report(root) if run else FetchReport(root=root, failed=failed, elapsed_s=elapsed_s)
        if isinstance(error, TargetError) and error.report.objects:  # a folder in it was open
            partly = FetchError(error.message, failures=error.failures, hint=error.hint)
            partly.report = error.report
            raise partly from error
        raise
    finally:
        if record is not None:
            with CancelScope(shield=True):
                await threads.run(record.close if run is None else run.keep_record)


async def _writing(root: Path, threads: Threads, call: Callable[[], T]) -> T:
    """Run a call that concerns the whole target."""
    try:
        return await threads.run(call)
    except OSError as error:
        raise unwritable(error, str(root), at_all=True) or error from error


def _records() -> Path:
    return Path(config.get("cache").value) / "seen"


def _mark(manifest: Manifest, options: FetchOptions) -> str:
    """Names what is built: another manifest, choice or escape must not go on with its files."""
    chosen = [manifest.identity, options.escape]
    return hashlib.sha256(orjson.dumps(chosen)).hexdigest()


@dataclass(slots=True)
class _Run:
    """One fetch: its parts, and what they report in the end."""

    manifest: Manifest
    options: FetchOptions
    names: Names
    places: Places
    threads: Threads
    record: Record | None
    tally: Tally
    synced: bool = False
    ended: bool = False
    _transfer: Transfer | None = None
    _place: list[Place] = field(default_factory=list)

    def open_places(self) -> None:
        """Open every source, so that a wrong option is known before anything is written."""
        if self.names.objects:
            self._place = self.places.all_of(self.manifest.sources)

    async def check_space(self, folder: Path) -> None:
        """Refuse what cannot fit.

        Raises:
            SpaceError: Nothing was written.
        """
        sharing = [number for number, place in enumerate(self._place) if place.backend.traits.shares]
        await check_space(self.manifest, self.names, folder, sharing)

    async def into(self, root: Path) -> FetchReport:
        """Fetch everything into a folder.

        Raises:
            FetchError: Entries failed; names all of them. Or nothing can be written any more.
        """
        target = Target(root, bare=self.names.bare)
        await _writing(root, self.threads, target.make)
        pairs = zip(self._place, self.manifest.sources, strict=False) if self.options.cache is not None else ()
        where = [where_of(place, source) for place, source in pairs]
        files = Files(target, self.options, self.threads, self.tally, self.record, where)
        try:
            if self.names.objects:
                await self._run(files)
            if self.options.fsync == "end":
                await self.threads.run(target.flush)
                self.synced = True
            self.ended = True
        except OSError as error:
            raise unwritable(error, target.root) or error from error
        finally:
            files.close()
        if self.tally.failures:
            raise self.tally.error(self.names.objects)
        return self.report(root)

    def keep_record(self) -> None:
        """Keep what was seen for the next run; where nothing of the former record was looked at, it is not replaced."""
        assert self.record is not None
        if self.ended or self.options.checksum != "always":
            self.record.commit(synced=self.synced)
        self.record.close()

    async def _run(self, files: Files) -> None:
        limits, meter = self.options.limits, self.tally.meter
        share = shares(limits.memory_bytes, self.places.most)
        files.small_bytes = share.small_bytes
        intake = Intake(limits, meter, share.window_bytes)
        reader = Reader(self.places, limits, meter, intake, self.options.older)
        checker = Checker(reader, meter, self.options.checksum)
        self._transfer = Transfer(reader, files, meter, share.workers, checker, abreast=_ABREAST)
        overwrite = self.options.overwrite
        feeder = Feeder(self.manifest, self.names, self._place, files.target, self.threads, self.tally, overwrite)
        await self._transfer.run(feeder.produce)

    def report(self, root: Path) -> FetchReport:
        """What was done."""
        done = self.tally.meter.objects + len(self.tally.failures) + len(self.tally.missing)
        return FetchReport(
            sources=tuple(self.manifest.sources),
            root=root,
            objects=self.tally.objects,
            bytes=self.tally.meter.bytes,
            skipped=self.tally.meter.skipped["already there"],
            cached=self.tally.cached,
            missing=tuple(sorted(self.tally.missing)),
            unpinned=self.tally.unpinned,
            unchecked=self._transfer.checker.unchecked if self._transfer else 0,
            requests=dict(self.tally.meter.requests),
            retries=self.tally.meter.retries,
            elapsed_s=self.tally.meter.elapsed_s,
            notes=tuple(self.tally.meter.notes),
            failed=by_reason(self.tally.failures),
            left=max(0, self.names.objects - done),
        )
