"""The way to one HTTP server: requests, redirects, and credentials that go to this server alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from asyncref.backends.http.answers import FOLDER, failure
from asyncref.backends.http.settings import WebSettings
from asyncref.backends.http.urls import name_of
from asyncref.errors import (
    BrokenBodyError,
    ConnectionFailedError,
    NotFoundError,
    ProtocolError,
    StorageError,
)
from asyncref.net.foreign import is_untrusted
from asyncref.net.http import HttpPool, Response

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 10
_GOOD: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
_PORTS: Final = {"http": 80, "https": 443}


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
    """

    def __init__(self, scheme: str, host: str, settings: WebSettings) -> None:
        self._origin = f"{scheme}://{host}"
        self._settings = settings
        self._pool = HttpPool(settings.http)

    def uri(self, key: str = "") -> str:
        """The URL of a key."""
        return f"{self._origin}/{key}"

    @asynccontextmanager
    async def request(self, call: Call) -> AsyncIterator[tuple[Response, str]]:
        """Send one request and follow its redirects; gives a good answer, its body still to come, and its URL.

        Credentials and the caller's own headers go to the server that was named, and to no other that it
        points to. From https no redirect leads to http.

        Raises:
            AsyncrefError: The error for every other answer.
        """
        uri = self.uri(call.key)
        url = uri
        for _ in range(_MOST_REDIRECTS + 1):
            own = self._settings.headers if url is uri or _is_same_server(self._origin, url) else {}
            try:
                async with self._pool.request(call.method, url, {**own, **call.headers}, uri=uri) as response:
                    if response.status not in _REDIRECTS:
                        if response.status not in _GOOD and response.status not in call.also:
                            raise failure(response.status, response.headers, uri=uri, folder=call.folder)
                        yield response, url
                        return
                    url = _following(call, uri, url, response.headers.get("Location"))
            except ConnectionFailedError as error:
                raise _final(error) from error.__cause__
        raise ProtocolError(f"more than {_MOST_REDIRECTS} redirects", uri=uri)

    def chunks(self, response: Response, url: str, uri: str) -> AsyncIterator[bytes]:
        """The bytes of an answer as they come."""
        return self._pool.chunks(response, url=url, uri=uri)

    async def fetch(self, call: Call, *, most_bytes: int) -> tuple[bytes, Mapping[str, str], str]:
        """Send one request and read its answer whole: body, headers, and the URL it came from.

        Raises:
            ProtocolError: The body is longer than `most_bytes`.
        """
        uri = self.uri(call.key)
        async with self.request(call) as (response, url):
            pieces: list[bytes] = []
            length = 0
            async for chunk in self.chunks(response, url, uri):
                pieces.append(chunk)
                length += len(chunk)
                if length > most_bytes:
                    raise ProtocolError(f"the answer is longer than {most_bytes:,} bytes", uri=uri)
            announced = response.headers.get("Content-Length", "")
            if announced.isdigit() and length != int(announced):
                raise BrokenBodyError(f"{length} bytes came of {announced}", uri=uri)
            return b"".join(pieces), response.headers, url

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        await self._pool.aclose()


def _following(call: Call, uri: str, url: str, location: str | None) -> str:
    """Where a redirect leads."""
    if not location:
        raise ProtocolError("a redirect that leads nowhere", uri=uri)
    target = urljoin(url, location).partition("#")[0]
    before, after = urlsplit(url), urlsplit(target)
    if after.scheme not in _PORTS or not after.netloc or "@" in after.netloc:
        raise ProtocolError("a redirect to what is no plain HTTP URL", uri=uri)
    if before.scheme == "https" and after.scheme == "http":
        raise ProtocolError("a redirect from https to http", uri=uri, hint="what came would be anyone's")
    if not call.folder and before.hostname == after.hostname and name_of(after.path) == name_of(before.path) + b"/":
        raise NotFoundError("a folder, not a file", uri=uri, code=FOLDER)
    if call.folder and (before.hostname != after.hostname or not after.path.endswith("/")):
        raise ProtocolError(
            f"the folder's index redirects to {after.scheme}://{after.netloc}{after.path}",
            uri=uri,
            hint="scan that URL itself, if it is what you mean",
        )
    return target


def _is_same_server(origin: str, url: str) -> bool:
    """Whether a URL leads to the very server: also from http to https on the usual ports."""
    ours, theirs = urlsplit(origin), urlsplit(url)
    ports = ours.port or _PORTS[ours.scheme], theirs.port or _PORTS[theirs.scheme]
    if ours.hostname != theirs.hostname:
        return False
    return (ours.scheme == theirs.scheme and ports[0] == ports[1]) or (
        (ours.scheme, theirs.scheme) == ("http", "https") and ports == (80, 443)
    )


def _final(error: ConnectionFailedError) -> ConnectionFailedError | StorageError:
    """A certificate that is not trusted now is not trusted at the eighth try."""
    if is_untrusted(error):
        hint = "storage_options: verify names the file of the authority to trust"
        return StorageError(error.message, uri=error.uri, hint=hint)
    return error
