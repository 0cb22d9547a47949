"""Listings: one request, one page; and the generations of one object."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.gcs.access import Access, Call
from asyncref.backends.gcs.answers import Asked, request_id
from asyncref.backends.gcs.page import FIELDS, PAST_FIELDS, OddPageError, Rows, read
from asyncref.errors import BrokenBodyError, ProtocolError
from asyncref.model import Cursor, ListRequest, Page
from asyncref.net.http import Reply

_PLAIN: Final = {"prettyPrint": "false", "fields": FIELDS}
_MOST: Final = 1000


async def list_page(access: Access, request: ListRequest) -> Page:
    """One page of objects.list; see `Backend.list_page`.

    A range starts at `startOffset`, which includes its key, so that key is left out here: `after` plus a NUL would
    do as well, but no server has to take a NUL. No `endOffset` is sent: the first rows behind a range prove
    that ranges join, and a range's end may move while it is listed.

    Raises:
        BrokenBodyError: The page ends too early; worth another try.
        ProtocolError: It contradicts itself.
    """
    asked = _asked(access, request.prefix)
    after, cursor = request.keys.after, request.cursor
    query = {**_PLAIN, "prefix": request.prefix, "maxResults": str(request.limit)}
    if request.at is not None:
        query |= {"versions": "true", "fields": PAST_FIELDS}
    if request.folders:
        query |= {"delimiter": "/", "fields": f"prefixes,{query['fields']}"}
    start = after if cursor is None else cursor.state
    if start:
        query["startOffset"] = start
    if cursor is not None:
        query["pageToken"] = cursor.marker
    reply = await access.fetch(Call(asked, query=query))
    rows = _rows(reply, asked)
    if cursor is not None and rows.token == cursor.marker:
        raise ProtocolError("the listing does not advance: the same token again", uri=asked.uri)
    batch = rows.batch
    kept = batch if request.at is None else _there(rows, request.at)
    if start is not None and _key(batch, 0) == start:
        batch, kept = _behind(batch, start), _behind(kept, start)
    return Page(
        batch=kept,
        first=_key(batch, 0),
        last=_key(batch, -1),
        cursor=Cursor(rows.token, state=start) if rows.token else None,
        folders=rows.folders,
        seen=batch.num_rows,
        body_bytes=len(reply.body),
    )


def _there(rows: Rows, at: datetime) -> pa.RecordBatch:
    """The rows that were not yet overwritten or deleted at a moment; the engine leaves out those that came later."""
    if rows.deleted is None:
        return rows.batch
    gone = pc.less_equal(rows.deleted, pa.scalar(at, rows.deleted.type))
    return rows.batch.filter(pc.invert(pc.fill_null(gone, False)))


def _behind(batch: pa.RecordBatch, start: str) -> pa.RecordBatch:
    """Without the rows of the key that a range starts behind: one, or its generations."""
    return batch.filter(pc.not_equal(batch.column(0), pa.scalar(start)))


def _key(batch: pa.RecordBatch, at: int) -> str | None:
    return batch.column(0)[at].as_py() if batch.num_rows else None


async def history(access: Access, key: str, limit: int) -> pa.RecordBatch:
    """All generations of exactly one object, newest first; see `Backend.history`.

    Every page of them is read, since they come in no order that is documented.

    Raises:
        ProtocolError: The listing does not advance, as fake-gcs-server's with `versions=true` and pages.
    """
    asked = _asked(access, key)
    query = {**_PLAIN, "prefix": key, "versions": "true", "maxResults": str(min(limit, _MOST))}
    batches: list[pa.RecordBatch] = []
    seen: set[str] = set()
    while True:
        rows = _rows(await access.fetch(Call(asked, query=query)), asked)
        found = rows.batch.filter(pc.equal(rows.batch.column("key"), pa.scalar(key)))
        generations = found.column("version").to_pylist()
        if not seen.isdisjoint(generations) or (rows.token and rows.token == query.get("pageToken")):
            raise ProtocolError("the listing of generations does not advance", uri=asked.uri)
        seen.update(generations)
        batches.append(found)
        if rows.token is None or _key(rows.batch, -1) not in (None, key):
            return _newest_first(pa.concat_batches(batches)).slice(0, limit)
        query["pageToken"] = rows.token


def _newest_first(rows: pa.RecordBatch) -> pa.RecordBatch:
    """By generation, a number that only grows."""
    order = pc.array_sort_indices(rows.column("version").cast(pa.int64()), order="descending")
    return rows.take(order)


def _asked(access: Access, key: str) -> Asked:
    return Asked(uri=access.uri(key), bucket=access.bucket, action="storage.objects.list", bucket_call=True)


def _rows(reply: Reply, asked: Asked) -> Rows:
    try:
        return read(reply.body)
    except OddPageError as error:
        where = {"uri": asked.uri, "request_id": request_id(reply.headers)}
        if not reply.body.rstrip().endswith(b"}"):
            raise BrokenBodyError("the page ends before its end", **where) from error
        raise ProtocolError(f"the page cannot be used: {error}", **where) from error
