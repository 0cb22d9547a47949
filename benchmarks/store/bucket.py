"""Answers S3 requests from a rendered bucket: pure functions of the request; no sockets, no clock."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.store import wire
from benchmarks.store.render import BODY
from benchmarks.store.table import Table

NAME: Final = "bench"
_KEY: Final = re.compile(rb"<Key>([^<]*)</Key>")
_VERSION: Final = re.compile(rb"<VersionId>([^<]*)</VersionId>")
_PIN: Final = re.compile(rb"<LastModified>([^<]*)</LastModified><ETag>([^<]*)</ETag>.*<Size>(\d+)</Size>")
_RANGE: Final = re.compile(rb"bytes=(\d+)-(\d*)$")
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and what it was.

    Attributes:
        pieces: The HTTP answer.
        kind: `list`, `versions`, `head`, `get`, `versioning` or `other`.
        first: The first row sent, for the listings.
        rows: How many.
    """

    pieces: wire.Pieces
    kind: str
    first: int = 0
    rows: int = 0


class Bucket:
    """One synthetic bucket.

    Args:
        table: Its rendered rows.
        page_rows: Most rows a page, whatever is asked for.
        inclusive: Whether a key marker without a version marker gives its own key again, as Ceph's does.
    """

    def __init__(self, table: Table, *, page_rows: int = _MOST, inclusive: bool = False) -> None:
        self.table = table
        self.page_rows = page_rows
        self.inclusive = inclusive

    def answer(self, method: str, path: bytes, query: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Reply:
        """The answer to one request.

        Args:
            method: `GET` or `HEAD`.
            path: Decoded, from the first `/`.
            query: Decoded.
            headers: Names in lower case.
        """
        bucket, _, key = path[1:].partition(b"/")
        if bucket and bucket != NAME.encode():
            return Reply(wire.error(404, "NoSuchBucket", "The specified bucket does not exist"), "other")
        if method not in ("GET", "HEAD"):
            return Reply(wire.error(405, "MethodNotAllowed", "This bucket is read-only"), "other")
        if key:
            return self._object(method, key, query, headers)
        if method == "HEAD" or not bucket:
            return Reply(
                wire.response(200, [], extra=b"x-amz-bucket-region: us-east-1\r\nContent-Length: 0\r\n"), "other"
            )
        if "versioning" in query:
            return Reply(wire.versioning(enabled=self.table.spec.versioned), "versioning")
        if "location" in query:
            return Reply(wire.location(), "other")
        return self._listing(query)

    def _listing(self, query: Mapping[str, str]) -> Reply:
        if query.get("delimiter"):
            return Reply(wire.error(501, "NotImplemented", "This store knows no delimiter"), "other")
        if not (query.get("max-keys") or "0").isdigit():
            return Reply(wire.error(400, "InvalidArgument", "max-keys is no number"), "other")
        if ("versions" if "versions" in query else "list") not in self.table.spec.kinds:
            return Reply(wire.error(501, "NotImplemented", "This kind of listing was not rendered"), "other")
        if "versions" in query:
            return self._versions(query)
        if query.get("list-type") != "2":
            return Reply(wire.error(501, "NotImplemented", "This store knows ListObjectsV2, not ListObjects"), "other")
        return self._list(query)

    def _most(self, query: Mapping[str, str]) -> int:
        return min(int(query.get("max-keys") or _MOST), self.page_rows)

    def _list(self, query: Mapping[str, str]) -> Reply:
        prefix = query.get("prefix", "").encode()
        first, stop = self.table.rows_under("list", prefix)
        if token := query.get("continuation-token"):
            row = _row_of(token)
            if row is None:
                return Reply(wire.error(400, "InvalidArgument", "The continuation token provided is incorrect"), "list")
            first = max(first, row)
        elif after := query.get("start-after"):
            first = max(first, self.table.row_after("list", after.encode()))
        most = self._most(query)
        last = max(first, min(first + most, stop))
        url_form = query.get("encoding-type") == "url"
        body = self.table.entries("list", url_form=url_form).span(first, last)
        token_after = _token(last) if last < stop and most else None
        pieces = wire.list_page(
            NAME.encode(), prefix, body, rows=last - first, most=most, token=token_after, url_form=url_form
        )
        return Reply(pieces, "list", first, last - first)

    def _versions(self, query: Mapping[str, str]) -> Reply:
        prefix = query.get("prefix", "").encode()
        marker = query.get("key-marker", "").encode(), query.get("version-id-marker", "").encode()
        if marker[1] and not marker[0]:
            text = "A version-id marker cannot be specified without a key marker."
            return Reply(wire.error(400, "InvalidArgument", text), "versions")
        first, stop = self.table.rows_under("versions", prefix)
        try:
            first = max(first, self._after(*marker))
        except ValueError as unknown:
            return Reply(wire.error(400, "InvalidArgument", f"Invalid version id specified: {unknown}"), "versions")
        most = self._most(query)
        last = max(first, min(first + most, stop))
        url_form = query.get("encoding-type") == "url"
        entries = self.table.entries("versions", url_form=url_form)
        following = None
        if last < stop and most:
            entry = entries[last - 1]
            following = _group(_KEY, entry), _group(_VERSION, entry)
        pieces = wire.versions_page(
            NAME.encode(), prefix, entries.span(first, last),
            marker=marker, following=following, most=most, url_form=url_form,
        )  # fmt: skip
        return Reply(pieces, "versions", first, last - first)

    def _after(self, key: bytes, version: bytes) -> int:
        if version:
            return self.table.row_after_version(key, version)
        return self.table.row_after("versions", key, inclusive=self.inclusive) if key else 0

    def _object(self, method: str, key: bytes, query: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Reply:
        kind = "head" if method == "HEAD" else "get"
        if "versions" not in self.table.spec.kinds:
            return Reply(wire.error(501, "NotImplemented", "Objects were not rendered"), kind)
        start, stop = self.table.versions_of(key)
        version = query.get("versionId", "").encode()
        try:
            row = self.table.row_after_version(key, version) - 1 if version else start
        except ValueError:
            return Reply(wire.error(404, "NoSuchVersion", "The specified version does not exist."), kind)
        entry = self.table.entries("versions")[row] if start < stop else b""
        pin = _PIN.search(entry)
        if pin is None:
            marker = b"x-amz-delete-marker: true\r\n" if entry else b""
            if version:
                return Reply(wire.error(405, "MethodNotAllowed", "A delete marker has no bytes.", extra=marker), kind)
            return Reply(wire.error(404, "NoSuchKey", "The specified key does not exist.", extra=marker), kind)
        etag, size = pin[2].replace(b"&quot;", b'"'), int(pin[3])
        if headers.get(b"if-match", etag) not in (etag, b"*"):
            return Reply(wire.error(412, "PreconditionFailed", "The ETag differs."), kind)
        extra = b"ETag: %b\r\nAccept-Ranges: bytes\r\nx-amz-version-id: %b\r\n" % (etag, _group(_VERSION, entry))
        if method == "HEAD":
            extra += b"Content-Length: %d\r\n" % size
            return Reply(wire.response(200, [], content_type=b"binary/octet-stream", extra=extra), kind)
        return Reply(_content(size, headers.get(b"range"), extra), kind)


def _content(size: int, asked: bytes | None, extra: bytes) -> wire.Pieces:
    start, stop, status = 0, size, 200
    if asked and (bounds := _RANGE.match(asked)):
        start, stop, status = int(bounds[1]), min(int(bounds[2] or size - 1) + 1, size), 206
        if start >= size:
            return wire.error(416, "InvalidRange", "The requested range is not satisfiable")
        extra += b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, size)
    pieces: wire.Pieces = []
    view = memoryview(BODY)
    while start < stop:
        offset = start % len(BODY)
        piece = view[offset : offset + stop - start]
        pieces.append(piece)
        start += len(piece)
    return wire.response(status, pieces, content_type=b"binary/octet-stream", extra=extra)


def _group(pattern: re.Pattern[bytes], entry: bytes) -> bytes:
    found = pattern.search(entry)
    return found[1] if found else b""


def _token(row: int) -> bytes:
    """Opaque as S3's are, with the `+`, `/` and `=` that a client has to escape."""
    return b"1+/" + base64.b64encode(b"row:%d" % row) + b"="


def _row_of(token: str) -> int | None:
    try:
        text = base64.b64decode(token.removeprefix("1+/").removesuffix("=") + "==", validate=False)
        return int(text.removeprefix(b"row:")) if token.startswith("1+/") else None
    except ValueError:
        return None
