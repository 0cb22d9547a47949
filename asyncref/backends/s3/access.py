"""The way to one bucket: where it answers, signed requests, and the two corrections that are made once.

botocore's own endpoint rules say where a bucket answers (addressing, FIPS, dualstack, accelerate, access
points, partitions). They are asked once a bucket and not once a request: a call through botocore costs 1.8 ms.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, MissingDependencyException

from asyncref.backends.base import Receive
from asyncref.backends.s3.answers import Asked, elements, failure, region_of
from asyncref.backends.s3.settings import S3Settings
from asyncref.errors import AsyncrefError, OptionError, WrongRegionError
from asyncref.net.credentials import Chain
from asyncref.net.dates import date_s
from asyncref.net.http import HttpPool, Reply, Response
from asyncref.net.sign import EMPTY_SHA256, UNSIGNED_PAYLOAD, Signer, path_of, query_of

_ELSEWHERE: Final = frozenset({301, 307, 400, 403})
_SKEW_S: Final = 300.0  # S3 refuses 15 minutes; a HEAD's 403 does not say why, its Date does
_SIGV4A: Final = "this bucket needs signatures of kind SigV4A, which asyncref does not make"
_PROBE: Final = "k"  # any key: the rules only put it at the end of the URL


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a bucket answers.

    Attributes:
        origin: Scheme, host and port.
        host: As the Host header says it.
        path: What comes before `/key` in the path: `/bucket`, or nothing.
        region: For the signature.
        service: For the signature.
    """

    origin: str
    host: str
    path: str
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class Call:
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
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


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
        response, url = await self._send(call, is_page=True)
        try:
            body = await self._pool.read(response, url=url, uri=call.asked.uri)
            return Reply(response.status, response.headers, body)
        finally:
            response.close()

    @asynccontextmanager
    async def request(self, call: Call) -> AsyncIterator[tuple[Response, str]]:
        """Send one request; gives a good answer, its body still to come, and the URL.

        A bucket in another region and a wrong clock are corrected once, and the request sent once more.

        Raises:
            AsyncrefError: The error for every status other than 200 and 206.
        """
        response, url = await self._send(call)
        try:
            yield response, url
        finally:
            response.close()

    async def _send(self, call: Call, *, is_page: bool = False) -> tuple[Response, str]:
        """What `request` does on entry; whoever calls it has to close the response."""
        for corrected in (False, True):
            endpoint, signer = await self._target()
            url, sent = await self._prepare(endpoint, signer, call)
            response = await self._pool.send(call.method, url, sent, uri=call.asked.uri, is_page=is_page)
            if response.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                return response, url
            try:
                body = await self._pool.read_error(response, url=url, uri=call.asked.uri)
            finally:
                response.close()
            if corrected or not self._correct(response.status, response.headers, body, endpoint, signer):
                raise self._failure(response.status, response.headers, body, endpoint, call.asked)
        raise AssertionError("the second try returns or raises")

    def chunks(self, response: Response, url: str, asked: Asked) -> AsyncIterator[bytes]:
        """The bytes of an answer as they come."""
        return self._pool.chunks(response, url=url, uri=asked.uri)

    def receiver(self, response: Response, url: str, asked: Asked) -> Receive:
        """Fills buffers with the same bytes; see `Body.receive`."""
        return partial(self._pool.read_into, response, url=url, uri=asked.uri)

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        await self._pool.aclose()

    async def _target(self) -> tuple[Endpoint, Signer]:
        if self._endpoint is None or self._signer is None:
            async with self._resolving:
                if self._endpoint is None or self._signer is None:
                    self._endpoint = await anyio.to_thread.run_sync(_resolve, self.settings, self.bucket, self.region)
                    payload = EMPTY_SHA256 if self.settings.sign_payload else UNSIGNED_PAYLOAD
                    old = self._signer
                    self._signer = Signer(self._endpoint.region, self._endpoint.service, payload_sha256=payload)
                    self._signer.offset_s = old.offset_s if old else 0.0
        return self._endpoint, self._signer

    async def _prepare(self, endpoint: Endpoint, signer: Signer, call: Call) -> tuple[str, dict[str, str]]:
        """The finished URL, and the headers with their signature."""
        path = f"{endpoint.path}/{path_of(call.key)}" if call.key is not None else endpoint.path or "/"
        query = query_of(call.query)
        url = f"{endpoint.origin}{path}?{query}" if query else f"{endpoint.origin}{path}"
        sent = dict(call.headers)
        if self.settings.requester_pays:
            sent["x-amz-request-payer"] = "requester"
        if not self.settings.anon:
            keys = await self._chain.get(self.uri())
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


def _resolve(settings: S3Settings, bucket: str, region: str | None) -> Endpoint:
    """Ask botocore's rules where the bucket answers; blocking, about 0.2 s the first time, no request."""
    session = botocore.session.Session()
    profile = settings.session.get_config_variable("profile")
    if profile:
        session.set_config_variable("profile", profile)
    config = settings.config.merge(Config(retries={"max_attempts": 0}))
    caught: list[Mapping[str, Any]] = []

    def catch(params: Mapping[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        caught.append(params)
        return SimpleNamespace(status_code=200, headers={}), {}

    try:
        client: Any = session.create_client(
            "s3",
            region_name=region or "us-east-1",
            endpoint_url=settings.endpoint_url,
            use_ssl=settings.use_ssl,
            aws_access_key_id="never-sent",
            aws_secret_access_key="never-sent",  # noqa: S106  the rules want credentials, the caller signs
            config=config,
        )
        client.meta.events.register_first("before-call.s3.GetObject", catch)
        client.get_object(Bucket=bucket, Key=_PROBE)
    except MissingDependencyException as error:  # multi-region access points
        raise OptionError(_SIGV4A, uri=f"s3://{bucket}/") from error
    except (BotoCoreError, ValueError) as error:
        raise OptionError(f"no endpoint for this bucket: {error}", uri=f"s3://{bucket}/") from error
    return _endpoint(caught[0], settings, bucket, region)


def _endpoint(request: Mapping[str, Any], settings: S3Settings, bucket: str, region: str | None) -> Endpoint:
    context = request["context"]
    signing = context.get("signing") or {}
    auth = context.get("auth_type") or ""
    uri = f"s3://{bucket}/"
    if auth == "v4a":
        raise OptionError(_SIGV4A, uri=uri)
    if auth == "v4-s3express" and not settings.express:
        hint = "set AWS_S3_DISABLE_EXPRESS_SESSION_AUTH=true to read it with plain signatures"
        raise OptionError("sessions of directory buckets are not offered", uri=uri, hint=hint)
    base = request["url"].removesuffix(f"/{_PROBE}")
    parts = urlsplit(base)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.netloc if parts.port != default else parts.netloc.removesuffix(f":{default}")
    return Endpoint(
        origin=f"{parts.scheme}://{host}",
        host=host,
        path=parts.path,
        region=signing.get("region") or region or "us-east-1",
        service=signing.get("signing_name") or "s3",
    )
