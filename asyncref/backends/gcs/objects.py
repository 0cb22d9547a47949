"""Single objects: their metadata, and ranged reads of one generation; what an answer says of itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import orjson

from asyncref.backends.base import Body
from asyncref.backends.gcs.access import Access, Call, object_path
from asyncref.backends.gcs.answers import Asked, request_id
from asyncref.backends.gcs.page import ITEM, OddPageError, pins_of
from asyncref.errors import NotFoundError, ProtocolError
from asyncref.model import Answer, Pin, ReadRequest
from asyncref.net.response import Response
from asyncref.net.stretches import stretch_of

_PARTIAL: Final = 206
# Without it, objects with Content-Encoding: gzip come decompressed, without length and deaf to ranges
# (Cloud Storage's documentation, "Transcoding of gzip-compressed files").
_AS_STORED: Final = {"Accept-Encoding": "gzip"}


async def stat(access: Access, key: str, version: str | None) -> Pin:
    """The pin of one object by its metadata; see `Backend.stat`."""
    asked = _asked(access, key, version)
    query = {"fields": ITEM, "prettyPrint": "false", **_generation(version, asked)}
    reply = await access.fetch(Call(asked, object_path(key), query))
    try:
        row = pins_of(reply.body).to_pylist()[0]
    except OddPageError as error:
        said = request_id(reply.headers)
        raise ProtocolError(f"the object's metadata cannot be used: {error}", uri=asked.uri, request_id=said) from error
    if key.endswith("/") and not row["size"]:
        raise NotFoundError("a folder marker, not an object", uri=asked.uri)
    md5, etag16 = row["md5"], row["etag16"]
    return Pin(
        size=row["size"],
        etag=row["etag"] if etag16 is None else f'"{etag16.hex()}"',
        version=row["version"],
        checksum=row["checksum"] if md5 is None else f"md5:{md5.hex()}",
        modified=row["modified"],
    )


@asynccontextmanager
async def read(access: Access, request: ReadRequest) -> AsyncIterator[Body]:
    """One ranged GET of one generation; see `Backend.read`.

    A generation names its bytes for good, so the ETag is sent as a condition only where there is none: an edit of
    metadata changes the ETag and not the bytes.
    """
    asked = _asked(access, request.key, request.version)
    query = {"alt": "media", **_generation(request.version, asked)}
    headers = dict(_AS_STORED)
    if request.stop is not None:
        headers["Range"] = f"bytes={request.start}-{request.stop - 1}"
    elif request.start:
        headers["Range"] = f"bytes={request.start}-"
    if request.if_match and request.version is None:
        headers["If-Match"] = request.if_match
    async with access.request(Call(asked, object_path(request.key), query, headers)) as (response, url):
        answer = _answer(response, request, asked)
        yield access.body(response, answer, url, asked)


async def versioning(access: Access) -> bool:
    """Whether the bucket keeps generations that were overwritten or deleted."""
    asked = Asked(uri=access.uri(), bucket=access.bucket, action="storage.buckets.get", bucket_call=True)
    reply = await access.fetch(Call(asked, "", {"fields": "versioning", "prettyPrint": "false"}))
    try:
        return bool(orjson.loads(reply.body).get("versioning", {}).get("enabled"))
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise ProtocolError("the bucket's metadata cannot be used", uri=asked.uri) from error


def _asked(access: Access, key: str, version: str | None) -> Asked:
    return Asked(access.uri(key), access.bucket, "storage.objects.get", version=version is not None)


def _generation(version: str | None, asked: Asked) -> dict[str, str]:
    if version is None:
        return {}
    if not (version.isascii() and version.isdigit()):
        raise NotFoundError(f"no generation is called {version!r}", uri=asked.uri)
    return {"generation": version}


def _answer(response: Response, request: ReadRequest, asked: Asked) -> Answer:
    headers, said = response.headers, request_id(response.headers)
    stored = headers.get("x-goog-stored-content-encoding", "identity")
    if stored == "gzip" and headers.get("Content-Encoding") != "gzip":
        raise ProtocolError("the server decompressed the object on its way", uri=asked.uri, request_id=said)
    stretch = stretch_of(response.status, headers, uri=asked.uri, request_id=said)
    if response.status != _PARTIAL and stretch.total is None:
        stretch = stretch._replace(total=_number(headers.get("x-goog-stored-content-length")))
    etag = headers.get("ETag", "").strip('"') or None  # as the JSON API writes it; fake-gcs-server quotes it here
    generation = headers.get("x-goog-generation")
    if request.version is not None and generation == request.version and etag != request.if_match:
        etag = None  # the generation proves the bytes; the ETag tells of newer metadata
    return Answer(
        *stretch,
        etag=etag,
        version=generation,
        checksum=_checksum(",".join(headers.getall("x-goog-hash", ()))),
        request_id=said,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _checksum(hashes: str) -> str | None:
    """Of the whole object as stored, even in the answer to a range: the MD5, else the CRC32C."""
    values = dict(one.strip().partition("=")[::2] for one in hashes.split(","))
    for algorithm in ("md5", "crc32c"):
        if value := values.get(algorithm):
            try:
                return f"{algorithm}:{base64.b64decode(value, validate=True).hex()}"
            except binascii.Error:
                continue  # an extra that the server garbled; the pin does not rest on it
    return None
