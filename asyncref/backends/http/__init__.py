"""HTTP(S) file servers: one server as a backend; folders by their index pages, files by HEAD and ranged GET."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio.to_thread
import pyarrow as pa

from asyncref.backends.base import Body, Traits
from asyncref.backends.http import index, urls
from asyncref.backends.http.access import Call, Web
from asyncref.backends.http.answers import FOLDER, answer_of, ends_by_itself, pin_of
from asyncref.backends.http.index import Index
from asyncref.backends.http.settings import WebSettings, read_settings
from asyncref.errors import BrokenBodyError, NotFoundError, ProtocolError, UnsupportedError
from asyncref.model import PAGE_SCHEMA, Cursor, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

__all__ = ["HttpBackend", "open_http"]

CONCURRENCY: Final = 64
_INDEX_BYTES: Final = 512 * 2**20  # about three million files in one folder
_IN_THREAD_BYTES: Final = 2**17  # 10 ms of parsing
_FOLDERS_KEPT: Final = 64
_ACCEPT: Final = {"accept": "application/json, text/html;q=0.9, */*;q=0.1"}  # Caddy lists in JSON when asked for it
_NO_HEAD: Final = frozenset({405, 501})


class HttpBackend:
    """One server; see `Backend` for what each method does.

    Args:
        scheme: `http` or `https`.
        host: With its port, if it is not the scheme's own.
        settings: What was chosen.
        start: The key of the folder that no other folder's redirect leads out of; empty, or ends in `/`.
    """

    traits: Final = Traits(
        hierarchical=True,
        ranged=False,
        listing_pins=False,
        page_rows=10_000,
        concurrency=CONCURRENCY,
        folder_markers=False,
        prices_requests=False,
    )

    def __init__(self, scheme: str, host: str, settings: WebSettings, *, start: str = "") -> None:
        self._scheme, self._host = scheme, host
        self._web = Web(scheme, host, settings, start=start)
        self._listing: OrderedDict[str, Index] = OrderedDict()
        self._heads = True
        self._repeats = settings.folder_repeats

    def source(self, reference: Reference) -> Source:
        """The record of a typed URL; its prefix is escaped as W&B's client does it."""
        return Source(uri=str(reference), scheme=self._scheme, container=self._host, prefix=urls.typed(reference.key))

    def reference(self, key: str) -> str:
        """The URL."""
        return self._web.uri(key)

    def path_of(self, key: str) -> str:
        """The path of what follows a folder's key in a key: without escapes."""
        return urls.path_of(key)

    def digest_by_name(self, key: str) -> str:
        """The URL, as in W&B."""
        return self.reference(key)

    async def versioning(self) -> bool | None:
        """HTTP servers keep no versions."""
        return False

    async def list_page(self, request: ListRequest) -> Page:
        """Part of one folder, by its index page; `request.prefix` is the folder.

        The page is asked for once and kept while the listing of its folder goes on.

        Raises:
            ContainerNotFoundError: No such folder.
            ProtocolError: The page is no index, or folders repeat without end.
            UnsupportedError: `request.versions`.
        """
        if request.versions:
            raise self._no_versions(request.prefix)
        prefix, cursor = request.prefix, request.cursor
        found = self._listing.pop(prefix, None) if cursor else None
        if found is None:
            found = await self._read_index(prefix)
        names = [file.segment for file in found.files]
        start = sum(f"{prefix}{name}" <= cursor.marker for name in names) if cursor else 0
        stop = min(start + request.limit, len(names))
        if stop < len(names):
            self._listing[prefix] = found
            if len(self._listing) > _FOLDERS_KEPT:
                self._listing.popitem(last=False)
        keys = [f"{prefix}{name}" for name in names[start:stop]]
        return Page(
            batch=_batch(keys, found, start, stop),
            first=keys[0] if keys else None,
            last=keys[-1] if keys else None,
            cursor=Cursor(keys[-1]) if stop < len(names) else None,
            folders=() if cursor else tuple(f"{prefix}{name}" for name in found.folders),
            seen=len(keys),
            refused=() if cursor else tuple(f"{self.reference(prefix)}{name}" for name in found.refused),
        )

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """A HEAD; where the server has none, or it tells no length, the first byte.

        Raises:
            NotFoundError: Nothing there, or a folder.
            UnsupportedError: A version was asked for.
        """
        if version is not None:
            raise self._no_versions(key)
        self._refuse_folder(key)
        if self._heads:
            call = Call(key, "HEAD", also=_NO_HEAD)
            async with self._web.request(call) as (response, _):
                pin = None
                if response.status in _NO_HEAD:
                    self._heads = False
                else:
                    pin = pin_of(response.status, response.headers, uri=self.reference(key))
            # Apache leaves the length out where it is 0.
            if pin is not None and (pin.size is not None or "Transfer-Encoding" in response.headers):
                return pin
        call = Call(key, headers={"range": "bytes=0-0"}, also=frozenset({416}))
        async with self._web.request(call) as (response, _):
            pin = pin_of(response.status, response.headers, uri=self.reference(key))
            response.close()  # the whole file may follow
            return pin

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """HTTP servers keep no versions.

        Raises:
            UnsupportedError: Always.
        """
        del limit
        raise self._no_versions(key)

    @asynccontextmanager
    async def read(self, request: ReadRequest) -> AsyncIterator[Body]:
        """A GET. The version of a file without an ETag is its Last-Modified, sent as a condition."""
        self._refuse_folder(request.key)
        headers: dict[str, str] = {}
        if request.stop is not None:
            headers["range"] = f"bytes={request.start}-{request.stop - 1}"
        elif request.start:
            headers["range"] = f"bytes={request.start}-"
        if request.if_match:
            headers["if-match"] = request.if_match
        if request.version:
            headers["if-unmodified-since"] = request.version
        uri = self.reference(request.key)
        async with self._web.request(Call(request.key, headers=headers)) as (response, url):
            answer = answer_of(response.status, response.headers, uri=uri)
            body = self._web.body(response, answer, url, uri)
            if answer.stop is None:
                body = Body(answer, _to_its_end(body.chunks, uri, marked=ends_by_itself(response.headers)))
            yield body

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        self._listing.clear()
        await self._web.aclose()

    async def _read_index(self, prefix: str) -> Index:
        uri = self.reference(prefix)
        if urls.repeats(prefix, self._repeats):
            raise ProtocolError(
                "its folders repeat without end, as a link to a folder above makes them",
                uri=uri,
                hint=f"if they rightly do: storage_options folder_repeats, which is {self._repeats}",
            )
        call = Call(prefix, headers=_ACCEPT, folder=True)
        body, headers, url = await self._web.fetch(call, most_bytes=_INDEX_BYTES)
        kind = headers.get("Content-Type", "")
        if not ends_by_itself(headers) and not index.is_whole(body, kind):
            raise BrokenBodyError("the index ends in its midst, and the server marks no end", uri=uri)
        if len(body) < _IN_THREAD_BYTES:
            return index.read(body, kind, url, uri=uri)
        return await anyio.to_thread.run_sync(lambda: index.read(body, kind, url, uri=uri))

    def _refuse_folder(self, key: str) -> None:
        if urls.is_folder(key):
            raise NotFoundError("a folder, not a file", uri=self.reference(key), code=FOLDER)

    def _no_versions(self, key: str) -> UnsupportedError:
        return UnsupportedError("HTTP servers keep no versions", uri=self.reference(key))


