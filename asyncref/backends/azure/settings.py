"""Settings of Azure Blob: reference, storage options and environment; every option honoured or refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from asyncref.backends.azure.sign import AccountKey
from asyncref.backends.azure.tokens import Tokens, default_credential, service_principal
from asyncref.errors import OptionError
from asyncref.model import Limits
from asyncref.net.settings import HttpSettings

OPTIONS: Final = {
    "account_name": "the storage account",
    "account_key": "its key",
    "sas_token": "a shared access signature",
    "connection_string": "account, key or SAS, and endpoint in one",
    "credential": "an object with get_token, such as azure-identity's",
    "tenant_id": "of a service principal",
    "client_id": "of a service principal",
    "client_secret": "of a service principal",
    "anon": "ask without credentials",
    "endpoint_url": "base URL of the service: an emulator's, or another cloud's",
    "account_host": "host of the account in another cloud",
    "verify": "False, or the file of trusted authorities",
}
# Those of the az command line first, then adlfs's.
_ACCOUNT_VARIABLES: Final = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
_KEY_VARIABLES: Final = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
_SAS_VARIABLES: Final = ("AZURE_STORAGE_SAS_TOKEN",)
_STRING_VARIABLES: Final = ("AZURE_STORAGE_CONNECTION_STRING",)
# Azurite's, published by Microsoft: "Use the Azurite emulator", section "Well-known storage account and key".
_EMULATOR: Final = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
_NAME: Final = re.compile(r"[a-z0-9-]{3,63}|\$root|\$web|\$logs|\$blobchangefeed")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HINT: Final = "give account_name=, set AZURE_STORAGE_ACCOUNT, or write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/"


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """What was chosen, and nothing secret in its `repr`.

    Attributes:
        container: Its name.
        account: The storage account.
        endpoint: Base URL without a slash at its end.
        custom: Whether the endpoint follows from neither the account's name nor the reference.
        key: Signs requests.
        sas: Is appended to every URL.
        tokens: Gives bearer tokens.
        anon: Ask without credentials.
        shown: Where the credentials came from, in words, never what they are; empty: there are none.
        http: For the pool.
    """

    container: str
    account: str
    endpoint: str
    custom: bool
    key: AccountKey | None
    sas: str | None = field(repr=False)
    tokens: Tokens | None = field(repr=False)
    anon: bool
    shown: str
    http: HttpSettings


@dataclass(frozen=True, slots=True)
class _Where:
    """What a reference's container says."""

    container: str
    account: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Credentials, and where they came from in words."""

    shown: str = ""
    key: AccountKey | None = None
    sas: str | None = field(default=None, repr=False)
    tokens: Tokens | None = field(default=None, repr=False)


def read_settings(container: str, options: Mapping[str, Any], limits: Limits, *, concurrency: int) -> AzureSettings:
    """Put together reference, options and environment; no request is sent.

    Args:
        container: `c`, `c@ACCOUNT.dfs.core.windows.net` or `ACCOUNT.blob.core.windows.net/c`.
        options: In adlfs's names.
        limits: For the pool's bounds.
        concurrency: Requests of one kind in flight at most.

    Raises:
        OptionError: Unknown, malformed, missing or contradicting; names the setting.
    """
    for name in options:
        if name not in OPTIONS:
            raise OptionError(f"unknown storage option {name!r} for Azure", hint=f"known are {', '.join(OPTIONS)}")
    where = _where(container)
    chosen = {name: value for name, value in options.items() if value not in (None, "")}
    given = _connection(chosen.get("connection_string"))
    around = _connection(_variable(_STRING_VARIABLES))
    account = _account(where, chosen, given, around)
    if around.get("AccountName") != account:
        around = {}  # another account's: neither its key nor its endpoint is for this one
    endpoint, custom = _endpoint(where, chosen, given, around, account)
    anon = bool(chosen.get("anon"))
    found = _Found() if anon else _credentials(chosen, given, around, account)
    if found.tokens is not None and endpoint.startswith("http:") and urlsplit(endpoint).hostname not in _LOOPBACK:
        raise OptionError("a token is not sent over plain http", hint="use an https endpoint")
    return AzureSettings(
        container=where.container,
        account=account,
        endpoint=endpoint,
        custom=custom,
        key=found.key,
        sas=found.sas,
        tokens=found.tokens,
        anon=anon,
        shown=found.shown,
        http=HttpSettings(
            connections=2 * (limits.concurrency or concurrency),
            connect_timeout_s=limits.connect_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
            verify=chosen.get("verify", True),
        ),
    )


def _where(container: str) -> _Where:
    if "/" in container:
        host, _, name = container.partition("/")
    else:
        name, _, host = container.partition("@")
    if not _NAME.fullmatch(name):
        raise OptionError(f"no container can be called {name!r}", hint="3 to 63 of a-z, 0-9 and -")
    if not host:
        return _Where(name)
    account, dot, rest = host.partition(".")
    if not dot:
        return _Where(name, account)
    host = f"{account}.{rest.replace('dfs.', 'blob.', 1) if rest.startswith('dfs.') else rest}"
    return _Where(name, account.removesuffix("-secondary"), host)


def _account(where: _Where, chosen: Mapping[str, Any], given: Mapping[str, str], around: Mapping[str, str]) -> str:
    """The account; sources that the user typed must agree."""
    typed = [name for name in (where.account, chosen.get("account_name"), given.get("AccountName")) if name]
    if len(set(typed)) > 1:
        raise OptionError(f"two storage accounts are named: {typed[0]!r} and {typed[1]!r}")
    host = urlsplit(str(chosen.get("endpoint_url") or given.get("BlobEndpoint") or "")).hostname or ""
    from_host = host.partition(".")[0] if ".blob." in host else None
    account = (typed or [from_host or _variable(_ACCOUNT_VARIABLES) or around.get("AccountName")])[0]
    if not account:
        raise OptionError(f"no storage account is named for the container {where.container!r}", hint=_HINT)
    return account


def _endpoint(
    where: _Where, chosen: Mapping[str, Any], given: Mapping[str, str], around: Mapping[str, str], account: str
) -> tuple[str, bool]:
    """Base URL, and whether it has to be recorded to be found again."""
    plain = f"https://{account}.blob.core.windows.net"
    found = chosen.get("endpoint_url") or (f"https://{where.host}" if where.host else None)
    if not found and chosen.get("account_host"):
        found = f"https://{chosen['account_host']}"
    for parts in (given, around):
        if not found and parts:
            suffix, protocol = parts.get("EndpointSuffix"), parts.get("DefaultEndpointsProtocol", "https")
            found = parts.get("BlobEndpoint") or (f"{protocol}://{account}.blob.{suffix}" if suffix else None)
    found = str(found or plain).rstrip("/")
    split = urlsplit(found)
    if split.scheme not in {"http", "https"} or not split.hostname or split.query:
        raise OptionError("the endpoint is no URL", hint="write https://host or http://host:port/account")
    return found, found not in {plain, f"https://{where.host}"}


def _credentials(
    chosen: Mapping[str, Any], given: Mapping[str, str], around: Mapping[str, str], account: str
) -> _Found:
    """The first that there is: options, then the environment, then azure-identity's chain."""
    if (identity := _identity(chosen)) is not None:
        return identity
    mine = _variable(_ACCOUNT_VARIABLES) in {None, account}
    keys = {
        "storage_options (account_key)": chosen.get("account_key"),
        "storage_options (connection_string)": given.get("AccountKey"),
    }
    signatures = {
        "storage_options (sas_token)": chosen.get("sas_token"),
        "storage_options (connection_string)": given.get("SharedAccessSignature"),
    }
    if not any((*keys.values(), *signatures.values())):
        keys = {"AZURE_STORAGE_CONNECTION_STRING": around.get("AccountKey")}
        signatures = {"AZURE_STORAGE_CONNECTION_STRING": around.get("SharedAccessSignature")}
        if mine:
            keys |= {name: os.environ.get(name) for name in _KEY_VARIABLES}
            signatures |= {name: os.environ.get(name) for name in _SAS_VARIABLES}
    for shown, text in keys.items():
        if text:
            return _Found(f"{shown}, an account key", key=AccountKey.of(account, str(text)))
    for shown, text in signatures.items():
        if text:
            return _Found(f"{shown}, a shared access signature", sas=str(text).lstrip("?&").strip())
    chain = "azure-identity's DefaultAzureCredential: environment, workload or managed identity, az login"
    return _Found(chain, tokens=Tokens(default_credential))


