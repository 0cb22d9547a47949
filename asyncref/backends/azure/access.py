"""The way to one container: finished URLs, signed requests, and the two corrections that are made once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from asyncref.backends.azure.answers import Asked, failure, moment
from asyncref.backends.azure.settings import AzureSettings
from asyncref.backends.azure.sign import Signer, http_date
from asyncref.backends.base import Body
from asyncref.backends.bodies import body_of
from asyncref.errors import ConnectionFailedError
from asyncref.model import Answer
from asyncref.net.foreign import is_unknown_host
from asyncref.net.http import HttpPool, Reply
from asyncref.net.response import GOOD, Response

# The first with everything used here is 2022-11-02 (versions together with a delimiter); this one is in all clouds.
API_VERSION: Final = "2023-11-03"
_SKEW_S: Final = 300.0  # Azure refuses 15 minutes without saying why; the answer's Date does


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a container.

    Attributes:
        asked: What it is for.
        method: `GET` or `HEAD`.
        key: The blob; None asks the container.
        query: Parameters, not encoded; names in lower case.
        headers: Names in lower case.
    """

    asked: Asked
    method: str = "GET"
    key: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Access:
    """Sends requests to one container.

    Args:
        root: What references of its blobs start with.
        settings: What was chosen.
    """

    def __init__(self, root: str, settings: AzureSettings) -> None:
        self.root = root
        self.settings = settings
        self._pool = HttpPool(settings.http)
        self._signer = Signer(settings.key) if settings.key else None
        self._offset_s = 0.0
        base = urlsplit(settings.endpoint)
        self._origin = f"{base.scheme}://{base.netloc}"
        self._path = f"{base.path}/{quote(settings.container, safe='$')}"

    def uri(self, key: str = "") -> str:
        """The reference of a blob, or of the container."""
        return f"{self.root}{key}"

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

        A wrong clock and a token that is no longer taken are corrected once, and the request sent once more.

        Raises:
            AsyncrefError: The error for every status other than 200 and 206.
        """
        token: str | None = None
        for corrected in (False, True):
            if self.settings.tokens is not None:
                token = await self.settings.tokens.get(call.asked.uri, refused=token)
            url, sent = self._prepare(call, token)
            try:
                async with self._pool.request(call.method, url, sent, uri=call.asked.uri, is_page=is_page) as response:
                    if response.status in GOOD:
                        yield response, url
                        return
                    body = await self._pool.read_error(response, url=url, uri=call.asked.uri)
            except ConnectionFailedError as error:
                if is_unknown_host(error) and not self.settings.custom:
                    error.hint = f"is there a storage account {self.settings.account!r}?"
                raise
            if corrected or not self._correct(response.status, response.headers):
                raise failure(response.status, response.headers, body, call.asked)

    def body(self, response: Response, answer: Answer, url: str, asked: Asked) -> Body:
        """The body of a good answer."""
        return body_of(self._pool, response, answer, url=url, uri=asked.uri)

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        await self._pool.aclose()
        if self.settings.tokens is not None:
            await self.settings.tokens.aclose()

    def _prepare(self, call: Call, token: str | None) -> tuple[str, dict[str, str]]:
        """The finished URL, and the headers with what proves who asks."""
        path = self._path if call.key is None else f"{self._path}/{quote(call.key, safe='/~')}"
        pairs = [f"{quote(name, safe='')}={quote(value, safe='~')}" for name, value in call.query.items()]
        if self.settings.sas:
            pairs.append(self.settings.sas)
        url = f"{self._origin}{path}?{'&'.join(pairs)}" if pairs else f"{self._origin}{path}"
        sent = {**call.headers, "x-ms-version": API_VERSION}
        if self._signer is not None:
            sent["x-ms-date"] = http_date(self._offset_s)
            sent["authorization"] = self._signer.sign(call.method, path, call.query, sent)
        elif token is not None:
            sent["authorization"] = f"Bearer {token}"
        return url, sent

    def _correct(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether something was learnt that makes it worth sending the request again."""
        if self.settings.tokens is not None:
            return status == HTTPStatus.UNAUTHORIZED
        now = moment(headers.get("Date"))
        if self._signer is None or status != HTTPStatus.FORBIDDEN or now is None:
            return False
        ahead_s = now.timestamp() - time.time()
        if abs(ahead_s - self._offset_s) <= _SKEW_S:
            return False
        self._offset_s = ahead_s
        return True
