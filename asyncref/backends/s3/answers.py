"""What S3's answers mean: one table from its error codes and statuses to our errors."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from asyncref import errors
from asyncref.errors import AsyncrefError
from asyncref.net.dates import pause_s

_ELEMENT: Final = re.compile(r"<(Code|Message|RequestId|Region)>([^<]*)</\1>")

_KEYS: Final = "{action} on bucket {bucket!r} was denied: the server does not accept the credentials"
_GONE: Final = "no such object"
_DENIED: Final = "access denied to bucket {bucket!r}: {action} is needed"
_SLOW: Final = "the server asks to slow down"
_FAILED: Final = "the server failed: {message}"

_BY_CODE: Final[dict[str, tuple[type[AsyncrefError], str]]] = {
    "AccessDenied": (errors.AccessDeniedError, _DENIED),
    "AllAccessDisabled": (errors.AccessDeniedError, _DENIED),
    "InvalidAccessKeyId": (errors.CredentialsError, _KEYS),
    "SignatureDoesNotMatch": (errors.CredentialsError, _KEYS),
    "ExpiredToken": (errors.CredentialsError, _KEYS),
    "InvalidToken": (errors.CredentialsError, _KEYS),
    "TokenRefreshRequired": (errors.CredentialsError, _KEYS),
    "InvalidSecurity": (errors.CredentialsError, _KEYS),
    "AuthFailure": (errors.CredentialsError, _KEYS),
    "MissingSecurityHeader": (errors.CredentialsError, _KEYS),
    "RequestTimeTooSkewed": (errors.CredentialsError, "this machine's clock and the server's differ too much"),
    "NoSuchBucket": (errors.ContainerNotFoundError, "no such bucket: {bucket!r}"),
    "NoSuchAccessPoint": (errors.ContainerNotFoundError, "no such access point: {bucket!r}"),
    "InvalidBucketName": (errors.ContainerNotFoundError, "no bucket can be called {bucket!r}"),
    "NoSuchKey": (errors.NotFoundError, _GONE),
    "NoSuchVersion": (errors.NotFoundError, "no such version"),
    "PreconditionFailed": (errors.ChangedError, "the object is not what it was"),
    "InvalidRange": (errors.ChangedError, "the object is shorter than it was"),
    "InvalidObjectState": (errors.ArchivedError, "the object lies in an archive tier"),
    "NotImplemented": (errors.UnsupportedError, "the server does not offer this call: {message}"),
    "SlowDown": (errors.ThrottledError, _SLOW),
    "ServiceUnavailable": (errors.ThrottledError, _SLOW),
    "Throttling": (errors.ThrottledError, _SLOW),
    "ThrottlingException": (errors.ThrottledError, _SLOW),
    "RequestLimitExceeded": (errors.ThrottledError, _SLOW),
    "RequestThrottled": (errors.ThrottledError, _SLOW),
    "TooManyRequests": (errors.ThrottledError, _SLOW),
    "BandwidthLimitExceeded": (errors.ThrottledError, _SLOW),
    "InternalError": (errors.ServerError, _FAILED),
    "InternalFailure": (errors.ServerError, _FAILED),
    "RequestTimeout": (errors.ServerError, _FAILED),
    "OperationAborted": (errors.ServerError, _FAILED),
}
_BY_STATUS: Final[dict[int, tuple[type[AsyncrefError], str]]] = {
    401: (errors.CredentialsError, _KEYS),
    403: (errors.AccessDeniedError, _DENIED),
    404: (errors.NotFoundError, _GONE),
    407: (errors.AccessDeniedError, "the proxy wants a user and a password"),
    408: (errors.ServerError, _FAILED),
    409: (errors.ServerError, _FAILED),
    412: (errors.ChangedError, "the object is not what it was"),
    416: (errors.ChangedError, "the object is shorter than it was"),
    429: (errors.ThrottledError, _SLOW),
    501: (errors.UnsupportedError, "the server does not offer this call: {message}"),
    503: (errors.ThrottledError, _SLOW),
}
_HINTS: Final[dict[str, str]] = {
    "InvalidObjectState": "restore it first (aws s3api restore-object), wait until that is done, then try again",
    "RequestTimeTooSkewed": "set this machine's clock",
    "ExpiredToken": "get a new session token",
}


class Asked(NamedTuple):
    """What a request was for, as its error has to say it.

    Attributes:
        uri: The object or the bucket.
        bucket: Its bucket.
        action: The permission that the request needs, such as `s3:ListBucket`.
        version: Whether a version was named.
        bucket_call: Whether the bucket was asked and not an object.
    """

    uri: str
    bucket: str
    action: str
    version: bool = False
    bucket_call: bool = False


def elements(body: bytes) -> dict[str, str]:
    """Code, message, request id and region of an error body; whatever of them there is."""
    text = body[:8192].decode(errors="replace")
    return {name: html.unescape(value) for name, value in _ELEMENT.findall(text)}


def region_of(headers: Mapping[str, str], body: bytes) -> str | None:
    """The region that an answer names as the bucket's."""
    return headers.get("x-amz-bucket-region") or elements(body).get("Region") or None


def failure(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> AsyncrefError:
    """The error for an answer that is none.

    Args:
        status: Its status; 200 for an error body under it.
        headers: Its headers.
        body: Its body; empty for a HEAD.
        asked: What the request was for.
    """
    said = elements(body)
    code = said.get("Code")
    request_id = headers.get("x-amz-request-id") or said.get("RequestId")
    kind, message = _choose(status, code, asked)
    text = message.format(
        bucket=asked.bucket, action=asked.action, message=said.get("Message") or code or f"status {status}"
    )
    if kind is errors.ThrottledError:
        return errors.ThrottledError(
            text, uri=asked.uri, request_id=request_id, code=code, retry_after_s=pause_s(headers)
        )
    hint = _HINTS.get(code or "")
    return kind(text, uri=asked.uri, request_id=request_id, code=code or f"status {status}", hint=hint)


def _choose(status: int, code: str | None, asked: Asked) -> tuple[type[AsyncrefError], str]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == HTTPStatus.NOT_FOUND and asked.bucket_call:
        return _BY_CODE["NoSuchBucket"]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # S3's answer to the version id of a delete marker
        gone = (errors.NotFoundError, "this version is a delete marker")
        return gone if asked.version else _BY_STATUS[HTTPStatus.NOT_IMPLEMENTED]
    if status == HTTPStatus.BAD_REQUEST and asked.version and code in {None, "InvalidArgument"}:
        return errors.NotFoundError, "no such version: {message}"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.OK:
        return errors.ServerError, _FAILED
    return errors.ProtocolError, "the server refused the request: {message}"