def _identity(chosen: Mapping[str, Any]) -> _Found | None:
    """An identity that the options name, which gives tokens."""
    if (credential := chosen.get("credential")) is not None:
        if not hasattr(credential, "get_token"):
            raise OptionError("credential has no get_token", hint="give a key or SAS as account_key= or sas_token=")
        return _Found("storage_options (credential)", tokens=Tokens(lambda: credential, close=False))
    principal = [chosen.get(name) for name in ("tenant_id", "client_id", "client_secret")]
    if not any(principal):
        return None
    if not all(principal):
        raise OptionError("tenant_id, client_id and client_secret go together")
    tokens = Tokens(partial(service_principal, *map(str, principal)))
    return _Found("storage_options (tenant_id, client_id, client_secret)", tokens=tokens)


def _connection(text: Any) -> dict[str, str]:
    """The parts of a connection string; nothing of it is quoted in an error."""
    if not text:
        return {}
    pairs = (part.partition("=") for part in str(text).strip().split(";") if part.strip())
    parts = {name.strip(): value.strip() for name, _, value in pairs}
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return dict(_EMULATOR)
    if not parts.keys() & {"AccountName", "BlobEndpoint"}:
        raise OptionError("the connection string has neither AccountName nor BlobEndpoint")
    if "AccountName" not in parts:  # a SAS string has endpoints only
        split = urlsplit(parts["BlobEndpoint"])
        first = split.path.strip("/").partition("/")[0]
        parts["AccountName"] = first or (split.hostname or "").partition(".")[0]
    return parts


def _variable(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
