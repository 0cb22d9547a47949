"""The client's side: a complete backend over a `MemoryStore`, for tests of whatever drives a backend."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import pyarrow as pa

from asyncref import backends
from asyncref.backends.base import Body, Traits
from asyncref.errors import (
    AccessDeniedError,
    BrokenBodyError,
    ChangedError,
    ConnectionFailedError,
    ContainerNotFoundError,
    NotFoundError,
    OptionError,
    ServerError,
    ThrottledError,
    UnsupportedError,
)
from asyncref.model import PAGE_SCHEMA, Answer, Cursor, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.testing.store import Fault, Faults, MemoryStore, Stored
from asyncref.uri import Reference

__all__ = ["Faults", "MemoryBackend", "MemoryStore", "mounted", "open_memory"]

SCHEME: Final = "memory"
_CHUNK_BYTES: Final = 64 * 1024
_ROW_BYTES: Final = 300  # about what S3 spends on one entry besides its key
_MD5_ETAG: Final = re.compile('"[0-9a-f]{32}"')
_stores: dict[str, MemoryStore] = {}


class MemoryBackend:
    """A backend of the protocol in `asyncref.backends.base`, flat, over one store in this process.

    Args:
        store: The server; a new, empty one if None.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.closed = False

    @property
    def traits(self) -> Traits:
        """Flat; ordered unless the store's faults say otherwise."""
        return Traits(versioned=self.store.versioned, past=True, page_rows=self.store.page_rows)

    def source(self, reference: Reference) -> Source:
        """The record of a reference in this store."""
        return Source(uri=str(reference), scheme=SCHEME, container=self.store.container, prefix=reference.key)

    def reference(self, key: str) -> str:
        """`memory://container/key`, raw."""
        return f"{SCHEME}://{self.store.container}/{key}"

    def digest_by_name(self, key: str) -> str:
        """The reference, as W&B has it for buckets."""
        return self.reference(key)

    async def versioning(self) -> bool | None:
        """Whether the store keeps or kept versions; None if that is denied."""
        try:
            await self._request("versioning", "")
        except AccessDeniedError:
            return None
        return self.store.versioned

    async def list_page(self, request: ListRequest) -> Page:
        """One page; like S3 it knows no end of a range, and goes on to the end of the prefix."""
        await self._request("list", request.prefix)
        if request.versions and not self.store.versioned:
            raise UnsupportedError("this store keeps no versions", uri=self.reference(request.prefix))
        if request.versions and "list_versions" in self.store.faults.denied:
            raise AccessDeniedError(
                "listing versions is denied", uri=self.reference(request.prefix), code="AccessDenied"
            )
        raw, cut = self._raw_rows(request, min(request.limit, self.store.page_rows))
        shown = [(key, stored) for key, stored, latest in raw if request.at or (latest and stored.data is not None)]
        last = raw[-1] if raw else None
        cursor = Cursor(last[0], last[1].version if request.versions else None) if last and cut else None
        if self.store.faults.repeat_cursor and last:
            cursor = request.cursor or Cursor(last[0], last[1].version if request.versions else None)
        return Page(
            batch=_batch([key for key, _ in shown], [stored for _, stored in shown], versions=request.versions),
            first=raw[0][0] if raw else None,
            last=last[0] if last else None,
            cursor=cursor,
            seen=len(raw),
            first_version=raw[0][1].version if raw and request.versions else None,
            body_bytes=sum(len(key) + _ROW_BYTES for key, _, _ in raw),
        )

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """The pin of one object."""
        await self._request("stat", key)
        stored = self._find(key, version)
        if key.endswith("/") and not stored.size:
            raise NotFoundError("only a folder marker", uri=self.reference(key))
        return Pin(
            size=stored.size,
            etag=stored.etag,
            version=stored.version if self.store.versioned else None,
            modified=stored.modified,
        )

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """Versions of exactly this key, newest first."""
        await self._request("history", key)
        if not self.store.versioned:
            raise UnsupportedError("this store keeps no versions", uri=self.reference(key))
        kept = [stored for stored in self.store.versions_of(key) if stored.data is not None][:limit]
        return _batch([key] * len(kept), kept, versions=True)

    @asynccontextmanager
    async def read(self, request: ReadRequest) -> AsyncIterator[Body]:
        """One ranged, conditional read; a truncated one gives half of the bytes, then breaks."""
        uri = self.reference(request.key)
        if request.version is not None and "get_version" in self.store.faults.denied:
            self.store.requests["get"] += 1
            raise AccessDeniedError("reading versions is denied", uri=uri, code="AccessDenied")
        fault = await self._request("get", request.key)
        stored = self._find(request.key, request.version)
        if request.if_match not in (None, stored.etag) and not self.store.faults.ignore_if_match:
            raise ChangedError("the condition failed", uri=uri, code="PreconditionFailed")
        whole = stored.data or b""
        start, stop = (0, None) if self.store.faults.ignore_range else (request.start, request.stop)
        data = whole[start:stop]
        answer = Answer(
            start=start,
            stop=start + len(data),
            total=len(whole),
            etag=stored.etag,
            version=stored.version if self.store.versioned else None,
            request_id=f"get-{self.store.requests['get']}",
        )
        yield Body(answer, _chunks(data, uri, broken=fault == "truncate"))

    async def aclose(self) -> None:
        """Note that it was closed, for tests that ask."""
        self.closed = True

    async def _request(self, kind: str, key: str) -> Fault | None:
        fault, faults, uri = self.store.next_fault(kind), self.store.faults, self.reference(key)
        request_id = f"{kind}-{self.store.requests[kind]}"
        await anyio.sleep(self.store.latency_s)
        if fault == "throttle":
            raise ThrottledError(
                "slow down", uri=uri, request_id=request_id, code="SlowDown", retry_after_s=faults.retry_after_s
            )
        if fault == "reset":
            raise ConnectionFailedError("the connection was lost", uri=uri, request_id=request_id)
        if fault == "error":
            raise ServerError("the server failed", uri=uri, request_id=request_id, code="InternalError")
        if not self.store.exists:
            raise ContainerNotFoundError("no such bucket", uri=uri, request_id=request_id, code="NoSuchBucket")
        if kind in faults.denied:
            raise AccessDeniedError(f"{kind} is denied", uri=uri, request_id=request_id, code="AccessDenied")
        return fault

    def _find(self, key: str, version: str | None) -> Stored:
        stored = self.store.find(key, None if self.store.faults.ignore_version else version)
        if stored is None:
            code = "NoSuchKey" if version is None else "NoSuchVersion"
            raise NotFoundError("no such object", uri=self.reference(key), code=code)
        return stored

    def _raw_rows(self, request: ListRequest, limit: int) -> tuple[list[tuple[str, Stored, bool]], bool]:
        """Rows as the server sends them (key, version, whether it is the latest), and whether more follow."""
        rows: list[tuple[str, Stored, bool]] = []
        for key in self._keys_after(request):
            if not key.startswith(request.prefix):
                if key > request.prefix and not self.store.faults.unordered:
                    break
                continue
            stack = self.store.versions_of(key)
            shown = stack if request.versions else [stored for stored in stack[:1] if stored.data is not None]
            if request.cursor and request.versions and key == request.cursor.marker:
                shown = _older(shown, request.cursor.version_marker)
            for stored in shown:
                if len(rows) == limit:
                    return rows, True
                rows.append((key, stored, stored is stack[0]))
        return rows, False

    def _keys_after(self, request: ListRequest) -> list[str]:
        if request.cursor is not None:
            # A marker with its version goes on inside the key; a token is exact.
            return self.store.keys_from(request.cursor.marker, inclusive=request.versions)
        after = request.keys.after
        if self.store.faults.unordered:
            return self.store.keys_from("", inclusive=True)
        if after is None or after < request.prefix:
            return self.store.keys_from(request.prefix, inclusive=True)
        return self.store.keys_from(after, inclusive=self.store.inclusive_markers)


