"""Single blobs: HEAD, and ranged, conditional GETs; what an answer says of itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from asyncref.backends.azure.access import Access, Call
from asyncref.backends.azure.answers import Asked, moment
from asyncref.backends.base import Body
from asyncref.errors import NotFoundError, ProtocolError
from asyncref.model import Answer, Pin, ReadRequest
from asyncref.net.stretches import stretch_of

_NEEDS: Final = "reading needs the role Storage Blob Data Reader, or a SAS with permission r"
_PARTIAL: Final = 206
_MD5_BYTES: Final = 16


async def stat(access: Access, key: str, version: str | None) -> Pin:
    """The pin of one blob by a HEAD; see `Backend.stat`."""
    asked = _asked(access, key, version)
    headers = (await access.fetch(Call(asked, "HEAD", key, _query(version)))).headers
    _check_version(headers, version, asked)
    size = headers.get("Content-Length")
    if size is None or not size.isdigit():
        raise ProtocolError("a HEAD without a length", uri=asked.uri, request_id=headers.get("x-ms-request-id"))
    stub = headers.get("x-ms-meta-hdi_isfolder") == "true" or headers.get("x-ms-resource-type") == "directory"
    if stub or (key.endswith("/") and size == "0"):
        raise NotFoundError("a folder, not a blob", uri=asked.uri)
    return Pin(
        size=int(size),
        etag=headers.get("ETag"),
        version=headers.get("x-ms-version-id"),
        checksum=_md5(headers.get("Content-MD5")),
        modified=moment(headers.get("Last-Modified")),
    )


@asynccontextmanager
async def read(access: Access, request: ReadRequest) -> AsyncIterator[Body]:
    """One ranged, conditional GET; see `Backend.read`."""
    asked = _asked(access, request.key, request.version)
    headers: dict[str, str] = {}
    if request.stop is not None:
        headers["x-ms-range"] = f"bytes={request.start}-{request.stop - 1}"
    elif request.start:
        headers["x-ms-range"] = f"bytes={request.start}-"
    if request.if_match:
        headers["if-match"] = request.if_match
    async with access.request(Call(asked, "GET", request.key, _query(request.version), headers)) as (response, url):
        _check_version(response.headers, request.version, asked)
        if response.headers.get("x-ms-resource-type") == "directory":
            raise NotFoundError("a folder, not a blob", uri=asked.uri)
        answer = _answer(response.status, response.headers, asked)
        yield access.body(response, answer, url, asked)


def _asked(access: Access, key: str, version: str | None) -> Asked:
    return Asked(uri=access.uri(key), container=access.settings.container, needs=_NEEDS, version=bool(version))


def _query(version: str | None) -> dict[str, str]:
    return {"versionid": version} if version else {}


def _check_version(headers: Mapping[str, str], version: str | None, asked: Asked) -> None:
    """Hold an answer to the version asked for. Azurite answers with the current blob, whatever was asked."""
    echoed = headers.get("x-ms-version-id")
    if version and echoed != version:
        raise NotFoundError(
            f"no such version: the server answers with {echoed or 'a blob without versions'}",
            uri=asked.uri,
            request_id=headers.get("x-ms-request-id"),
        )


def _answer(status: int, headers: Mapping[str, str], asked: Asked) -> Answer:
    request_id = headers.get("x-ms-request-id")
    return Answer(
        *stretch_of(status, headers, uri=asked.uri, request_id=request_id),
        etag=headers.get("ETag"),
        version=headers.get("x-ms-version-id"),
        checksum=_md5(headers.get("x-ms-blob-content-md5" if status == _PARTIAL else "Content-MD5")),
        request_id=request_id,
    )


def _md5(text: str | None) -> str | None:
    """The MD5 that the uploader stated for the whole blob; None where that is no MD5."""
    try:
        raw = base64.b64decode(text or "", validate=True)
    except binascii.Error:
        return None
    return f"md5:{raw.hex()}" if len(raw) == _MD5_BYTES else None
