"""The protocol of a backend: one storage, one container, every method one stateless request.

Paging, splitting, retries, limits, resuming, progress and the check of every answer against its pin are
written once, in the engine. A backend translates: our requests into its protocol, its answers and its
error codes (by one table) into our values and `asyncref.errors`. It knows neither the engine nor another
backend, never retries, never sleeps, and holds no state but its connection pool and its credentials.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
from anyio import to_thread

from asyncref.model import Answer, Limits, ListRequest, Page, Pin, Ramp, ReadRequest, Source
from asyncref.uri import Reference


@dataclass(frozen=True, slots=True)
class Traits:
    """What the engine has to know of a storage to drive it. Facts about a protocol, not settings.

    Attributes:
        hierarchical: A listing gives one folder and its sub-folders (file, http), not a flat key space.
        ordered: Pages come in byte order of their keys.
        ranged: `ListRequest.keys.after` starts a listing at any key.
        delimited: `ListRequest.folders` is understood, so that folders found by it are listed side by side where
            ranges cannot be, and tell where ranges part best where they can.
        versioned: The storage may keep versions, so `versioning()` is worth a request.
        past: `ListRequest.at` is understood: a version listing tells what lay there at a past moment.
        listing_pins: A listing's rows pin their objects; otherwise `stat` is asked for every one.
        listing_proves: What a listing names was there, so that a `stat` which does not find it means that it vanished
            meanwhile. A list that somebody wrote proves nothing: then that is an error.
        page_rows: Most rows a page.
        concurrency: Requests in flight to start from and at most, unless `Limits` says otherwise.
        folder_markers: Keys of zero bytes that end in `/` stand for folders.
        prices_requests: Requests cost money: more than 100,000 `stat`s are announced first.
        shares: What is read may share its blocks with the copy (`Body.share`), which then needs no space.
        ramp: How fast the rate of requests may begin and grow; None: as fast as the server lets it.
    """

    hierarchical: bool = False
    ordered: bool = True
    ranged: bool = True
    delimited: bool = False
    versioned: bool = False
    past: bool = False
    listing_pins: bool = True
    listing_proves: bool = True
    page_rows: int = 1000
    concurrency: int = 64
    folder_markers: bool = True
    prices_requests: bool = True
    shares: bool = False
    ramp: Ramp | None = None


Receive = Callable[[memoryview], Awaitable[int]]
Pour = Callable[[int, int, int], Awaitable[int]]
Share = Callable[[int], Awaitable[bool]]


@dataclass(slots=True)
class Body:
    """An answer on its way: its claims, and its bytes as stored, never decompressed.

    Attributes:
        answer: What the server says it sends.
        chunks: The bytes in order, once. Raises `BrokenBodyError` if they end before the announced length.
        receive: The same bytes straight into a buffer, where the client can do that: as many as it holds, fewer only at
            the end or before a break, which the next call raises; 0 at the end. Either this or `chunks` is used.
        pour: The next of the same bytes straight to an open file (its descriptor, an offset, how many), where the system can do that
            without the event loop: as many as asked for, fewer as with `receive`, which brings the rest. Raises `OSError` for the file.
        share: Lets an open file (its descriptor) have the same bytes at the same places without copying them, where both
            are files of one file system that can do that. False: it cannot, and nothing was done.
    """

    answer: Answer
    chunks: AsyncIterable[bytes]
    receive: Receive | None = None
    pour: Pour | None = None
    share: Share | None = None


class Backend(Protocol):
    """One container of one storage.

    Every method is one request and raises from `asyncref.errors`: `RetryableError` if sending it again may
    help, `StorageError` if not; both with the URI and the server's request id.
    """

    @property
    def traits(self) -> Traits:
        """What this storage can do."""
        ...

    def source(self, reference: Reference) -> Source:
        """The record by which another session finds the same place; no request, no secret.

        Its `prefix` is the key that a typed reference means (for `file` with `%20` decoded where only that
        path exists).
        """
        ...

    def reference(self, key: str) -> str:
        """The raw reference of a key, such as `s3://bucket/a b#c`; never parsed again."""
        ...

    def digest_by_name(self, key: str) -> str:
        """W&B's digest of an entry that is not pinned (`checksum=False`); no request."""
        ...

    async def versioning(self) -> bool | None:
        """Whether the container keeps or kept versions; None if that cannot be learnt (denied, no such call)."""
        ...

    async def list_page(self, request: ListRequest) -> Page:
        """One page of a listing, rows in the server's order, complete as the server sent it.

        A cursor comes back with the request that it answers. Only one of a version listing (`Traits.ordered`) whose
        marker is the very last key of its page may come back with a longer prefix of that key.

        Raises:
            ProtocolError: The answer contradicts itself (cut, columns of unequal length, a key with two
                latest versions or none, a cursor that does not advance).
            ContainerNotFoundError: No such container or, for hierarchical storages, no such folder.
            UnsupportedError: `request.versions` where the server knows no versions.
        """
        ...

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """The pin of one object, by a HEAD, or by reading a file for its MD5.

        Raises:
            NotFoundError: Nothing there, or a folder marker only.
        """
        ...

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """Versions of exactly this key, newest first, as rows of `PAGE_SCHEMA`; delete markers left out.

        Raises:
            UnsupportedError: The storage keeps none or does not list them.
        """
        ...

    def read(self, request: ReadRequest) -> AbstractAsyncContextManager[Body]:
        """One ranged, conditional read. The connection goes back to its pool on leaving the context.

        Raises:
            NotFoundError: 404, or a delete marker.
            ChangedError: 412: the condition failed.
            AccessDeniedError: 403; `code` tells what was denied where the server says.
            ArchivedError: The object has to be restored first.
        """
        ...

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        ...


