"""What Google Cloud Storage's answers mean: one table from its reasons and statuses to our errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from asyncref import errors
from asyncref.errors import AsyncrefError
from asyncref.net.dates import pause_s

_SLOW: Final = "the server asks to slow down"
_DENIED: Final = "access denied to bucket {bucket!r}: {action} is needed"
_FAILED: Final = "the server failed: {message}"
_NO_BUCKET: Final = (errors.ContainerNotFoundError, "no such bucket: {bucket!r}")
_THROTTLED: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded"})
_BY_STATUS: Final[dict[int, tuple[type[AsyncrefError], str]]] = {
    401: (errors.CredentialsError, "the server does not accept the credentials: {action} on bucket {bucket!r}"),
    403: (errors.AccessDeniedError, _DENIED),
    404: (errors.NotFoundError, "no such object"),
    407: (errors.AccessDeniedError, "the proxy wants a user and a password"),
    408: (errors.ServerError, _FAILED),
    412: (errors.ChangedError, "the object is not what it was"),
    416: (errors.ChangedError, "the object is shorter than it was"),
    429: (errors.ThrottledError, _SLOW),
    501: (errors.UnsupportedError, "the server does not offer this call: {message}"),
    503: (errors.ThrottledError, _SLOW),
}
_PAYS: Final = "storage_options={'requester_pays': True, 'project': ...} names the project that pays"
_LOG_IN: Final = "give token=, set GOOGLE_APPLICATION_CREDENTIALS or run gcloud auth application-default login"
_MESSAGE_MOST: Final = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was for, as its error has to say it.

    Attributes:
        uri: The object or the bucket.
        bucket: Its bucket.
        action: The permission that the request needs, such as `storage.objects.list`.
        version: Whether a generation was named.
        bucket_call: Whether the bucket was asked and not an object.
    """

    uri: str
    bucket: str
    action: str
    version: bool = False
    bucket_call: bool = False


def request_id(headers: Mapping[str, str]) -> str | None:
    """Google's own id of a request."""
    return headers.get("x-guploader-uploadid")


def failure(status: int, headers: Mapping[str, str], body: bytes, asked: Asked, *, anon: bool) -> AsyncrefError:
    """The error for an answer that is none.

    Args:
        status: Its status; 200 for an error body under it.
        headers: Its headers.
        body: Its body: the JSON API's error document, or for media plain text.
        asked: What the request was for.
        anon: It was sent without credentials.
    """
    message, reason = _said(body)
    kind, text = _choose(status, message, reason, asked, anon=anon)
    said = text.format(bucket=asked.bucket, action=asked.action, message=message or f"status {status}")
    about: dict[str, Any] = {
        "uri": asked.uri,
        "request_id": request_id(headers),
        "code": reason or f"status {status}",
    }
    if kind is errors.ThrottledError:
        return errors.ThrottledError(said, **about, retry_after_s=pause_s(headers))
    hint = _LOG_IN if anon and kind is errors.AccessDeniedError else None
    if "requester pays" in message:  # 400 "Bucket is a requester pays bucket but no user project provided."
        hint = _PAYS
    return kind(said, **about, hint=hint)


def _choose(
    status: int, message: str, reason: str | None, asked: Asked, *, anon: bool
) -> tuple[type[AsyncrefError], str]:
    if status == HTTPStatus.NOT_FOUND:
        if asked.bucket_call or "bucket does not exist" in message:
            return _NO_BUCKET
        return (errors.NotFoundError, "no such generation") if asked.version else _BY_STATUS[status]
    if reason in _THROTTLED:  # 403 or 429
        return _BY_STATUS[HTTPStatus.TOO_MANY_REQUESTS]
    if status == HTTPStatus.UNAUTHORIZED and anon:  # "Anonymous caller does not have ... access": no wrong credentials
        return _BY_STATUS[HTTPStatus.FORBIDDEN]
    if "requester pays" in message:
        return errors.AccessDeniedError, "bucket {bucket!r} is paid for by who asks"
    if status == HTTPStatus.FORBIDDEN and message and "denied" not in message and "does not have" not in message:
        return errors.AccessDeniedError, f"{_DENIED} ({{message}})"  # billing, an API not enabled, a perimeter
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.OK:
        return errors.ServerError, _FAILED
    return errors.ProtocolError, "the server refused the request: {message}"


def _said(body: bytes) -> tuple[str, str | None]:
    """Message and reason of an error document; what stands there where it is none."""
    try:
        error = orjson.loads(body)["error"]
        message, listed = str(error.get("message", "")), error.get("errors") or [{}]
        reason = listed[0].get("reason")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, LookupError):
        message, reason = body[:_MESSAGE_MOST].decode(errors="replace"), None
        if "<" in message:  # a proxy's page
            message = ""
    text = " ".join(message.split())[:_MESSAGE_MOST].replace("{", "(").replace("}", ")")
    return text, reason if isinstance(reason, str) else None