def open_http(reference: Reference, options: Mapping[str, Any], limits: Limits) -> HttpBackend:
    """The opener of `http://` and `https://`; no request is sent.

    Raises:
        OptionError: See `read_settings`.
    """
    scheme, host = reference.scheme, reference.container
    settings = read_settings(options, limits, origin=f"{scheme}://{host}", concurrency=CONCURRENCY)
    start = urls.typed(reference.key).partition("?")[0]
    return HttpBackend(scheme, host, settings, start=f"{start.rstrip('/')}/" if start else "")


def _batch(keys: list[str], found: Index, start: int, stop: int) -> pa.RecordBatch:
    """Files as a page of `PAGE_SCHEMA`: keys, and sizes and times where the index has them exactly; no pin."""
    files = found.files[start:stop]
    known: dict[str, list[Any]] = {
        "key": keys,
        "size": [file.size for file in files],
        "modified": [file.modified for file in files],
    }
    arrays = [
        pa.array(known[column.name], column.type) if column.name in known else pa.nulls(len(keys), column.type)
        for column in PAGE_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


async def _to_its_end(chunks: AsyncIterable[bytes], uri: str, *, marked: bool) -> AsyncIterator[bytes]:
    """The same bytes; an end that nothing marks is an error."""
    async for chunk in chunks:
        yield chunk
    if not marked:
        raise ProtocolError(
            "the server marks no end of its answer, by neither length nor chunks, so a cut cannot be told from it",
            uri=uri,
        )
