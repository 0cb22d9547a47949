"""What Google documents and fake-gcs-server does not do, replayed over real HTTP: this is no server of Google's.

Tokens, refusals, ETags of metadata, composed objects (CRC32C and no MD5), partial responses (`fields`), and pages of a listing:
`maxResults`, `pageToken`, `delimiter`, `versions=true` (where fake-gcs-server never advances), `startOffset` (its key included) and
`endOffset` (its key excluded). Generations of one name come in ascending order, which is not documented: nothing may rely on it.
`ifGenerationMatch` compares with the object's live generation, whatever `generation` names: so asyncref, which reads older ones,
sends the latter alone, and holds every answer to it.

Sources: "Objects: list", "Composite objects", "Improve performance (partial responses)", "Using OAuth 2.0 for Server to Server Applications", "About VM metadata", "Workload identity federation", "HTTP status and
error codes for JSON", "Transcoding of gzip-compressed files", "Object metadata" in Google Cloud's documentation.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import google_crc32c
from aiohttp import web


@dataclass(slots=True)
class Stored:
    """One generation of an object.

    Attributes:
        data: Its bytes.
        generation: Its number.
        metageneration: Counts edits of its metadata.
        encoding: Its Content-Encoding.
        composed: Made of other objects, so without an MD5.
        created: When it came.
        deleted: When it was overwritten or deleted; empty: it is the live one.
        damaged: What is sent in the bytes' place.
    """

    data: bytes
    generation: int
    metageneration: int = 1
    encoding: str = ""
    composed: bool = False
    created: str = "2024-05-06T07:08:09.123Z"
    deleted: str = ""
    damaged: bytes | None = None

    @property
    def etag(self) -> str:
        """As the service makes it: a message of generation and metageneration, not of the content."""
        return base64.b64encode(b"\x08%d\x10%d" % (self.generation, self.metageneration)).decode()

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(google_crc32c.Checksum(self.data).digest()).decode()

    def item(self, name: str) -> dict[str, str]:
        """The object resource, in the order of its fields."""
        return {
            "kind": "storage#object",
            "name": name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            **({"componentCount": "2"} if self.composed else {"md5Hash": self.md5}),
            "crc32c": self.crc32c,
            "etag": self.etag,
            "timeCreated": self.created,
            **({"timeDeleted": self.deleted} if self.deleted else {}),
        }


@dataclass(slots=True)
class Asked:
    """One request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(slots=True)
