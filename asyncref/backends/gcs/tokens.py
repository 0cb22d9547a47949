"""Access tokens by gcloud-aio-auth: service accounts, users, workload identity, the metadata server; kept fresh.

Its `refresh` alone is used. Its own loop around it would try wrong credentials five times with growing pauses, and
its HTTP session would know nothing of the proxy and the authorities that were chosen here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import anyio
import orjson

from asyncref.backends.gcs.settings import GcsSettings
from asyncref.errors import ConnectionFailedError, CredentialsError, OptionError, ServerError, ThrottledError
from asyncref.net.http import HttpPool, Reply
from asyncref.net.settings import HttpSettings

_SCOPES: Final = ["https://www.googleapis.com/auth/devstorage.read_only"]
_METADATA: Final = "http://{}/computeMetadata/v1/instance/service-accounts/default/token"
_TIMEOUT_S: Final = 30
_EARLY_S: Final = 240.0  # the metadata server gives a new token five minutes before the old one's end
_NONE: Final = "no credentials were found"
_HINT: Final = "set GOOGLE_APPLICATION_CREDENTIALS, run gcloud auth application-default login, or ask with anon=True"
_INSTALL: Final = "pip install 'asyncref[gcs]'"


class Tokens:
    """The access token of one identity; asked for when first needed, never printed.

    Args:
        settings: Who asks, and how to reach servers.
    """

    def __init__(self, settings: GcsSettings) -> None:
        self._identity = settings.identity
        self._wire = _Wire(settings.http)
        self._source: Any = None
        self._refreshing = anyio.Lock()
        self._value: str | None = None
        self._fresh_until_s = 0.0
        self._had = False
        if settings.identity.kind == "access":
            self._value, self._fresh_until_s = str(settings.identity.secret), float("inf")

    async def get(self, uri: str) -> str:
        """The token for one request; a new one if it is about to expire.

        Args:
            uri: Whom the request is for; for errors.

        Raises:
            CredentialsError: None found, or refused.
            ConnectionFailedError, ServerError: Whoever gives them did not answer.
        """
        if self._value is None or monotonic() >= self._fresh_until_s:
            async with self._refreshing:
                if self._value is None or monotonic() >= self._fresh_until_s:
                    await self._refresh(uri)
        assert self._value is not None
        return self._value

    def drop(self, refused: str) -> bool:
        """Forget a token that the server did not accept; whether another can be had."""
        if self._identity.kind == "access":
            return False
        if self._value == refused:
            self._value = None
        return True

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._wire.close()

    async def _refresh(self, uri: str) -> None:
        source = self._source or self._open(uri)
        self._wire.uri = uri
        try:
            response = await source.refresh(timeout=_TIMEOUT_S)
        except ConnectionFailedError as error:
            if self._had or source.token_type.value != "gce_metadata":
                raise
            raise CredentialsError(_NONE, uri=uri, hint=_HINT) from error
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _unusable(uri, self._identity.shown) from error
        except Exception as error:
            # PyJWT's and cryptography's own errors; their text may quote what they could not read.
            if type(error).__module__.split(".")[0] not in {"jwt", "cryptography"}:
                raise
            raise _unusable(uri, self._identity.shown) from None
        lasts_s = float(response.expires_in)
        self._source, self._value, self._had = source, response.value, True
        self._fresh_until_s = monotonic() + max(lasts_s - _EARLY_S, lasts_s / 2)

    def _open(self, uri: str) -> Any:
        try:
            from gcloud.aio.auth import Token  # noqa: PLC0415  an extra, and 0.3 s
        except ImportError as error:
            raise OptionError("credentials of Google's need gcloud-aio-auth", uri=uri, hint=_INSTALL) from error
        kind, secret = self._identity.kind, self._identity.secret
        content = None if secret is None else io.StringIO(orjson.dumps(secret).decode())
        try:
            # `{}`: no file at all, which is the metadata server
            source: Any = Token(service_file=io.StringIO("{}") if kind == "metadata" else content, scopes=_SCOPES)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _unusable(uri, self._identity.shown) from error
        if source.token_type.value == "gce_metadata":
            host = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT")
            source.token_uri = _METADATA.format(host or "metadata.google.internal")
        source.session = self._wire
        return source


class _Wire:
    """What gcloud-aio-auth asks its session for, over a pool of ours.

    Args:
        settings: How to reach servers.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self.uri = ""
        few = replace(settings, connections=4)
        self._pool = HttpPool(few)
        # What is asked with GET is the machine's own (metadata, a subject token): no proxy leads there.
        self._direct = HttpPool(replace(few, proxies={}))

    async def post(self, url: str, data: str, headers: Mapping[str, str], **_: Any) -> _Said:
        return self._judged(await self._pool.fetch("POST", url, headers, uri=self.uri, data=data.encode()))

    async def get(self, url: str, headers: Mapping[str, str] | None = None, **_: Any) -> _Said:
        return self._judged(await self._direct.fetch("GET", url, headers or {}, uri=self.uri))

    async def close(self) -> None:
        await self._pool.aclose()
        await self._direct.aclose()

    def _judged(self, reply: Reply) -> _Said:
        if reply.status == HTTPStatus.OK:
            return _Said(reply.body)
        if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ThrottledError("whoever gives access tokens asks to slow down", uri=self.uri)
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerError(f"no access token came: status {reply.status}", uri=self.uri)
        raise CredentialsError(f"no access token is given for these credentials: {_reason(reply)}", uri=self.uri)


@dataclass(frozen=True, slots=True)
class _Said:
    """A good answer, as gcloud-aio-auth reads one."""

    body: bytes

    async def json(self) -> Any:
        return orjson.loads(self.body)

    async def text(self) -> str:
        return self.body.decode()


def _reason(reply: Reply) -> str:
    """What an OAuth server (RFC 6749 §5.2) or a Google API says of a refusal; neither quotes a secret."""
    try:
        said = orjson.loads(reply.body)
        error = said["error"]
        text = error["message"] if isinstance(error, dict) else f"{error}: {said.get('error_description', '')}"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        text = f"status {reply.status}"
    return " ".join(str(text).split())[:200].rstrip(": ")


def _unusable(uri: str, shown: str) -> CredentialsError:
    return CredentialsError(f"the credentials cannot be used ({shown}): a part is missing or damaged", uri=uri)
