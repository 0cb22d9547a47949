"""What S3 writes around a page's entries, and its errors: heads, feet, headers, as AWS sends them."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

Pieces = list[bytes | memoryview]

_XML: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_REASONS: Final = {
    200: b"OK",
    206: b"Partial Content",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    412: b"Precondition Failed",
    416: b"Requested Range Not Satisfiable",
    501: b"Not Implemented",
    503: b"Slow Down",
}


def response(status: int, pieces: Pieces, *, content_type: bytes = b"application/xml", extra: bytes = b"") -> Pieces:
    """A whole HTTP answer: header block, then the body's pieces, not copied.

    Args:
        status: HTTP status.
        pieces: The body.
        content_type: Its type.
        extra: Further header lines, each ended by CRLF. A Content-Length in it (HEAD) replaces the body's own.
    """
    length = b"" if b"Content-Length:" in extra else b"Content-Length: %d\r\n" % sum(map(len, pieces))
    head = b"HTTP/1.1 %d %b\r\nx-amz-request-id: BENCH0000000001\r\nServer: AmazonS3\r\nContent-Type: %b\r\n%b%b\r\n" % (
        status, _REASONS[status], content_type, length, extra,
    )  # fmt: skip
    return [head, *pieces]


def error(status: int, code: str, message: str, *, extra: bytes = b"") -> Pieces:
    """An S3 error document."""
    text = (
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>BENCH0000000001</RequestId></Error>"
    )
    return response(status, [_XML + text.encode()], extra=extra)


def shown(value: bytes, *, url_form: bool) -> bytes:
    """A key or prefix as it stands in an answer's head."""
    return quote_plus(value, safe="/").encode() if url_form else escape(value.decode()).encode()


def list_page(
    bucket: bytes, prefix: bytes, body: memoryview, *, rows: int, most: int, token: bytes | None, url_form: bool
) -> Pieces:
    """A ListObjectsV2 answer. `token` continues the listing; None ends it."""
    following = b"<NextContinuationToken>%b</NextContinuationToken>" % token if token else b""
    head = b"%b<ListBucketResult%b><Name>%b</Name><Prefix>%b</Prefix>%b<KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys>%b%b" % (
        _XML, _NAMESPACE, bucket, shown(prefix, url_form=url_form), following, rows, most,
        b"<EncodingType>url</EncodingType>" if url_form else b"", _truncated(token is not None),
    )  # fmt: skip
    return response(200, [head, body, b"</ListBucketResult>"])


def versions_page(
    bucket: bytes,
    prefix: bytes,
    body: memoryview,
    *,
    marker: tuple[bytes, bytes],
    following: tuple[bytes, bytes] | None,
    most: int,
    url_form: bool,
) -> Pieces:
    """A ListObjectVersions answer. `following` is the next key marker as it stands in the entry, and version id."""
    after = b""
    if following:
        after = b"<NextKeyMarker>%b</NextKeyMarker><NextVersionIdMarker>%b</NextVersionIdMarker>" % following
    head = (
        b"%b<ListVersionsResult%b><Name>%b</Name><Prefix>%b</Prefix><KeyMarker>%b</KeyMarker>"
        b"<VersionIdMarker>%b</VersionIdMarker>%b<MaxKeys>%d</MaxKeys>%b%b"
    ) % (
        _XML, _NAMESPACE, bucket, shown(prefix, url_form=url_form), shown(marker[0], url_form=url_form), marker[1],
        after, most, b"<EncodingType>url</EncodingType>" if url_form else b"", _truncated(following is not None),
    )  # fmt: skip
    return response(200, [head, body, b"</ListVersionsResult>"])


def versioning(*, enabled: bool) -> Pieces:
    """A GetBucketVersioning answer."""
    status = b"<Status>Enabled</Status>" if enabled else b""
    return response(200, [b"%b<VersioningConfiguration%b>%b</VersioningConfiguration>" % (_XML, _NAMESPACE, status)])


def location() -> Pieces:
    """A GetBucketLocation answer: us-east-1, which S3 writes as nothing."""
    return response(200, [b"%b<LocationConstraint%b/>" % (_XML, _NAMESPACE)])


def _truncated(value: bool) -> bytes:
    return b"<IsTruncated>true</IsTruncated>" if value else b"<IsTruncated>false</IsTruncated>"
