"""Listings: one List Blobs request, one page, by the server's own opaque markers."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.azure import page
from asyncref.backends.azure.access import Access, Call
from asyncref.backends.azure.answers import Asked
from asyncref.backends.azure.page import Rows
from asyncref.backends.azure.tags import OddPageError
from asyncref.errors import BrokenBodyError, ProtocolError
from asyncref.model import Cursor, ListRequest, Page

_NEEDS: Final = "listing needs the role Storage Blob Data Reader, or a SAS with permission l"


async def list_page(access: Access, request: ListRequest) -> Page:
    """One page; see `Backend.list_page`.

    Raises:
        BrokenBodyError: The page ends before its root element does; worth another try.
        ProtocolError: It contradicts itself, or its marker does not advance.
    """
    return (await page_and_body(access, request))[0]


async def page_and_body(access: Access, request: ListRequest) -> tuple[Page, bytes]:
    """The same, with the answer as it came."""
    asked = _asked(access, request.prefix)
    rows, body = await _ask(access, asked, request, stored=False)
    count = len(rows.keys)
    listed = Page(
        batch=rows.batch,
        first=rows.keys[0].as_py() if count else None,
        last=rows.keys[-1].as_py() if count else None,
        cursor=_following(rows, request, asked),
        folders=rows.folders,
        seen=count,
        body_bytes=len(body),
        skipped={"folder_marker": rows.stubs} if rows.stubs else {},
    )
    return listed, body


async def history(access: Access, key: str, limit: int) -> pa.RecordBatch:
    """Versions of exactly one key, newest first; see `Backend.history`.

    One request, unless the key has more than 5,000 versions. Azure lists the oldest first.
    """
    asked = _asked(access, key)
    request = ListRequest(prefix=key, limit=5000, versions=True)
    batches: list[pa.RecordBatch] = []
    while True:
        rows, _ = await _ask(access, asked, request, stored=True)
        batches.append(rows.batch.filter(pc.equal(rows.batch.column("key"), pa.scalar(key))))
        cursor = _following(rows, request, asked)
        if cursor is None or (len(rows.keys) and rows.keys[-1].as_py() > key):
            break
        request = ListRequest(prefix=key, limit=5000, versions=True, cursor=cursor)
    found = pa.concat_batches(batches)
    # Version ids are times in one form, so they sort as text. A blob without one is current, so the newest.
    versions: list[str | None] = found.column("version").to_pylist()
    order = sorted(range(len(versions)), key=lambda at: (versions[at] is None, versions[at] or ""), reverse=True)
    return found.take(pa.array(order[:limit], pa.int64()))


async def _ask(access: Access, asked: Asked, request: ListRequest, *, stored: bool) -> tuple[Rows, bytes]:
    reply = await access.fetch(Call(asked, query=query(request)))
    request_id = reply.headers.get("x-ms-request-id")
    if not page.is_whole(reply.body):
        raise BrokenBodyError("the page was cut before its end", uri=asked.uri, request_id=request_id)
    try:
        return page.read(reply.body, stored=stored), reply.body
    except OddPageError as error:
        raise ProtocolError(f"the page cannot be used: {error}", uri=asked.uri, request_id=request_id) from error


def query(request: ListRequest) -> dict[str, str]:
    """The parameters of one page's request. Metadata is asked for since it alone tells Hadoop's folder stubs."""
    parameters = {
        "restype": "container",
        "comp": "list",
        "maxresults": str(request.limit),
        "include": "metadata,versions" if request.versions else "metadata",
    }
    if request.prefix:
        parameters["prefix"] = request.prefix
    if request.folders:
        parameters["delimiter"] = "/"
    if request.cursor is not None:
        parameters["marker"] = request.cursor.marker
    return parameters


def _following(rows: Rows, request: ListRequest, asked: Asked) -> Cursor | None:
    if not rows.marker:
        return None
    if request.cursor is not None and rows.marker == request.cursor.marker:
        raise ProtocolError("the listing does not advance: the same marker again", uri=asked.uri)
    return Cursor(rows.marker)


def _asked(access: Access, prefix: str) -> Asked:
    return Asked(uri=access.uri(prefix), container=access.settings.container, needs=_NEEDS, of_container=True)
