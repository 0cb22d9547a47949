"""Bearer tokens from azure-identity's credentials, kept until they are about to expire; never printed."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import anyio

from asyncref.errors import AsyncrefError, ConnectionFailedError, CredentialsError
from asyncref.net.aside import aside

SCOPE: Final = "https://storage.azure.com/.default"
_MOST: Final = 400  # characters of a reason
_EARLY_S: Final = 300.0  # azure-core, too, asks for a new token five minutes before the old one ends
_HINT: Final = (
    "az login, a managed identity or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET give one; or use "
    "account_key=, sas_token=, connection_string= or anon=True"
)


class Tokens:
    """Tokens for storage.

    Args:
        make: Makes the credential when the first token is needed: an object with `get_token`, sync or async.
        close: Whether it is ours to close.
    """

    def __init__(self, make: Callable[[], Any], *, close: bool = True) -> None:
        self._make = make
        self._close = close
        self._credential: Any = None
        self._token: str | None = None
        self._expires_s = 0.0
        self._asking = anyio.Lock()

    async def get(self, uri: str, *, refused: str | None = None) -> str:
        """A token that is good for a while.

        Args:
            uri: Whom it is for; for errors.
            refused: A token that the server did not take: another one is asked for.

        Raises:
            CredentialsError: There is none.
            ConnectionFailedError: Whoever gives tokens does not answer.
        """
        async with self._asking:
            if self._token is None or self._token == refused or self._expires_s - time.time() < _EARLY_S:
                try:
                    await self._renew()
                except AsyncrefError as error:
                    error.uri = uri
                    raise
            assert self._token is not None
            return self._token

    async def _renew(self) -> None:
        try:
            if self._credential is None:
                self._credential = self._make()
            if inspect.iscoroutinefunction(self._credential.get_token):
                found = await self._credential.get_token(SCOPE)
            else:
                found = await aside(partial(self._credential.get_token, SCOPE))
        except AsyncrefError:
            raise
        except Exception as error:
            kind = type(error).__name__
            if kind in {"ServiceRequestError", "ServiceResponseError"}:
                raise ConnectionFailedError(f"no token could be had: {_reason(error)}") from error
            raise CredentialsError(f"no token could be had: {_reason(error)}", hint=_HINT) from error
        self._token, self._expires_s = found.token, float(found.expires_on)

    async def aclose(self) -> None:
        """Close the credential, if it is ours. Idempotent."""
        credential, self._credential = self._credential, None
        if self._close and credential is not None:
            await credential.close()


def default_credential() -> Any:
    """azure-identity's chain: environment, workload and managed identity, developer tools.

    Raises:
        CredentialsError: azure-identity is not installed.
    """
    return _identity().DefaultAzureCredential()


def service_principal(tenant_id: str, client_id: str, client_secret: str) -> Any:
    """An application's own identity.

    Raises:
        CredentialsError: azure-identity is not installed.
    """
    return _identity().ClientSecretCredential(tenant_id, client_id, client_secret)


def _identity() -> Any:
    try:
        import azure.identity.aio as identity  # noqa: PLC0415  an extra: 0.3 s that only those pay who need it
    except ImportError as error:
        raise CredentialsError(
            "no credentials were given, and azure-identity, which looks for some, is not installed",
            hint="pip install 'asyncref[azure]', or use account_key=, sas_token=, connection_string= or anon=True",
        ) from error
    return identity


def _reason(error: Exception) -> str:
    """Its first line and, of a chain of credentials, the one that failed: those that merely were not set up say so."""
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    tried = [line.strip() for line in others if line.startswith("\t") and "unavailable" not in line]
    return ": ".join(text.rstrip(".:") for text in (first, *tried[-1:]))[:_MOST]
