"""Listings: one request, one page; the server's own markers, and exactly one latest version a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.s3 import page
from asyncref.backends.s3.access import Access, Call
from asyncref.backends.s3.answers import Asked, failure
from asyncref.backends.s3.page import Keep, Rows
from asyncref.backends.s3.shape import OddPageError
from asyncref.errors import BrokenBodyError, ProtocolError
from asyncref.model import Cursor, ListRequest, Page
from asyncref.texts import ascends

# First character of Cursor.state, before the last key: whether that key's latest version came.
_SEEN: Final = "1"
_OPEN: Final = "0"
_COUNT: Final = re.compile("[0-9]{1,9}")
_VERSION: Final = re.compile(rb"<VersionId>([^<]*)<")


async def list_page(access: Access, request: ListRequest) -> Page:
    """One page of ListObjectsV2 or ListObjectVersions; see `Backend.list_page`.

    Raises:
        BrokenBodyError: The page ends before its root element does; worth another try.
        ProtocolError: It contradicts itself.
    """
    asked = _asked(access, request)
    found = await access.page(Call(asked, query=query(request)), partial(_found, request=request, asked=asked))
    return await _page(access, request, asked, found)


async def page_and_body(access: Access, request: ListRequest, headers: Mapping[str, str]) -> tuple[Page, bytes]:
    """The same, with the answer as it came; `headers` are sent, too."""
    asked = _asked(access, request)
    reply = await access.fetch(Call(asked, query=query(request), headers=headers))
    return await _page(access, request, asked, _found(reply.headers, reply.body, request, asked)), reply.body


def _asked(access: Access, request: ListRequest) -> Asked:
    return Asked(
        uri=access.uri(request.prefix),
        bucket=access.bucket,
        action="s3:ListBucketVersions" if request.versions else "s3:ListBucket",
        bucket_call=True,
    )


class _Found(NamedTuple):
    """What was read of an answer.

    Attributes:
        rows: Its rows.
        body_bytes: Its length.
        first_version: The first version id as it stands in a page of one key, to tell the page from others; no more is made
            of it.
    """

    rows: Rows
    body_bytes: int
    first_version: str | None


def _found(headers: Mapping[str, str], body: memoryview | bytes, request: ListRequest, asked: Asked) -> _Found:
    rows = read(headers, body, _kept(request), asked)
    version = None
    if request.versions and len(rows.keys) and rows.keys[0] == rows.keys[-1] and (first := _VERSION.search(body)):
        version = first[1].decode(errors="replace")
    return _Found(rows, len(body), version)


async def _page(access: Access, request: ListRequest, asked: Asked, found: _Found) -> Page:
    rows = found.rows
    if request.versions and _goes_on_with_a_latest(rows, request.cursor):
        if _repeats_marker(rows, request.cursor):
            rows = rows.without_first()
        elif await _is_newest_now(access, rows, asked):
            rows = rows.with_first_older(dropped=request.at is None)
    cursor = _next_versions(rows, request, asked) if request.versions else _next_objects(rows, request, asked)
    count = len(rows.keys)
    first, last = (rows.keys[0].as_py(), rows.keys[-1].as_py()) if count else (None, None)
    return Page(
        batch=rows.batch,
        first=first,
        last=last,
        cursor=cursor,
        seen=count,
        body_bytes=found.body_bytes,
        encoded=_encoded(rows),
        ascends=rows.ascends,
        claimed=int(said) if _COUNT.fullmatch(said := rows.envelope.get("KeyCount", "")) else 0,
        first_version=found.first_version,
    )


def _encoded(rows: Rows) -> bool | None:
    """Whether keys were encoded; None where none holds what an encoding would show."""
    if rows.envelope.get("EncodingType") == "url":
        return True
    data = rows.keys.buffers()[2]
    raw = data.to_pybytes() if data is not None else b""  # 5 µs a page; Arrow's matching took 60
    return False if b"%" in raw or b"+" in raw else None


def _kept(request: ListRequest) -> Keep:
    if not request.versions:
        return "objects"
    return "latest" if request.at is None else "all"


def query(request: ListRequest) -> dict[str, str]:
    """The parameters of one page's request."""
    parameters = {"prefix": request.prefix, "max-keys": str(request.limit), "encoding-type": "url"}
    after, cursor = request.keys.after, request.cursor
    if request.versions:
        parameters["versions"] = ""
        if cursor is not None:
            parameters["key-marker"] = cursor.marker
            if cursor.version_marker:
                parameters["version-id-marker"] = cursor.version_marker
        elif after:
            parameters["key-marker"] = after
        return parameters
    parameters["list-type"] = "2"
    if cursor is not None:
        parameters["continuation-token"] = cursor.marker
    elif after:
        parameters["start-after"] = after
    return parameters


def read(headers: Mapping[str, str], body: memoryview | bytes, keep: Keep, asked: Asked) -> Rows:
    """The rows of an answer of status 200.

    Raises:
        BrokenBodyError: Cut before its end.
        ProtocolError: Not such a page.
        RetryableError: An error body under status 200.
    """
    try:
        return page.read(body, keep)
    except OddPageError as error:
        if page.root_of(body) == b"Error":
            raise failure(HTTPStatus.OK, headers, bytes(body), asked) from None
        request_id = headers.get("x-amz-request-id")
        if not page.is_whole(body):
            raise BrokenBodyError("the page was cut before its end", uri=asked.uri, request_id=request_id) from None
        raise ProtocolError(f"the page cannot be used: {error}", uri=asked.uri, request_id=request_id) from error


def _goes_on_with_a_latest(rows: Rows, cursor: Cursor | None) -> bool:
    """Whether a page starts with a latest version of the key of which the former one has shown one already."""
    if cursor is None or cursor.state is None or rows.latest is None or not rows.latest[:1].any():
        return False
    return cursor.state == f"{_SEEN}{rows.keys[0].as_py()}"


