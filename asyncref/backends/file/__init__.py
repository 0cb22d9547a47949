"""The backend of files: folders listed and files read in a bounded set of threads.

A key is an absolute path. A listing gives size and time; what pins a file is the MD5 of its content, so
`stat` reads it. Symbolic links to files are followed, those to folders are not (as W&B).
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote_from_bytes, unquote

import anyio
import pyarrow as pa
from anyio import to_thread

from asyncref.backends.base import Body, Traits
from asyncref.backends.file.content import OpenFile
from asyncref.backends.file.failure import path_of, translated
from asyncref.backends.file.folder import FOLDER, Names, Rows, look_at, read_names, shown, text_of
from asyncref.errors import (
    AsyncrefError,
    ChangedError,
    ContainerNotFoundError,
    NotFoundError,
    OptionError,
    UnsupportedError,
)
from asyncref.model import Answer, Cursor, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

__all__ = ["FileBackend", "open_file", "typed_key"]

T = TypeVar("T")
_THREADS: Final = 32
_CHUNK_BYTES: Final = 1 << 20
_FOLDERS_KEPT: Final = 8
_PROBE_NAMES: Final = 64
_SHARE_NAMES: Final = 256
# A name of a local folder costs 6 µs in one thread and 15 µs spread over 32 (2 cores, tmpfs); over NFS a round trip.
_SLOW_STAT_S: Final = 50e-6


class FileBackend:
    """All files that this machine sees.

    Args:
        threads: Most blocking calls at once.
    """

    traits: Final = Traits(
        hierarchical=True,
        ranged=False,
        listing_pins=False,
        page_rows=10_000,
        concurrency=_THREADS,
        folder_markers=False,
        prices_requests=False,
    )

    def __init__(self, *, threads: int = _THREADS) -> None:
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None
        self._folders: OrderedDict[str, Names] = OrderedDict()

    def source(self, reference: Reference) -> Source:
        """The record of a typed reference; its prefix is the path that is meant (see `typed_key`)."""
        return Source(uri=str(reference), scheme="file", prefix=typed_key(reference.key))

    def reference(self, key: str) -> str:
        """`file://` and the path, raw."""
        return f"file://{key}"

    def digest_by_name(self, key: str) -> str:
        """Base64 MD5 of the resolved path as a `file:` URI, as W&B has it for `checksum=False`."""
        resolved = f"file://{quote_from_bytes(os.path.realpath(path_of(key)))}"
        return base64.b64encode(hashlib.md5(resolved.encode()).digest()).decode()

    async def versioning(self) -> bool | None:
        """Files keep no versions."""
        return False

    async def list_page(self, request: ListRequest) -> Page:
        """Part of one folder, sorted; `request.prefix` is the folder and ends in `/`.

        The names are read once and kept while a listing of the folder goes on: memory is about the length of
        the names, 20 to 40 bytes each. A page that comes too late for that reads them again.

        Raises:
            ContainerNotFoundError: No such folder.
            AccessDeniedError: The folder cannot be read.
            UnsupportedError: `request.versions`.
        """
        if request.versions:
            raise UnsupportedError("files keep no versions", uri=self.reference(request.prefix))
        prefix = request.prefix if request.prefix.endswith("/") else f"{request.prefix}/"
        names = await self._names(prefix, fresh=request.cursor is None)
        start = names.after(bytes.fromhex(request.cursor.state or "")) if request.cursor else 0
        stop = min(start + request.limit, len(names))
        chosen, kinds = names.part(start, stop)
        rows = await self._look_at(prefix, chosen, kinds)
        first, last = (prefix + shown(name) for name in (chosen[0], chosen[-1])) if chosen else (None, None)
        if stop == len(names):
            self._folders.pop(prefix, None)
        return Page(
            batch=rows.batch(prefix),
            first=first,
            last=last,
            # The name itself is in `state`: not every name is text.
            cursor=Cursor(last, state=chosen[-1].hex()) if last and stop < len(names) else None,
            folders=tuple(_folders(prefix, chosen, kinds)),
            seen=len(chosen),
            refused=tuple(rows.refused),
            skipped=dict(rows.skipped),
        )

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """Size, time and the MD5 of the content, which is read whole (about 0.6 GB/s a thread).

        Raises:
            NotFoundError: Nothing there, or a folder.
            ChangedError: The file changed while it was read.
            UnsupportedError: A version was asked for; a socket, pipe or device.
        """
        self._refuse_version(key, version)

        def begin() -> tuple[OpenFile, Pin | None]:
            file = OpenFile(key, self.reference(key))
            try:
                return file, file.hash_step()
            except BaseException:
                file.close()
                raise

        file, pin = await self._run(begin)
        with file:
            while pin is None:
                pin = await self._run(file.hash_step)
        return pin

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """Files keep no versions.

        Raises:
            UnsupportedError: Always.
        """
        del limit
        raise UnsupportedError("files keep no versions", uri=self.reference(key))

    @asynccontextmanager
    async def read(self, request: ReadRequest) -> AsyncIterator[Body]:
        """The bytes of a range. The answer says the file's size and no more: nothing but its content pins a file.

        Raises:
            NotFoundError: Nothing there, or a folder.
            ChangedError: Shorter than the range's start; in the course of the body, changed meanwhile.
            UnsupportedError: A version was asked for; a socket, pipe or device.
        """
        uri = self.reference(request.key)
        self._refuse_version(request.key, request.version)
        with await self._run(lambda: OpenFile(request.key, uri)) as file:
            stop = file.size if request.stop is None else min(request.stop, file.size)
            if request.start > stop:
                raise ChangedError(f"the file has {file.size} bytes now, and no byte {request.start}", uri=uri)
            yield Body(Answer(start=request.start, stop=stop, total=file.size), self._chunks(file, request.start, stop))

    async def aclose(self) -> None:
        """Forget the folders being listed."""
        self._folders.clear()

    async def _chunks(self, file: OpenFile, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            chunk = await self._run(partial(file.read_at, start, min(_CHUNK_BYTES, stop - start)))
            if not chunk:
                break
            start += len(chunk)
            yield chunk
        await self._run(file.require_unchanged)

    async def _names(self, prefix: str, *, fresh: bool) -> Names:
        names = None if fresh else self._folders.get(prefix)
        if names is None:
            names = self._folders[prefix] = await self._run(lambda: self._read_names(prefix))
        self._folders.move_to_end(prefix)
        if len(self._folders) > _FOLDERS_KEPT:
            self._folders.popitem(last=False)
        return names

    def _read_names(self, prefix: str) -> Names:
        uri = self.reference(prefix)
        path = path_of(prefix)
        try:
            return read_names(path)
        except OSError as error:
            ours = translated(error, uri)
            if isinstance(ours, NotFoundError):
                ours = ContainerNotFoundError(f"not a folder: {ours.message}", uri=uri, code=ours.code)
            raise ours from error

    async def _look_at(self, prefix: str, names: list[bytes], kinds: list[int]) -> Rows:
        """Stat a page's files: in one thread where that is quick, spread over all where it is not."""

        async def look(start: int, stop: int) -> Rows:
            return await self._run(lambda: look_at(prefix, names[start:stop], kinds[start:stop]))

        begun_s = time.perf_counter()
        rows = await look(0, _PROBE_NAMES)
        if (time.perf_counter() - begun_s) / _PROBE_NAMES < _SLOW_STAT_S:
            rows.extend(await look(_PROBE_NAMES, len(names)))
            return rows
        starts = range(_PROBE_NAMES, len(names), _SHARE_NAMES)
        for share in await _gather([partial(look, start, start + _SHARE_NAMES) for start in starts]):
            rows.extend(share)
        return rows

    def _refuse_version(self, key: str, version: str | None) -> None:
        if version is not None:
            raise UnsupportedError("files keep no versions", uri=self.reference(key))

    async def _run(self, call: Callable[[], T]) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        return await to_thread.run_sync(call, limiter=self._limiter)