@runtime_checkable
class NamesPaths(Protocol):
    """A backend whose keys are no paths as they stand, such as parts of URLs with their escapes."""

    def path_of(self, key: str) -> str:
        """The path of a key, or of what follows a folder's key in one. The listing has refused keys without a path."""
        ...

    def reference(self, key: str) -> str:
        """The raw reference of a key."""
        ...


@runtime_checkable
class Describes(Protocol):
    """A backend that states of an object, without its bytes, what the answer to a range leaves out."""

    async def describe(self, request: ReadRequest, *, upload_part: int | None = None) -> Answer:
        """One HEAD, with the request's version and condition.

        Args:
            request: What would be read; its range does not count.
            upload_part: Speak of this part of a multipart upload, from 1: `start` and `stop` are the part's.

        Raises:
            StorageError: It tells nothing.
        """
        ...


@runtime_checkable
class NamesFiles(Protocol):
    """A backend that knows files by their content, and may be asked to know them by their names (`checksum=False`)."""

    def leave_content(self) -> None:
        """Nobody wants to know what is in files."""
        ...

    def digests_by_name(self, folder: str, paths: pa.StringArray) -> pa.StringArray:
        """`digest_by_name` of many files: of a folder's key followed by each path. Blocks, as that does."""
        ...


class Opener(Protocol):
    """What the scheme table holds: makes a backend for a reference's container, without a request."""

    def __call__(self, reference: Reference, options: Mapping[str, Any], limits: Limits) -> Backend:
        """Make the backend.

        Args:
            reference: Its scheme and container are used.
            options: fsspec's names (`endpoint_url`, `key`, `anon`, ...).
            limits: Its timeouts and concurrency size the connection pool.

        Raises:
            OptionError: An option that is unknown, malformed or refused by name.
        """
        ...


async def typed_source(backend: Backend, reference: Reference) -> Source:
    """The record of a typed reference. A backend of files may look what it means, on a mount that hangs: in a thread."""
    if not backend.traits.hierarchical:
        return backend.source(reference)
    return await to_thread.run_sync(backend.source, reference, abandon_on_cancel=True)
