"""The way to one HTTP server: requests, redirects, and credentials that go to this server alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from asyncref.backends.base import Body
from asyncref.backends.bodies import body_of
from asyncref.backends.http.answers import failure
from asyncref.backends.http.redirects import STATUSES, Redirects, is_same_server
from asyncref.backends.http.settings import WebSettings
from asyncref.errors import (
    BrokenBodyError,
    ConnectionFailedError,
    ProtocolError,
    StorageError,
)
from asyncref.model import Answer
from asyncref.net.foreign import is_untrusted
from asyncref.net.http import HttpPool
from asyncref.net.response import Response

_MOST_REDIRECTS: Final = 10
_GOOD: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
_VERIFY: Final = "storage_options: verify names the file of the authority to trust"
_FOREIGN: Final = "it is another server's, to which a redirect leads: only the system's authorities are trusted there"


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        key: What is asked for.
        method: `GET` or `HEAD`.
        headers: Names in lower case.
        folder: An index page is asked for.
        also: Statuses besides 200 and 206 that are an answer.
    """

    key: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    folder: bool = False
    also: frozenset[int] = frozenset()


class Web:
    """Sends requests to one server.

    Args:
        scheme: `http` or `https`.
        host: With its port, if it is not the scheme's own.
        settings: What was chosen.
        start: The key of the folder that no other folder's redirect leads out of.
    """

    def __init__(self, scheme: str, host: str, settings: WebSettings, *, start: str = "") -> None:
        self._origin = f"{scheme}://{host}"
        self._redirects = Redirects(self.uri(start))
        self._settings = settings
        self._pool = HttpPool(settings.http)
        self._foreign = HttpPool(replace(settings.http, verify=True, client_cert=None))

    def uri(self, key: str = "") -> str:
        """The URL of a key."""
        return f"{self._origin}/{key}"

    @asynccontextmanager
    async def request(self, call: Call) -> AsyncIterator[tuple[Response, str]]:
        """Send one request and follow its redirects; gives a good answer, its body still to come, and its URL.

        Credentials, the client's certificate and the caller's own headers go to the server that was named, and to no
        other that it points to; what `verify` says holds for it alone. From https no redirect leads to http.

        Raises:
            AsyncrefError: The error for every other answer.
        """
        uri = self.uri(call.key)
        url = uri
        for _ in range(_MOST_REDIRECTS + 1):
            ours = url is uri or is_same_server(self._origin, url)
            pool, own = (self._pool, self._settings.headers) if ours else (self._foreign, {})
            try:
                async with pool.request(
                    call.method, url, {**own, **call.headers}, uri=uri, is_page=call.folder
                ) as response:
                    if response.status not in STATUSES:
                        if response.status not in _GOOD and response.status not in call.also:
                            raise failure(response.status, response.headers, uri=uri, folder=call.folder)
                        yield response, url
                        return
                    location, code = response.headers.get("Location"), f"status {response.status}"
                    url = self._redirects.following(uri, url, location, folder=call.folder, code=code)
            except ConnectionFailedError as error:
                raise _final(error, _VERIFY if ours else _FOREIGN) from error.__cause__
        raise ProtocolError(f"more than {_MOST_REDIRECTS} redirects", uri=uri)

    def body(self, response: Response, answer: Answer, url: str, uri: str) -> Body:
        """The body of a good answer."""
        return body_of(self._pool, response, answer, url=url, uri=uri)

    async def fetch(self, call: Call, *, most_bytes: int) -> tuple[bytes, Mapping[str, str], str]:
        """Send one request and read its answer whole: body, headers, and the URL it came from.

        Raises:
            ProtocolError: The body is longer than `most_bytes`.
        """
        uri = self.uri(call.key)
        async with self.request(call) as (response, url):
            body = await self._pool.read(response, url=url, uri=uri, most_bytes=most_bytes)
            announced = response.headers.get("Content-Length", "")
            if announced.isdigit() and len(body) != int(announced):
                raise BrokenBodyError(f"{len(body)} bytes came of {announced}", uri=uri)
            return body, response.headers, url

    async def aclose(self) -> None:
        """Close the pools. Idempotent."""
        await self._pool.aclose()
        await self._foreign.aclose()


def _final(error: ConnectionFailedError, hint: str) -> ConnectionFailedError | StorageError:
    """A certificate that is not trusted now is not trusted at the eighth try."""
    return StorageError(error.message, uri=error.uri, hint=hint) if is_untrusted(error) else error
