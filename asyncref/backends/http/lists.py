"""A list of URLs as a source: `urls:///path/list.csv?column=url`. Its files lie on any number of HTTP servers.

A key is a whole URL, and a reference is the same. A path is the URL without its scheme: `host/folder/file`. It depends on
nothing else in the list, so that a line more does not move the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pyarrow as pa
from anyio import to_thread

from asyncref import uri as uris
from asyncref.backends.base import Body, Traits
from asyncref.backends.http import HttpBackend, open_http, urls
from asyncref.backends.http.settings import has_secrets
from asyncref.backends.http.written import read_list
from asyncref.errors import InvalidURIError, OptionError, UnsupportedError
from asyncref.model import PAGE_SCHEMA, Cursor, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

__all__ = ["UrlList", "open_urls"]


class UrlList:
    """A list of URLs; see `Backend` for what each method does.

    Args:
        path: The list, and after `?column=` the column that holds the URLs.
        options: Of HTTP servers. Credentials for a list that names several servers stand under the server's own
            key, such as `https://host`.
        limits: Bounds.
    """

    traits: Final = Traits(
        hierarchical=True,
        ordered=False,
        ranged=False,
        listing_pins=False,
        listing_proves=False,
        page_rows=10_000,
        concurrency=HttpBackend.traits.concurrency,
        folder_markers=False,
        prices_requests=False,
    )

    def __init__(self, path: str, options: Mapping[str, Any], limits: Limits) -> None:
        self._container = path
        self._path, _, column = path.partition("?column=")
        self._column = column or None
        self._options, self._limits = options, limits
        self._servers: dict[tuple[str, str], HttpBackend] = {}
        self._keys: list[str] = []
        self._refused: tuple[str, ...] = ()

    def source(self, reference: Reference) -> Source:
        """The record of the list."""
        return Source(uri=str(reference), scheme="urls", container=self._container)

    def reference(self, key: str) -> str:
        """The URL itself."""
        return key

    def path_of(self, key: str) -> str:
        """The URL without its scheme and its escapes."""
        server, _, rest = key.partition("://")[2].partition("/")
        return f"{server}/{urls.path_of(rest)}"

    def digest_by_name(self, key: str) -> str:
        """The URL, as in W&B."""
        return key

    async def versioning(self) -> bool | None:
        """HTTP servers keep no versions."""
        return False

    async def list_page(self, request: ListRequest) -> Page:
        """Part of the list, which is read once, in its own order; memory is the list's.

        Raises:
            ContainerNotFoundError: No such file.
            InvalidURIError: A line that is no URL; names it.
            UnsupportedError: `request.versions`.
        """
        if request.versions:
            raise self._no_versions(request.prefix)
        if request.cursor is None:
            await to_thread.run_sync(self._read)
        start = int(request.cursor.marker) if request.cursor else 0
        keys = self._keys[start : start + request.limit]
        stop = start + len(keys)
        arrays = [pa.array(keys, pa.string()), *(pa.nulls(len(keys), column.type) for column in list(PAGE_SCHEMA)[1:])]
        return Page(
            batch=pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA),
            first=keys[0] if keys else None,
            last=keys[-1] if keys else None,
            cursor=Cursor(str(stop)) if stop < len(self._keys) else None,
            seen=len(keys),
            refused=() if request.cursor else self._refused,
        )

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """A HEAD."""
        server, inner = self._server(key)
        return await server.stat(inner, version)

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """HTTP servers keep no versions.

        Raises:
            UnsupportedError: Always.
        """
        del limit
        raise self._no_versions(key)

    @asynccontextmanager
    async def read(self, request: ReadRequest) -> AsyncIterator[Body]:
        """A GET."""
        server, inner = self._server(request.key)
        asked = ReadRequest(inner, request.start, request.stop, request.version, request.if_match)
        async with server.read(asked) as body:
            yield body

    async def aclose(self) -> None:
        """Close the pool of every server. Idempotent."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            await server.aclose()

    def _read(self) -> None:
        uri = f"urls://{self._container}"
        fit: dict[str, None] = {}
        refused: dict[str, None] = {}
        for text, place in read_list(self._path, self._column, uri=uri):
            try:
                reference = uris.parse(text)
            except InvalidURIError as error:
                raise InvalidURIError(f"{place} cannot be kept: {error}", uri=uri) from error
            if reference.scheme not in ("http", "https"):
                raise InvalidURIError(f"{place} is no http or https URL: {text!r}", uri=uri)
            key = f"{reference.scheme}://{reference.container}/{urls.typed(reference.key)}"
            reason = self._unfit(key)
            if reason is None:
                fit[key] = None
            else:
                refused[f"{key} ({reason})"] = None
        self._keys, self._refused = list(fit), tuple(refused)

    def _unfit(self, key: str) -> str | None:
        """Why a URL cannot be an entry."""
        if urls.is_folder(key.partition("?")[0]):
            return "a folder, not a file"
        try:
            self.path_of(key)
        except ValueError:
            return "a name that no path can hold"
        return None

    def _server(self, key: str) -> tuple[HttpBackend, str]:
        """The server of a URL, and the URL's key there.

        Raises:
            OptionError: Credentials for all of several servers.
        """
        scheme, _, rest = key.partition("://")
        host, _, inner = rest.partition("/")
        server = self._servers.get((scheme, host))
        if server is None:
            if self._servers and has_secrets(self._options):
                raise OptionError(
                    "the list names several servers, and credentials were given for all of them",
                    uri=f"urls://{self._container}",
                    hint=f"give them by server: {{'{scheme}://{host}': {{...}}}}",
                )
            server = open_http(Reference(scheme, host, ""), self._options, self._limits)
            self._servers[scheme, host] = server
        return server, inner

    def _no_versions(self, key: str) -> UnsupportedError:
        return UnsupportedError("HTTP servers keep no versions", uri=key)


def open_urls(reference: Reference, options: Mapping[str, Any], limits: Limits) -> UrlList:
    """The opener of `urls://`; nothing is read.

    Raises:
        OptionError: See `asyncref.backends.http.settings.read_settings`; when a server is first asked.
    """
    return UrlList(reference.container, options, limits)