class Google:
    """One bucket called `bucket`, and whoever gives tokens for it.

    Attributes:
        url: Base URL of everything.
        objects: What lies in the bucket.
        older: Generations that were overwritten or deleted, with their names.
        most: Objects a page has at most, whatever is asked: a page may be shorter than that.
        public: Nobody has to say who asks.
        pays: Whoever asks has to name a project.
        lasts_s: How long a token is said to last.
        taken: For how many requests to the bucket a token is taken; None: for all.
        broken: Whoever gives tokens answers 500.
        refused: An error that every request to the bucket gets.
        levels: Listings with a delimiter are answered.
        shown: The folders that are shown in their place, whatever lies there.
        valid: Access tokens that the bucket accepts.
        asked: Every request so far.
    """

    url: str = ""
    objects: dict[str, Stored] = field(default_factory=dict)
    older: list[tuple[str, Stored]] = field(default_factory=list)
    most: int = 1000
    public: bool = True
    pays: bool = False
    lasts_s: int = 3600
    taken: int | None = None
    broken: bool = False
    refused: tuple[int, str, str] | None = None
    levels: bool = True
    shown: list[str] | None = None
    valid: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    _uses: Counter[str] = field(default_factory=Counter)

    def granted(self) -> web.Response:
        token = f"ya29.secret-{len(self.asked)}"
        self.valid.add(token)
        return web.json_response({"access_token": token, "expires_in": self.lasts_s, "token_type": "Bearer"})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = (await request.read()).decode()
        form = {name: values[0] for name, values in parse_qs(text).items()}
        headers = {name.title(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.path, dict(request.query), headers, form))
        path = request.rel_url.raw_path
        if path.startswith("/storage/v1/b/bucket"):
            return self._bucket(request, path.removeprefix("/storage/v1/b/bucket"))
        if path.startswith("/storage/"):
            return error(404, "notFound", "The specified bucket does not exist.")
        return self._token(request, path, form)

    def _token(self, request: web.Request, path: str, form: dict[str, str]) -> web.Response:
        if self.broken:
            return web.Response(status=500)
        if path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            return self.granted() if request.headers.get("Metadata-Flavor") == "Google" else web.Response(status=403)
        if path == "/token" and (form.get("refresh_token") == "good-refresh" or form.get("assertion")):
            return self.granted()
        if path == "/sts" and form.get("subject_token") == "subject":
            return self.granted()
        return web.json_response({"error": "invalid_grant", "error_description": "Bad Request"}, status=400)

    def _bucket(self, request: web.Request, path: str) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.refused is not None:
            return error(*self.refused)
        if not self.public and not token:
            text = "Anonymous caller does not have storage.objects.list access to the Google Cloud Storage bucket."
            return error(401, "required", text)
        self._uses[token] += 1
        if not self.public and (token not in self.valid or self._uses[token] > (self.taken or math.inf)):
            return error(401, "authError", "Invalid Credentials")
        if self.pays and "userProject" not in request.query:
            return error(400, "required", "Bucket is a requester pays bucket but no user project provided.")
        if not path.partition("?")[0]:
            kept = {"versioning": {"enabled": True}} if self.older else {}
            return web.json_response({"kind": "storage#bucket", "name": "bucket", **kept})
        if "delimiter" in request.query and not self.levels:
            return error(400, "invalid", "Invalid argument.")
        if path == "/o":
            return web.json_response(self._page(request.query))
        return self._object(request, request.match_info["tail"].split("/o/", 1)[1])

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Objects: list. A token is opaque to clients; this one names the row that the page before ended with."""
        listed = [*self.objects.items(), *(self.older if query.get("versions") == "true" else [])]
        rows = sorted((name.encode(), stored.generation, name, stored) for name, stored in listed)
        after = base64.urlsafe_b64decode(query.get("pageToken", "")).rpartition(b"/")
        first, end = query.get("startOffset", "").encode(), query.get("endOffset", "").encode()
        rows = [
            row
            for row in rows
            if row[2].startswith(query.get("prefix", ""))
            and (row[0] >= first and (not end or row[0] < end))
            and (not after[1] or row[:2] > (after[0], int(after[2])))
        ]
        most = min(self.most, int(query.get("maxResults", "1000")))
        page: dict[str, Any] = {"kind": "storage#objects"}
        folders: list[str] = []
        items: list[dict[str, str]] = []
        for at, (_, _, name, stored) in enumerate(rows):
            folder = _folder(name, query)
            if folder is not None and folder in folders:
                continue
            if len(folders) + len(items) == most:
                last, generation = rows[at - 1][:2]
                page["nextPageToken"] = base64.urlsafe_b64encode(b"%s/%d" % (last, generation)).decode()
                break
            if folder is not None:
                folders.append(folder)
            else:
                items.append(stored.item(name))
        if folders:
            page["prefixes"] = folders if self.shown is None else self.shown
        page |= {"items": items} if items else {}
        return partial(page, query.get("fields"))

    def _object(self, request: web.Request, key: str) -> web.StreamResponse:
        there = [self.objects[key]] if key in self.objects else []
        if wanted := request.query.get("generation"):
            there += [stored for name, stored in self.older if name == key]
            there = [stored for stored in there if str(stored.generation) == wanted]
        stored = there[0] if there else None
        if stored is None:
            missing = f"No such object: bucket/{key}"
            return web.Response(status=404, text=missing) if "alt" in request.query else error(404, "notFound", missing)
        live = self.objects.get(key)
        if (match := request.query.get("ifGenerationMatch")) and match != str(live.generation if live else 0):
            return error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        if "alt" not in request.query:
            return web.json_response(partial(stored.item(key), request.query.get("fields")))
        if request.headers.get("If-Match", stored.etag) != stored.etag:
            return error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        headers = {
            "ETag": stored.etag,
            "x-goog-generation": str(stored.generation),
            "x-goog-metageneration": str(stored.metageneration),
            "x-goog-stored-content-encoding": stored.encoding or "identity",
            "x-goog-stored-content-length": str(len(stored.data)),
            "x-goog-hash": f"crc32c={stored.crc32c}" + ("" if stored.composed else f",md5={stored.md5}"),
            "x-guploader-uploadid": "the-request",
        }
        if stored.encoding == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=gzip.decompress(stored.data), headers=headers)
        if stored.encoding:
            headers["Content-Encoding"] = stored.encoding
        data = stored.data if stored.damaged is None else stored.damaged
        if bounds := request.headers.get("Range"):
            first, _, last = bounds.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or 2**62) + 1, len(stored.data))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(stored.data)}"
            return web.Response(status=206, body=data[start:stop], headers=headers)
        return web.Response(body=data, headers=headers)


def _folder(name: str, query: Mapping[str, str]) -> str | None:
    """What a name is put together under by a delimiter."""
    end = name.find(query["delimiter"], len(query.get("prefix", ""))) if query.get("delimiter") else -1
    return name[: end + 1] if end >= 0 else None


def partial(resource: Mapping[str, Any], fields: str | None) -> dict[str, Any]:
    """A partial response: `fields` as `a,b` or `items(a,b),c`."""
    if fields is None:
        return dict(resource)
    nested = dict(re.findall(r"(\w+)\(([^)]*)\)", fields))
    names = {*re.sub(r"\([^)]*\)", "", fields).split(",")}
    return {
        name: [partial(item, nested[name]) for item in value] if name in nested else value
        for name, value in resource.items()
        if name in names
    }


def error(status: int, reason: str, message: str) -> web.Response:
    """An error document of the JSON API."""
    listed = [{"message": message, "domain": "global", "reason": reason}]
    body: dict[str, Any] = {"error": {"code": status, "message": message, "errors": listed}}
    return web.json_response(body, status=status, headers={"x-guploader-uploadid": "the-request"})


@asynccontextmanager
async def replayed() -> AsyncIterator[Google]:
    """Serve it on a free port of 127.0.0.1."""
    google = Google()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", google.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    google.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield google
    finally:
        await runner.cleanup()
