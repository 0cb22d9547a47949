"""What an HTTP server's answers mean: one table from statuses to our errors, and the headers that pin a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from asyncref import errors
from asyncref.errors import AsyncrefError
from asyncref.model import Answer, Pin
from asyncref.net.dates import pause_s
from asyncref.net.stretches import length_of, stretch_of

FOLDER: Final = "folder"
"""The `code` of a `NotFoundError` where a folder lies in a file's stead."""

_EMPTY: Final = re.compile(r"bytes \*/(\d+)")
_LOG_IN: Final = "storage_options: username and password, token, or headers"
_TABLE: Final[dict[int, tuple[type[AsyncrefError], str, str | None]]] = {
    401: (errors.CredentialsError, "the server wants to know who asks", _LOG_IN),
    402: (errors.AccessDeniedError, "the server wants to be paid", None),
    403: (errors.AccessDeniedError, "access denied", None),
    404: (errors.NotFoundError, "nothing there", None),
    405: (errors.UnsupportedError, "the server does not offer this", None),
    407: (errors.AccessDeniedError, "the proxy wants a user and a password", None),
    408: (errors.ServerError, "the server waited too long for the request", None),
    410: (errors.NotFoundError, "gone for good, says the server", None),
    412: (errors.ChangedError, "the file is not what it was", None),
    416: (errors.ChangedError, "the file is shorter than it was", None),
    425: (errors.ServerError, "the server does not want to answer yet", None),
    429: (errors.ThrottledError, "the server asks to slow down", None),
    451: (errors.AccessDeniedError, "access denied for legal reasons", None),
    501: (errors.UnsupportedError, "the server does not offer this", None),
    503: (errors.ThrottledError, "the server is busy", None),
}
_NO_INDEX_HINT: Final = (
    "the server may list no folders here (autoindex), or want credentials; a list of URLs can be scanned"
)


def failure(status: int, headers: Mapping[str, str], *, uri: str, folder: bool) -> AsyncrefError:
    """The error for an answer that is none.

    Args:
        status: Its status.
        headers: Its headers.
        uri: What was asked for.
        folder: Whether an index page was asked for.
    """
    request_id = headers.get("X-Request-Id") or headers.get("CF-Ray")
    code = f"status {status}"
    if status in _TABLE:
        kind, message, hint = _TABLE[status]
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind, message, hint = errors.ServerError, "the server failed", None
    else:
        kind, message, hint = errors.ProtocolError, "the server refused the request", None
    if kind is errors.ThrottledError:
        return errors.ThrottledError(message, uri=uri, request_id=request_id, code=code, retry_after_s=pause_s(headers))
    if folder and kind is errors.NotFoundError:
        kind, message = errors.ContainerNotFoundError, f"no such folder: {message}"
    if folder and status == HTTPStatus.FORBIDDEN:
        hint = _NO_INDEX_HINT
    return kind(message, uri=uri, request_id=request_id, code=code, hint=hint)


def pin_of(status: int, headers: Mapping[str, str], *, uri: str) -> Pin:
    """The pin that a HEAD (or the first byte of a GET) tells of.

    W&B's digest is the ETag without quotes, a weak one's `W/` left on; without an ETag it is the URL. Then the
    Last-Modified stands in as the version: weak, but it tells a change that the URL does not.
    """
    etag = headers.get("ETag") or None
    stamp = headers.get("Last-Modified") or None
    return Pin(
        size=_size(status, headers, uri),
        etag=etag,
        version=None if etag else stamp,
        digest=etag.strip('"') if etag else None,
        modified=moment(stamp),
    )


def answer_of(status: int, headers: Mapping[str, str], *, uri: str) -> Answer:
    """What the answer to a GET says it sends."""
    etag = headers.get("ETag") or None
    return Answer(
        *stretch_of(status, headers, uri=uri),
        etag=etag,
        version=None if etag else headers.get("Last-Modified") or None,
        request_id=headers.get("X-Request-Id") or headers.get("CF-Ray"),
    )


def ends_by_itself(headers: Mapping[str, str]) -> bool:
    """Whether the end of a body is marked, by a length or by chunks; else a cut looks like the end."""
    return length_of(headers) is not None or "chunked" in headers.get("Transfer-Encoding", "").lower()


def moment(stamp: str | None) -> datetime | None:
    """An HTTP date; None if it is none."""
    try:
        return parsedate_to_datetime(stamp).astimezone(UTC) if stamp else None
    except (TypeError, ValueError, OverflowError):
        return None


def _size(status: int, headers: Mapping[str, str], uri: str) -> int | None:
    if status == HTTPStatus.OK:
        return length_of(headers)
    empty = _EMPTY.fullmatch(headers.get("Content-Range", "").strip())
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and empty is not None:
        return int(empty[1])
    return stretch_of(HTTPStatus.PARTIAL_CONTENT, headers, uri=uri).total
