"""Listing: a folder's names in one call, its files in the same call where that is quick, spread over threads where not."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.file.failure import path_of, translated
from asyncref.backends.file.folder import FOLDER, LINK, Names, Rows, Scan, look_at, shown, text_of
from asyncref.backends.file.ground import MOUNT_HINT, Ground, Mounts
from asyncref.backends.file.hashes import Hashes
from asyncref.backends.file.named import digest_of, digests_of
from asyncref.backends.file.subtrees import QUICK_FOLDERS, Subtrees
from asyncref.backends.file.threads import Threads, gather
from asyncref.errors import ContainerNotFoundError, NotFoundError
from asyncref.model import Cursor, ListRequest, Page

T = TypeVar("T")
_FOLDERS_KEPT: Final = 8
_RESOLVED_KEPT: Final = 4096
_PROBE_NAMES: Final = 8
_SHARE_NAMES: Final = 64
# A name of a local folder costs 6 µs in one thread and 15 µs spread over 32 (2 cores, tmpfs); over NFS a round trip.
_SLOW_STAT_S: Final = 100e-6


class Listing:
    """Lists folders.

    Args:
        threads: Where calls run.
        mounts: Where folders lie here.
        ground: The folder that all of it lies in.
        hashes: Knows the content of files that did not change; None: nobody does, or nobody wants to know.
    """

    def __init__(self, threads: Threads, mounts: Mounts, ground: Ground, hashes: Hashes | None) -> None:
        self._threads, self._mounts, self._ground, self.hashes = threads, mounts, ground, hashes
        self._names: OrderedDict[str, Names] = OrderedDict()
        self._resolved: OrderedDict[str, bytes] = OrderedDict()
        self._links: set[str] = set()
        self._turns = asyncio.Semaphore(QUICK_FOLDERS)
        self._shares = asyncio.Semaphore(2 * threads.most)  # of a page of 10,000 names there are 157
        self._slow = False
        self._subtrees = Subtrees(threads, mounts, ground, self._turns, partial(self._require, device=None))

    async def page(self, request: ListRequest) -> Page:
        """Part of one folder, sorted. See `FileBackend.list_page`."""
        prefix = request.prefix if request.prefix.endswith("/") else f"{request.prefix}/"
        begins = request.cursor is None and not self._slow and not self._mounts.divide(prefix)
        if begins or self._subtrees.holds(request):
            found = await self._subtrees.page(prefix, request, self.hashes)
            if found is not None:
                self._resolved |= found.resolved
                while len(self._resolved) > max(_RESOLVED_KEPT, len(found.resolved)):
                    self._resolved.popitem(last=False)
                self._links.update(found.links)
                return found.page
        names = self._names.get(prefix) if request.cursor else None
        if names is None:
            names, first = await self._begin(prefix, request)
        else:
            first = await self._threads.run(partial(self._look_quickly, prefix, names, request))
        start, stop = _bounds(names, request)
        chosen, kinds = names.part(start, stop)
        rows = await self._look_at_rest(prefix, chosen, kinds, *first)
        if rows.skipped["vanished"]:
            await self._threads.run(partial(self._require, prefix, names.device))
        self._keep(prefix, names, going_on=stop < len(names))
        self._links.update(f"{prefix}{shown(name)}" for name, kind in zip(chosen, kinds, strict=True) if kind == LINK)
        ends = [prefix + shown(name) for name in (chosen[0], chosen[-1])] if chosen else [None, None]
        return Page(
            batch=rows.batch(prefix),
            first=ends[0],
            last=ends[1],
            # The name itself is in `state`: not every name is text.
            cursor=Cursor(str(ends[1]), state=chosen[-1].hex()) if stop < len(names) else None,
            folders=tuple(_folders(prefix, chosen, kinds)),
            seen=len(chosen),
            refused=tuple(rows.refused),
            skipped=dict(rows.skipped),
        )

    def resolved(self, key: str) -> bytes:
        """The path of a file, on this machine, without links. Blocking, unless its folder was listed: then no call."""
        folder, _, name = key.rpartition("/")
        above = self._resolved.get(f"{folder}/")
        if above is None or key in self._links:
            return os.path.realpath(path_of(self._mounts.here(key)))
        return b"%s/%s" % (above.rstrip(b"/"), name.encode())

    def digests(self, folder: str, paths: pa.StringArray) -> pa.StringArray:
        """W&B's digests of files that a listing of a folder gave, by their names. Blocking."""
        if self._mounts.divide(folder):
            return pa.array([digest_of(self.resolved(f"{folder}{path}")) for path in paths.to_pylist()], pa.string())
        resolved = os.path.realpath(path_of(self._mounts.here(folder))).rstrip(b"/") + b"/"
        found = digests_of(resolved, paths)  # folders are no links, or they would not have been followed
        if not self._links:
            return found
        keys = [f"{folder}{path}" for path in paths.to_pylist()]
        linked = [digest_of(self.resolved(key)) if key in self._links else None for key in keys]
        return pc.coalesce(pa.array(linked, pa.string()), found)

    def clear(self) -> None:
        """Forget all folders."""
        self._names.clear()
        self._subtrees.clear()
        self._resolved.clear()
        self._links.clear()

    def _keep(self, prefix: str, names: Names, *, going_on: bool) -> None:
        """A folder's names are kept while its listing goes on; one that comes back too late is read again."""
        self._names.pop(prefix, None)
        if going_on:
            self._names[prefix] = names
            if len(self._names) > _FOLDERS_KEPT:
                self._names.popitem(last=False)

    async def _begin(self, prefix: str, request: ListRequest) -> tuple[Names, tuple[Rows, int]]:
        """All names of a folder and, where that is quick, its files in the same call."""
        async with self._turns:
            opened = await self._threads.run(partial(self._open, prefix, request))
            self._judge(opened)
        names, first = opened.names, opened.first
        while names is None or first is None:
            names = await self._threads.run(partial(self._read, prefix, opened.scan.step))
            if names is not None:
                first = await self._threads.run(partial(self._look_quickly, prefix, names, request))
        self._resolved[prefix] = opened.resolved
        if len(self._resolved) > _RESOLVED_KEPT:
            self._resolved.popitem(last=False)
        return names, first

    def _judge(self, opened: _Opened) -> None:
        """Once a folder turns out to be slow, as many are read at once as there are threads."""
        if not self._slow and opened.names is not None and opened.first is not None:
            self._slow = opened.first[1] < min(len(opened.names), _PROBE_NAMES + 1)
            for _ in range(self._threads.most - QUICK_FOLDERS if self._slow else 0):
                self._turns.release()

    def _open(self, prefix: str, request: ListRequest) -> _Opened:
        path = path_of(self._mounts.here(prefix))
        self._ground.seen(self._mounts.here(prefix))
        scan = self._read(prefix, partial(Scan, path))
        names = self._read(prefix, scan.step)
        first = None if names is None else self._look_quickly(prefix, names, request)
        return _Opened(scan, names, first, os.path.realpath(path))

    def _read(self, prefix: str, call: Callable[[], T]) -> T:
        """What a call gives that reads a folder; its failure as one of ours."""
        try:
            return call()
        except OSError as error:
            ours = translated(error, f"file://{prefix}")
            if isinstance(ours, NotFoundError):
                message = f"not a folder: {ours.message}"
                missing = ContainerNotFoundError(message, uri=ours.uri, code=ours.code, hint=MOUNT_HINT)
                is_ground = self._mounts.here(prefix) == self._ground.folder
                ours = missing if is_ground else self._ground.explain(missing)
            raise ours from error

    def _look_quickly(self, prefix: str, names: Names, request: ListRequest) -> tuple[Rows, int]:
        """Look at a page's names, or at so many of them as tell that it takes long; how many that is."""
        chosen, kinds = names.part(*_bounds(names, request))
        begun_s = time.perf_counter()
        rows = self._look(prefix, chosen[:_PROBE_NAMES], kinds[:_PROBE_NAMES])
        if (time.perf_counter() - begun_s) / _PROBE_NAMES > _SLOW_STAT_S:
            return rows, _PROBE_NAMES
        rows.extend(self._look(prefix, chosen[_PROBE_NAMES:], kinds[_PROBE_NAMES:]))
        return rows, len(chosen)

    async def _look_at_rest(self, prefix: str, names: list[bytes], kinds: list[int], rows: Rows, done: int) -> Rows:
        """Spread over the threads what is left to be looked at."""
        shares = [slice(start, start + _SHARE_NAMES) for start in range(done, len(names), _SHARE_NAMES)]
        calls = [partial(self._look, prefix, names[share], kinds[share]) for share in shares]
        for share in await gather([partial(self._look_in_turn, call) for call in calls]):
            rows.extend(share)
        return rows

    async def _look_in_turn(self, call: Callable[[], Rows]) -> Rows:
        async with self._shares:
            return await self._threads.run(call)

    def _require(self, prefix: str, device: int | None) -> None:
        """Raise if names vanished because the file system did."""
        self._ground.require(self._mounts.here(prefix), device, f"file://{prefix}")

    def _look(self, prefix: str, names: list[bytes], kinds: list[int]) -> Rows:
        return self._with_md5s(look_at(prefix, names, kinds, path_of(self._mounts.here(prefix))))

    def _with_md5s(self, rows: Rows) -> Rows:
        hashes = self.hashes
        rows.md5s = hashes.find(rows.states) if hashes is not None else [None] * len(rows.names)
        return rows


@dataclass(frozen=True, slots=True)
class _Opened:
    """A folder whose reading began: its names and first files, unless it is a huge one; its path without links."""

    scan: Scan
    names: Names | None
    first: tuple[Rows, int] | None
    resolved: bytes


def _bounds(names: Names, request: ListRequest) -> tuple[int, int]:
    """Which names of a folder a page is about."""
    start = names.after(bytes.fromhex(request.cursor.state or "")) if request.cursor else 0
    return start, min(start + request.limit, len(names))


def _folders(prefix: str, names: list[bytes], kinds: list[int]) -> Iterator[str]:
    for name, kind in zip(names, kinds, strict=True):
        if kind == FOLDER and (text := text_of(name)) is not None:
            yield f"{prefix}{text}/"
