"""Single objects: HEAD, and ranged, conditional GETs; what an answer says of itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from asyncref.backends.base import Body
from asyncref.backends.s3.access import Access, Call
from asyncref.backends.s3.answers import Asked
from asyncref.errors import NotFoundError, ProtocolError
from asyncref.model import Answer, Pin, ReadRequest
from asyncref.net.dates import date_s
from asyncref.net.response import Held
from asyncref.net.stretches import stretch_of

_CHECKSUMS: Final = ("sha256", "sha1", "crc32", "crc32c", "crc64nvme")  # those first that need no further library
_CHECKSUM_HEADERS: Final = frozenset(f"x-amz-checksum-{algorithm}" for algorithm in _CHECKSUMS)
_PARTIAL: Final = 206


async def stat(access: Access, key: str, version: str | None) -> Pin:
    """The pin of one object by a HEAD; see `Backend.stat`.

    No checksum is asked for: with KMS keys that needs a permission which a plain HEAD does not.
    """
    asked = _asked(access, key, version)
    query = {"versionId": version} if version else {}
    reply = await access.fetch(Call(asked, "HEAD", key, query))
    headers = reply.headers
    size = headers.get("Content-Length")
    if size is None or not size.isdigit():
        raise ProtocolError("a HEAD without a length", uri=asked.uri, request_id=headers.get("x-amz-request-id"))
    if key.endswith("/") and size == "0":
        raise NotFoundError("a folder marker, not an object", uri=asked.uri)
    modified_s = date_s(headers.get("Last-Modified", ""))  # informative: a date that is none spoils no pin
    return Pin(
        size=int(size),
        etag=headers.get("ETag"),
        version=headers.get("x-amz-version-id"),
        modified=datetime.fromtimestamp(modified_s, UTC) if modified_s is not None else None,
    )


async def describe(access: Access, request: ReadRequest, upload_part: int | None) -> Answer:
    """A HEAD of one object for its checksum, or of one of its upload parts for that part's place; see `Describes`."""
    asked = _asked(access, request.key, request.version)
    query = {"versionId": request.version} if request.version else {}
    headers = {"if-match": request.if_match} if request.if_match else {}
    if upload_part is not None:
        query["partNumber"] = str(upload_part)
    elif access.settings.checksums:
        headers["x-amz-checksum-mode"] = "ENABLED"
    reply = await access.fetch(Call(asked, "HEAD", request.key, query, headers))
    answer = _answer(reply.status, reply.headers, asked)
    if upload_part is not None and reply.status != _PARTIAL:
        return replace(
            answer, total=None, checksum=None
        )  # the length of the part, or of the object if the server knows no parts
    return answer


class Reading(Held):
    """One ranged, conditional GET; see `Backend.read`. A class, since a generator's context takes 8 µs more.

    Args:
        access: The bucket.
        request: What to read.
    """

    __slots__ = ("_access", "_request")

    def __init__(self, access: Access, request: ReadRequest) -> None:
        super().__init__()
        self._access = access
        self._request = request

    async def __aenter__(self) -> Body:
        access, request = self._access, self._request
        asked = _asked(access, request.key, request.version)
        query = {"versionId": request.version} if request.version else {}
        headers: dict[str, str] = {}
        if request.stop is not None:
            headers["range"] = f"bytes={request.start}-{request.stop - 1}"
        elif request.start:
            headers["range"] = f"bytes={request.start}-"
        elif access.settings.checksums:
            headers["x-amz-checksum-mode"] = "ENABLED"
        if request.if_match:
            headers["if-match"] = request.if_match
        response, url = await access.send(Call(asked, "GET", request.key, query, headers))
        try:
            answer = _answer(response.status, response.headers, asked)
        except ProtocolError:
            response.close()
            raise
        self._response = response
        return access.body(response, answer, url, asked)


def _asked(access: Access, key: str, version: str | None) -> Asked:
    action = "s3:GetObjectVersion" if version else "s3:GetObject"
    return Asked(uri=access.uri(key), bucket=access.bucket, action=action, version=bool(version))


def _answer(status: int, headers: Mapping[str, str], asked: Asked) -> Answer:
    request_id = headers.get("x-amz-request-id")
    return Answer(
        *stretch_of(status, headers, uri=asked.uri, request_id=request_id),
        etag=headers.get("ETag"),
        version=headers.get("x-amz-version-id"),
        checksum=_checksum(headers) if status != _PARTIAL else None,
        request_id=request_id,
    )


def _checksum(headers: Mapping[str, str]) -> str | None:
    """A checksum of the whole object; one of its parts' checksums (`-N`, COMPOSITE) is not it."""
    if _CHECKSUM_HEADERS.isdisjoint(headers) or headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    for algorithm in _CHECKSUMS:
        value = headers.get(f"x-amz-checksum-{algorithm}")
        if value and "-" not in value:
            try:
                return f"{algorithm}:{base64.b64decode(value, validate=True).hex()}"
            except binascii.Error:
                continue  # an extra that the server garbled; the pin does not rest on it
    return None
