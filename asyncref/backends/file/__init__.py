"""The backend of files: folders listed and files read in a bounded set of threads.

A key is an absolute path. A listing gives size and time; what pins a file is the MD5 of its content, so
`stat` reads it, unless the listing found it in the cache of hashes. Symbolic links to files are followed, those to
folders are not (as W&B).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
from anyio import to_thread

from asyncref import config
from asyncref.backends.base import Body, Traits
from asyncref.backends.file.clocks import Clocks
from asyncref.backends.file.content import OpenFile
from asyncref.backends.file.ground import Ground, Mounts
from asyncref.backends.file.hashes import Hashes
from asyncref.backends.file.listing import Listing
from asyncref.backends.file.local import OWN_CLOCK, LocalDisks
from asyncref.backends.file.named import digest_of
from asyncref.backends.file.threads import Threads
from asyncref.errors import ChangedError, NotFoundError, OptionError, UnsupportedError
from asyncref.model import Answer, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

__all__ = ["FileBackend", "open_file", "typed_key"]

_THREADS: Final = 64
_PATIENCE_S: Final = 60.0
_CHUNK_BYTES: Final = 1 << 20
_OPTIONS: Final = ("mounts", "hash_cache")


class FileBackend:
    """All files that this machine sees.

    Args:
        threads: Most blocking calls at once.
        mounts: Folders that lie elsewhere here.
        hashes: Where the MD5 of files that did not change is found; None: every file is read.
        patience_s: How long a call may take until its mount is said to hang.
        folder: The folder in references that all of it lies in; None if none is known.
    """

    traits: Final = Traits(
        hierarchical=True,
        ranged=False,
        listing_pins=False,
        page_rows=10_000,
        concurrency=_THREADS,
        folder_markers=False,
        prices_requests=False,
        shares=True,
    )

    def __init__(
        self,
        *,
        threads: int = _THREADS,
        mounts: Mounts = Mounts(),  # noqa: B008  frozen
        hashes: Hashes | None = None,
        patience_s: float = _PATIENCE_S,
        folder: str | None = None,
    ) -> None:
        self._mounts, self._hashes = mounts, hashes
        self._typed: dict[str, str] = {}
        uri = f"file://{folder or '/'}"
        self._threads = Threads(threads, patience_s=patience_s, uri=uri)
        self._ground = Ground(mounts.here(folder) if folder is not None else None, uri)
        self._listing = Listing(self._threads, mounts, self._ground, hashes)

    def source(self, reference: Reference) -> Source:
        """The record of a typed reference; its prefix is the path that is meant (see `typed_key`). Blocks, once."""
        key = self._typed.get(reference.key)
        if key is None:
            key = self._threads.run_here(partial(typed_key, reference.key, self._mounts))
            self._typed[reference.key] = self._typed[key] = key
        return Source(uri=str(reference), scheme="file", prefix=key)

    def reference(self, key: str) -> str:
        """`file://` and the path, raw."""
        return f"file://{key}"

    def digest_by_name(self, key: str) -> str:
        """Base64 MD5 of the resolved path as a `file:` URI, as W&B has it for `checksum=False`."""
        return digest_of(self._listing.resolved(key))

    def digests_by_name(self, folder: str, paths: pa.StringArray) -> pa.StringArray:
        """The same of many files: of a folder's key followed by each path."""
        return self._listing.digests(folder, paths)

    def leave_content(self) -> None:
        """Nobody wants to know what is in files: the cache of hashes is not asked."""
        self._listing.hashes = None

    async def versioning(self) -> bool | None:
        """Files keep no versions."""
        return False

    async def list_page(self, request: ListRequest) -> Page:
        """Part of one folder, sorted; `request.prefix` is the folder and ends in `/`.

        The names are read once and kept while a listing of the folder goes on: memory is about the length of
        the names, 20 to 40 bytes each. A page that comes too late for that reads them again. Rows of files whose
        content the cache of hashes knows have their MD5.

        Raises:
            ContainerNotFoundError: No such folder.
            AccessDeniedError: The folder cannot be read.
            ConnectionFailedError: Its mount hangs.
            StorageError: The folder of the whole listing went away.
            UnsupportedError: `request.versions`.
        """
        if request.versions:
            raise UnsupportedError("files keep no versions", uri=self.reference(request.prefix))
        return await self._listing.page(request)

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """Size, time and the MD5 of the content, which is read whole (about 0.6 GB/s a thread).

        Raises:
            NotFoundError: Nothing there, or a folder.
            ChangedError: The file changed while it was read.
            UnsupportedError: A version was asked for; a socket, pipe or device.
        """
        self._refuse_version(key, version)

        def begin() -> tuple[OpenFile, Pin | None]:
            file = self._open(key)
            try:
                return file, self._step(file)
            except BaseException:
                file.close()
                raise

        file, pin = await self._threads.run(begin)
        with file:
            while pin is None:
                pin = await self._threads.run(partial(self._step, file))
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
        """The bytes of a range. The answer says the file's size and time: nothing but its content pins a file.

        Raises:
            ContainerNotFoundError: The folder that it lay in, which the source names, is not there or empty.
            NotFoundError: Nothing there, or a folder.
            ChangedError: Shorter than the range's start; in the course of the body, changed meanwhile.
            UnsupportedError: A version was asked for; a socket, pipe or device.
        """
        uri = self.reference(request.key)
        self._refuse_version(request.key, request.version)
        with await self._threads.run(partial(self._open, request.key)) as file:
            stop = file.size if request.stop is None else min(request.stop, file.size)
            if request.start > stop:
                raise ChangedError(f"the file has {file.size} bytes now, and no byte {request.start}", uri=uri)
            answer = Answer(start=request.start, stop=stop, total=file.size, modified=file.modified)

            async def share(fd: int) -> bool:
                return stop > request.start and await self._threads.run(lambda: file.share(fd, request.start, stop))

            yield Body(answer, self._chunks(file, request.start, stop), share=share)

    async def aclose(self) -> None:
        """Let the threads end, write what the cache of hashes learnt. Idempotent."""
        self._listing.clear()
        if self._hashes is not None:
            await to_thread.run_sync(self._hashes.close)  # not in our threads, which may hang
        self._threads.close()

    def _open(self, key: str) -> OpenFile:
        try:
            return OpenFile(self._mounts.here(key), self.reference(key))
        except NotFoundError as error:
            raise self._ground.explain(error) from error

    def _step(self, file: OpenFile) -> Pin | None:
        pin = file.hash_step()
        if pin is not None and pin.checksum and self._hashes is not None:
            md5 = bytes.fromhex(pin.checksum.removeprefix("md5:"))
            self._hashes.keep(file.state, md5, hashed_ns=file.opened_ns, steady_ns=file.steady_ns)
        return pin

    async def _chunks(self, file: OpenFile, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            chunk = await self._threads.run(partial(file.read_at, start, min(_CHUNK_BYTES, stop - start)))
            if not chunk:
                break
            start += len(chunk)
            yield chunk
        await self._threads.run(file.require_unchanged)

    def _refuse_version(self, key: str, version: str | None) -> None:
        if version is not None:
            raise UnsupportedError("files keep no versions", uri=self.reference(key))


def open_file(reference: Reference, options: Mapping[str, Any], limits: Limits) -> FileBackend:
    """The opener of `file://`.

    Args:
        reference: The folder that is meant.
        options: `mounts`: folders in references to folders here (default: the setting of this name). `hash_cache`: a
            file to keep hashes in, or False for none (default: `hashes.db` in the folder of the setting `cache`).
        limits: `concurrency` and `idle_timeout_s` hold.

    Raises:
        OptionError: An unknown or malformed option.
    """
    for name in options:
        if name not in _OPTIONS:
            hint = f"known are {', '.join(_OPTIONS)}"
            raise OptionError(f"unknown storage option {name!r} for file references", uri=str(reference), hint=hint)
    given = options.get("mounts")
    cache = options.get("hash_cache")
    if cache is None or cache is True:
        cache = Path(config.get("cache").value).expanduser() / "hashes.db"
    return FileBackend(
        threads=limits.concurrency or _THREADS,
        mounts=Mounts.of(config.get("mounts").value if given is None else given),
        hashes=Hashes(Path(cache), Clocks(LocalDisks(OWN_CLOCK))) if cache else None,
        patience_s=limits.idle_timeout_s,
        folder=reference.key if reference.key.endswith("/") else None,
    )


def typed_key(key: str, mounts: Mounts = Mounts()) -> str:  # noqa: B008  frozen
    """The path that a typed reference means: as it stands if there is such a path, else with `%20` and the like decoded.

    Two look-ups in the file system at most; blocking.
    """
    if os.path.lexists(mounts.here(key)):
        return key
    try:
        decoded = unquote(key, errors="strict")
    except UnicodeDecodeError:
        return key
    return decoded if "\0" not in decoded and os.path.lexists(mounts.here(decoded)) else key
