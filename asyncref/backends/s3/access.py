"""The way to one bucket: signed requests, and the two corrections that are made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import anyio
import anyio.to_thread

from asyncref.backends.base import Body
from asyncref.backends.bodies import body_of
from asyncref.backends.s3.answers import Asked, elements, failure, region_of
from asyncref.backends.s3.endpoints import Endpoint, resolve
from asyncref.backends.s3.settings import S3Settings
from asyncref.errors import AsyncrefError, WrongRegionError
from asyncref.model import Answer
from asyncref.net.credentials import Chain
from asyncref.net.dates import date_s
from asyncref.net.http import HttpPool, Reply
from asyncref.net.response import GOOD, Response
from asyncref.net.sign import EMPTY_SHA256, UNSIGNED_PAYLOAD, Keys, Signer, path_of, query_of

T = TypeVar("T")
_ELSEWHERE: Final = frozenset({301, 307, 400, 403})
_SKEW_S: Final = 300.0  # S3 refuses 15 minutes; a HEAD's 403 does not say why, its Date does


class Call(NamedTuple):
    """One request to a bucket.

    Attributes:
        asked: What it is for.
        method: `GET` or `HEAD`.
        key: The object; None asks the bucket.
        query: Parameters, not encoded.
        headers: Names in lower case.
    """

    asked: Asked
    method: str = "GET"
    key: str | None = None
    query: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})


class Access:
    """Sends requests to one bucket.

    Args:
        bucket: Name or ARN.
        settings: What was chosen.
    """

    def __init__(self, bucket: str, settings: S3Settings) -> None:
        self.bucket = bucket
        self.settings = settings
        self.region = settings.region
        self._pool = HttpPool(settings.http)
        self._chain = Chain(settings.session, settings.keys)
        self._resolving = anyio.Lock()
        self._endpoint: Endpoint | None = None
        self._signer: Signer | None = None

    def uri(self, key: str = "") -> str:
        """The reference of a key, or of the bucket."""
        return f"s3://{self.bucket}/{key}"

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the bucket answers; None before the first request."""
        return self._endpoint

    async def fetch(self, call: Call) -> Reply:
        """Send one request and read its answer whole.

        Raises:
            AsyncrefError: The error for whatever is not status 200.
        """
        response, url = await self.send(call, is_page=True)
        try:
            body = await self._pool.read(response, url=url, uri=call.asked.uri)
            return Reply(response.status, response.headers, body)
        finally:
            response.close()

    async def page(self, call: Call, read: Callable[[Mapping[str, str], memoryview | bytes], T]) -> T:
        """Send one request and read its answer where it lies: to copy a page costs as much as a fifth of reading it.

        Args:
            call: The request.
            read: Makes something of the headers and the body, and keeps neither.

        Raises:
            AsyncrefError: As `fetch`, or what `read` raises.
        """
        response, url = await self.send(call, is_page=True)
        try:
            return read(response.headers, await self._pool.view(response, url=url, uri=call.asked.uri))
        finally:
            response.close()

    async def send(self, call: Call, *, is_page: bool = False) -> tuple[Response, str]:
        """Send one request; gives a good answer, its body still to come, and the URL. The caller has to close the answer.

        A bucket in another region and a wrong clock are corrected once, and the request sent once more.

        Args:
            call: The request.
            is_page: As `HttpPool.request` has it.

        Raises:
            AsyncrefError: The error for every status other than 200 and 206.
        """
        for corrected in (False, True):
            endpoint, signer, keys = self._endpoint, self._signer, self._chain.fixed
            if endpoint is None or signer is None:  # looked at here, and the next: to wait for nothing takes time, too
                endpoint, signer = await self._target()
            if keys is None and not self.settings.anon:
                keys = await self._chain.get(self.uri())
            url, sent = self._prepare(endpoint, signer, keys, call)
            response = await self._pool.send(call.method, url, sent, uri=call.asked.uri, is_page=is_page)
            if response.status in GOOD:
                return response, url
            try:
                body = await self._pool.read_error(response, url=url, uri=call.asked.uri)
            finally:
                response.close()
            if corrected or not self._correct(response.status, response.headers, body, endpoint, signer):
                raise self._failure(response.status, response.headers, body, endpoint, call.asked)
        raise AssertionError("the second try returns or raises")

    def body(self, response: Response, answer: Answer, url: str, asked: Asked) -> Body:
        """The body of a good answer."""
        return body_of(self._pool, response, answer, url=url, uri=asked.uri)

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        await self._pool.aclose()

    async def _target(self) -> tuple[Endpoint, Signer]:
        if self._endpoint is None or self._signer is None:
            async with self._resolving:
                if self._endpoint is None or self._signer is None:
                    self._endpoint = await anyio.to_thread.run_sync(resolve, self.settings, self.bucket, self.region)
                    payload = EMPTY_SHA256 if self.settings.sign_payload else UNSIGNED_PAYLOAD
                    old = self._signer
                    self._signer = Signer(self._endpoint.region, self._endpoint.service, payload_sha256=payload)
                    self._signer.offset_s = old.offset_s if old else 0.0
        return self._endpoint, self._signer

    def _prepare(self, endpoint: Endpoint, signer: Signer, keys: Keys | None, call: Call) -> tuple[str, dict[str, str]]:
        """The finished URL, and the headers with their signature."""
        path = f"{endpoint.path}/{path_of(call.key)}" if call.key is not None else endpoint.path or "/"
        query = query_of(call.query) if call.query else ""
        url = f"{endpoint.origin}{path}?{query}" if query else f"{endpoint.origin}{path}"
        sent = dict(call.headers)
        if self.settings.requester_pays:
            sent["x-amz-request-payer"] = "requester"
        if keys is not None and not self.settings.anon:
            sent = signer.sign(call.method, endpoint.host, path, query, sent, keys)
        return url, sent

    def _correct(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, signer: Signer
    ) -> bool:
        """Whether something was learnt that makes it worth sending the request again."""
        if status not in _ELSEWHERE:
            return False
        region = region_of(headers, body)
        if region and region != endpoint.region:
            if self.region != region:
                self.region = region
                self._endpoint = None
            return True
        server_s = date_s(headers.get("Date", ""))
        skewed = server_s is not None and abs(server_s - time.time() - signer.offset_s) > _SKEW_S
        if (
            status == HTTPStatus.FORBIDDEN
            and server_s is not None
            and (skewed or elements(body).get("Code") == "RequestTimeTooSkewed")
        ):
            signer.correct_clock(server_s)
            return True
        return False

    def _failure(
        self, status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, asked: Asked
    ) -> AsyncrefError:
        region = region_of(headers, body)
        if status in _ELSEWHERE and region and region != endpoint.region:
            text = f"bucket {self.bucket!r} is not in region {endpoint.region!r}"
            return WrongRegionError(text, region=region, uri=asked.uri)
        return failure(status, headers, body, asked)
