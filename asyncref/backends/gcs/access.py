"""The way to one bucket: where it answers, who asks, who pays, and the one correction: a token refused is renewed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote, urlencode

from asyncref.backends.base import Body
from asyncref.backends.bodies import body_of
from asyncref.backends.gcs.answers import Asked, failure
from asyncref.backends.gcs.settings import GcsSettings
from asyncref.backends.gcs.tokens import Tokens
from asyncref.model import Answer
from asyncref.net.http import HttpPool, Reply
from asyncref.net.response import GOOD, Response


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a bucket.

    Attributes:
        asked: What it is for.
        path: Behind the bucket, encoded: empty, `/o`, `/o/KEY`.
        query: Parameters, not encoded.
        headers: As sent.
    """

    asked: Asked
    path: str = "/o"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def object_path(key: str) -> str:
    """Where an object is asked for: its key is one segment, so that nothing in it is a path to any server."""
    return f"/o/{quote(key, safe='')}"


class Access:
    """Sends requests to one bucket.

    Args:
        bucket: Its name.
        settings: What was chosen.
    """

    def __init__(self, bucket: str, settings: GcsSettings) -> None:
        self.bucket = bucket
        self.settings = settings
        self._base = f"{settings.endpoint}/storage/v1/b/{quote(bucket, safe='')}"
        self._pays = {"userProject": settings.user_project} if settings.user_project else {}
        self._pool = HttpPool(settings.http)
        self._tokens = None if settings.anon else Tokens(settings)

    def uri(self, key: str = "") -> str:
        """The reference of a key, or of the bucket."""
        return f"gs://{self.bucket}/{key}"

    async def fetch(self, call: Call) -> Reply:
        """Send one request and read its answer whole.

        Raises:
            AsyncrefError: The error for whatever is not status 200.
        """
        async with self.request(call, is_page=True) as (response, url):
            body = await self._pool.read(response, url=url, uri=call.asked.uri)
            return Reply(response.status, response.headers, body)

    @asynccontextmanager
    async def request(self, call: Call, *, is_page: bool = False) -> AsyncIterator[tuple[Response, str]]:
        """Send one request; gives a good answer, its body still to come, and the URL.

        A token that the server does not accept any more is renewed once, and the request sent once more.

        Raises:
            AsyncrefError: The error for every status other than 200 and 206.
        """
        query = urlencode({**call.query, **self._pays}, quote_via=quote, safe="")
        url = f"{self._base}{call.path}?{query}" if query else f"{self._base}{call.path}"
        for renewed in (False, True):
            headers, token = dict(call.headers), None
            if self._tokens is not None:
                token = await self._tokens.get(self.uri())
                headers["Authorization"] = f"Bearer {token}"
            async with self._pool.request("GET", url, headers, uri=call.asked.uri, is_page=is_page) as response:
                if response.status in GOOD:
                    yield response, url
                    return
                body = await self._pool.read_error(response, url=url, uri=call.asked.uri)
            refused = response.status == HTTPStatus.UNAUTHORIZED and token is not None and not renewed
            if not (refused and self._tokens is not None and token is not None and self._tokens.drop(token)):
                raise failure(response.status, response.headers, body, call.asked, anon=self._tokens is None)

    def body(self, response: Response, answer: Answer, url: str, asked: Asked) -> Body:
        """The body of a good answer."""
        return body_of(self._pool, response, answer, url=url, uri=asked.uri)

    async def aclose(self) -> None:
        """Close the pools. Idempotent."""
        await self._pool.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()