def open_file(reference: Reference, options: Mapping[str, Any], limits: Limits) -> FileBackend:
    """The opener of `file://`.

    Raises:
        OptionError: Any option: files have none.
    """
    if options:
        raise OptionError(
            f"unknown storage option {min(options)!r} for file references, which have none", uri=str(reference)
        )
    return FileBackend(threads=limits.concurrency or _THREADS)


def typed_key(key: str) -> str:
    """The path that a typed reference means: as it stands if there is such a path, else with `%20` and the like decoded.

    Two look-ups in the file system at most; blocking.
    """
    if os.path.lexists(key):
        return key
    try:
        decoded = unquote(key, errors="strict")
    except UnicodeDecodeError:
        return key
    return decoded if "\0" not in decoded and os.path.lexists(decoded) else key


def _folders(prefix: str, names: list[bytes], kinds: list[int]) -> Iterator[str]:
    for name, kind in zip(names, kinds, strict=True):
        if kind == FOLDER and (text := text_of(name)) is not None:
            yield f"{prefix}{text}/"


async def _gather(calls: list[Callable[[], Awaitable[Rows]]]) -> list[Rows]:
    """The results in order; the first failure itself, not a group of one."""
    results = [Rows() for _ in calls]
    failures: list[AsyncrefError] = []

    async def one(index: int) -> None:
        try:
            results[index] = await calls[index]()
        except AsyncrefError as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(one, index)
    if failures:
        raise failures[0]
    return results