def open_memory(reference: Reference, options: Mapping[str, Any], limits: Limits) -> MemoryBackend:
    """The opener of `memory://container/…`, for stores that `mounted` has made known.

    Raises:
        OptionError: Any option at all.
    """
    del limits
    if options:
        raise OptionError(f"unknown storage option {min(options)!r} for {SCHEME}")
    return MemoryBackend(_stores.get(reference.container) or MemoryStore(reference.container, exists=False))


@contextmanager
def mounted(*stores: MemoryStore) -> Iterator[None]:
    """Make stores reachable as `memory://CONTAINER/…` for as long as the context lasts."""
    table = backends._BUILT_IN  # noqa: SLF001  the scheme is for tests only and never shipped in the table
    _stores.update({store.container: store for store in stores})
    table[SCHEME] = f"{__name__}:{open_memory.__name__}"
    try:
        yield
    finally:
        for store in stores:
            _stores.pop(store.container, None)
        if not _stores:
            table.pop(SCHEME, None)


def _older(stack: list[Stored], version: str | None) -> list[Stored]:
    """What follows a version in a key's stack; nothing if it was the last."""
    names = [stored.version for stored in stack]
    return stack[names.index(version) + 1 :] if version in names else stack


def _batch(keys: Sequence[str], rows: Sequence[Stored], *, versions: bool) -> pa.RecordBatch:
    bare = [_MD5_ETAG.fullmatch(row.etag) is not None for row in rows]
    columns: dict[str, list[Any]] = {
        "key": list(keys),
        "size": [row.size if row.data is not None else None for row in rows],
        "etag16": [bytes.fromhex(row.etag[1:-1]) if is_bare else None for row, is_bare in zip(rows, bare, strict=True)],
        "etag": [None if is_bare or row.data is None else row.etag for row, is_bare in zip(rows, bare, strict=True)],
        "version": [row.version if versions else None for row in rows],
        "modified": [row.modified for row in rows],
    }
    arrays = [
        pa.array(columns[name], column.type) if name in columns else pa.nulls(len(rows), column.type)
        for name, column in ((column.name, column) for column in PAGE_SCHEMA)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


async def _chunks(data: bytes, uri: str, *, broken: bool) -> AsyncIterator[bytes]:
    whole = len(data) // 2 if broken else len(data)
    for start in range(0, whole, _CHUNK_BYTES):
        yield data[start : min(start + _CHUNK_BYTES, whole)]
    if broken:
        raise BrokenBodyError("the body ended early", uri=uri)