def _repeats_marker(rows: Rows, cursor: Cursor | None) -> bool:
    """Whether that is the very one that the former page ended with.

    Markers exclude what they name on AWS; some servers include it.
    """
    version = _first_version_of(rows)
    return version is not None and cursor is not None and version == cursor.version_marker


async def _is_newest_now(access: Access, rows: Rows, asked: Asked) -> bool:
    """Whether that is the key's newest version by now, since those before it were removed between the two pages.

    One more request, in a case that a bucket seldom comes to: it tells a change from a server that contradicts itself.
    """
    key = rows.keys[0].as_py()
    call = Call(asked, query=query(ListRequest(prefix=key, limit=1, versions=True)))
    now = await access.page(call, partial(read, keep="all", asked=asked))
    if now.latest is None or not now.latest[:1].any() or now.keys[0].as_py() != key:
        return False
    return _first_version_of(rows) == _first_version_of(now)


def _first_version_of(rows: Rows) -> str | None:
    """The version of a page's first row, which is a latest one; None if that is a delete marker."""
    batch = rows.batch
    if not batch.num_rows or batch.column("key")[0].as_py() != rows.keys[0].as_py():
        return None
    version: str | None = batch.column("version")[0].as_py()
    return version if batch.column("size")[0].is_valid else None


def _next_objects(rows: Rows, request: ListRequest, asked: Asked) -> Cursor | None:
    if rows.envelope["IsTruncated"] == "false":
        return None
    token = rows.envelope.get("NextContinuationToken")
    if not token:
        raise ProtocolError("the server says that more follows, and gives no token", uri=asked.uri)
    if request.cursor is not None and token == request.cursor.marker:
        raise ProtocolError("the listing does not advance: the same token again", uri=asked.uri)
    return Cursor(token)


def _next_versions(rows: Rows, request: ListRequest, asked: Asked) -> Cursor | None:
    truncated = rows.envelope["IsTruncated"] == "true"
    state = _check_latest(rows, request, asked, truncated=truncated)
    following = _following(rows, request, asked)
    return None if following is None else Cursor(following.marker, following.version_marker, state)


def _following(rows: Rows, request: ListRequest, asked: Asked) -> Cursor | None:
    """The server's two markers; None where nothing follows."""
    if rows.envelope["IsTruncated"] == "false":
        return None
    marker = rows.envelope.get("NextKeyMarker")
    version = rows.envelope.get("NextVersionIdMarker") or None
    if not marker:
        raise ProtocolError("the server says that more follows, and gives no marker", uri=asked.uri)
    former = request.cursor
    if former is not None and (marker, version) == (former.marker, former.version_marker):
        raise ProtocolError("the listing does not advance: the same markers again", uri=asked.uri)
    return Cursor(marker, version)


def _check_latest(rows: Rows, request: ListRequest, asked: Asked, *, truncated: bool) -> str | None:
    """Hold every key to exactly one latest version; what the next page has to know of the last key.

    The key that the range starts after is none of the range's: after it as a marker AWS sends none of its
    versions, Ceph all, moto all but the latest.
    """
    state = request.cursor.state if request.cursor is not None else None
    carried_key, carried = (state[1:], state[0] == _SEEN) if state else (None, False)
    if rows.latest is None or not len(rows.latest):
        if carried_key is not None and not carried and not truncated:
            raise _latest_error(carried_key, 0, asked)
        return state if truncated else None
    keys = rows.keys
    starts_anew = carried_key is None or (carried and keys[0].as_py() != carried_key)
    if starts_anew and (rows.ascends or (rows.latest.all() and ascends(keys))):  # most pages: one version a key
        return f"{_SEEN}{keys[-1].as_py()}" if truncated else None
    new = np.ones(len(keys), np.bool_)
    new[1:] = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(new)
    counts = np.add.reduceat(rows.latest, starts, dtype=np.int64)
    if carried_key is not None:
        if keys[0].as_py() == carried_key:
            counts[0] += carried
        elif not carried:
            raise _latest_error(carried_key, 0, asked)
    wrong = counts != 1
    wrong[0] &= keys[0].as_py() != request.keys.after
    if truncated and counts[-1] == 0:
        wrong[-1] = False  # its versions may go on
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise _latest_error(keys[int(starts[at])].as_py(), int(counts[at]), asked)
    return f"{_SEEN if counts[-1] else _OPEN}{keys[-1].as_py()}" if truncated else None


def _latest_error(key: str, count: int, asked: Asked) -> ProtocolError:
    return ProtocolError(f"the server names {count} latest versions of {key!r}, not one", uri=asked.uri)


async def history(access: Access, key: str, limit: int) -> pa.RecordBatch:
    """Versions of exactly one key, newest first, delete markers left out; see `Backend.history`.

    Mostly one request; Ceph cuts pages short inside a key with many versions (312 of 1,500 in the first), so
    its markers are followed.
    """
    asked = Asked(uri=access.uri(key), bucket=access.bucket, action="s3:ListBucketVersions", bucket_call=True)
    batches: list[pa.RecordBatch] = []
    cursor: Cursor | None = None
    found = 0
    while True:
        request = ListRequest(prefix=key, limit=limit, versions=True, cursor=cursor)
        call = Call(asked, query=query(request))
        rows = await access.page(call, partial(read, keep="stored", asked=asked))
        batch = rows.batch.filter(pc.equal(rows.batch.column("key"), pa.scalar(key)))
        batches.append(batch)
        found += batch.num_rows
        cursor = _following(rows, request, asked)
        if cursor is None or cursor.marker != key or found >= limit:
            return pa.concat_batches(batches).slice(0, limit)
