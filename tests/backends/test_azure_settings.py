"""References, options and environment of Azure: each is honoured or refused by name, and nothing secret is shown."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from asyncref import uri
from asyncref.backends import open_backend
from asyncref.backends.azure.settings import AzureSettings, read_settings
from asyncref.backends.azure.tokens import Tokens
from asyncref.engine.fetch.sources import merged
from asyncref.errors import ConnectionFailedError, CredentialsError, InvalidURIError, OptionError
from asyncref.model import Limits
from asyncref.uri import Reference

KEY = "c2VjcmV0LWtleQ=="
SAS = "sv=2023-11-03&sp=rl&sig=c2VjcmV0LXNpZw%3D%3D"
MINE = {"account_name": "mine", "account_key": KEY}


def settings_of(container: str = "box", **options) -> AzureSettings:
    return read_settings(container, options, Limits(), concurrency=8)


@pytest.mark.parametrize(
    ("typed", "account", "key"),
    [
        ("az://box/a b#c", None, "a b#c"),
        ("abfs://box@mine.dfs.core.windows.net/a/b", "mine", "a/b"),
        ("abfss://box@mine.dfs.core.windows.net/a", "mine", "a"),
        ("az://box@mine.blob.core.windows.net/a", "mine", "a"),
        ("https://mine.blob.core.windows.net/box/a//b?c", "mine", "a//b?c"),
        ("https://mine.z07.blob.storage.azure.net/box/a", "mine", "a"),
        ("https://mine.blob.core.usgovcloudapi.net/box", "mine", ""),
    ],
)
def test_every_form_of_a_reference_names_container_account_and_key(typed: str, account: str | None, key: str) -> None:
    reference = uri.parse(typed)
    assert reference.key == key
    assert uri.service(reference.scheme, reference.container) == "az"
    options = {} if account else {"account_name": "mine"}
    backend = open_backend(reference, {"az": {**options, "account_key": KEY}})
    source = backend.source(reference)
    assert source.account == "mine"
    assert source.key_of(backend.reference("x/y")) == "x/y"
    assert backend.reference(key) == (typed if key else f"{typed}/")
    again = open_backend(Reference(source.scheme, source.container, ""), merged(source, {"account_key": KEY}))
    assert again.source(reference) == source


def test_w_and_b_s_url_is_asked_at_its_own_host() -> None:
    assert (
        settings_of("mine.blob.core.windows.net/box", account_key=KEY).endpoint == "https://mine.blob.core.windows.net"
    )
    assert settings_of("box@mine.dfs.core.chinacloudapi.cn", account_key=KEY).endpoint == (
        "https://mine.blob.core.chinacloudapi.cn"
    )


@pytest.mark.parametrize(
    "typed", ["az://box/a?versionId=2026", "https://mine.blob.core.windows.net/box/a?versionid=2026"]
)
def test_a_typed_version_is_read(typed: str) -> None:
    reference = uri.parse(typed)
    assert (reference.key, reference.version) == ("a", "2026")


def test_a_signed_url_is_refused_without_its_secret() -> None:
    with pytest.raises(InvalidURIError) as caught:
        uri.parse(f"https://mine.blob.core.windows.net/box/a?{SAS}")
    assert "c2VjcmV0" not in str(caught.value)


def test_other_https_urls_are_no_azure() -> None:
    for typed in ("https://example.org/a/b", "https://mine.blob.core.windows.net.example.org/box/a"):
        reference = uri.parse(typed)
        assert uri.service(reference.scheme, reference.container) == "https"
    with pytest.raises(InvalidURIError, match="no container"):
        uri.parse("https://mine.blob.core.windows.net/")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"account_key": KEY}, "key"),
        ({"sas_token": f"?{SAS}"}, "sas"),
        ({"connection_string": f"AccountName=mine;AccountKey={KEY};EndpointSuffix=core.windows.net"}, "key"),
        ({"connection_string": f"BlobEndpoint=https://mine.blob.core.windows.net;SharedAccessSignature={SAS}"}, "sas"),
        ({"credential": SimpleNamespace(get_token=None)}, "tokens"),
        ({"tenant_id": "t", "client_id": "c", "client_secret": "s"}, "tokens"),
        ({"anon": True, "account_key": KEY}, None),
        ({}, "tokens"),
    ],
)
def test_options_choose_who_asks(options, found: str | None) -> None:
    settings = settings_of("box@mine.blob.core.windows.net", **options)
    assert [name for name in ("key", "sas", "tokens") if getattr(settings, name) is not None] == (
        [found] if found else []
    )
    assert settings.sas in (None, SAS)
    assert settings.anon == (found is None)


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_KEY": KEY}, "key"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "mine", "AZURE_STORAGE_ACCOUNT_KEY": KEY}, "key"),
        ({"AZURE_STORAGE_ACCOUNT": "mine", "AZURE_STORAGE_SAS_TOKEN": SAS}, "sas"),
        ({"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=mine;AccountKey={KEY}"}, "key"),
        ({"AZURE_STORAGE_ACCOUNT": "mine"}, "tokens"),
    ],
)
def test_the_environment_chooses_where_no_option_does(variables, found: str, monkeypatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = settings_of()
    assert settings.account == "mine"
    assert getattr(settings, found) is not None
    assert settings_of(**MINE, sas_token=None).key is not None


def test_another_account_s_credentials_in_the_environment_are_not_sent(monkeypatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "other")
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", f"AccountName=third;AccountKey={KEY};BlobEndpoint=http://third"
    )
    settings = settings_of("box@mine.dfs.core.windows.net")
    assert (settings.key, settings.endpoint) == (None, "https://mine.blob.core.windows.net")
    assert settings.tokens is not None


def test_the_emulator_is_found_by_its_short_connection_string() -> None:
    settings = settings_of(connection_string="UseDevelopmentStorage=true")
    assert (settings.account, settings.endpoint) == ("devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1")
    assert settings.custom


@pytest.mark.parametrize(
    ("container", "options", "says"),
    [
        ("box", {}, "no storage account"),
        ("box", {**MINE, "acount_key": KEY}, "unknown storage option 'acount_key'"),
        ("Box", MINE, "no container can be called 'Box'"),
        ("box@other.dfs.core.windows.net", MINE, "two storage accounts"),
        ("box", {"account_name": "a", "connection_string": f"AccountName=b;AccountKey={KEY}"}, "two storage accounts"),
        ("box", {"account_name": "mine", "account_key": "not base64 c2VjcmV0"}, "no base64"),
        ("box", {"connection_string": "c2VjcmV0"}, "neither AccountName nor BlobEndpoint"),
        ("box", {"account_name": "mine", "credential": "c2VjcmV0"}, "get_token"),
        ("box", {"account_name": "mine", "client_id": "c"}, "go together"),
        ("box", {**MINE, "endpoint_url": "mine.example.org"}, "no URL"),
        ("box", {**MINE, "endpoint_url": f"https://mine.example.org?{SAS}"}, "no URL"),
        ("box", {"account_name": "mine", "endpoint_url": "http://example.org"}, "plain http"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_without_secrets(container: str, options, says: str) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        settings_of(container, **options)
    assert "c2VjcmV0" not in str(caught.value)


def test_nothing_secret_is_printed() -> None:
    for options in ({"account_key": KEY}, {"sas_token": SAS}):
        shown = repr(settings_of(account_name="mine", **options))
        assert "c2VjcmV0" not in shown
        assert "secret-key" not in shown


class Credential:
    """azure-identity's shape, sync or async."""

    def __init__(self, *lives_s: float, error: Exception | None = None) -> None:
        self.lives_s = list(lives_s)
        self.error = error
        self.made = 0
        self.closed = False

    async def get_token(self, scope: str) -> SimpleNamespace:
        assert scope == "https://storage.azure.com/.default"
        if self.error is not None:
            raise self.error
        self.made += 1
        return SimpleNamespace(token=f"token {self.made}", expires_on=time.time() + self.lives_s.pop(0))

    async def close(self) -> None:
        self.closed = True


async def test_a_token_is_kept_until_it_is_about_to_end_or_is_refused() -> None:
    credential = Credential(3600.0, 100.0, 3600.0)
    tokens = Tokens(lambda: credential)
    assert [await tokens.get("az://box/") for _ in range(3)] == ["token 1"] * 3
    assert await tokens.get("az://box/", refused="token 1") == "token 2"
    assert await tokens.get("az://box/") == "token 3"  # the second had 100 s left
    await tokens.aclose()
    await tokens.aclose()
    assert credential.closed


async def test_a_sync_credential_serves_too_and_stays_open() -> None:
    closed = []
    credential = SimpleNamespace(
        get_token=lambda _: SimpleNamespace(token="t", expires_on=time.time() + 3600), close=lambda: closed.append(1)
    )
    tokens = Tokens(lambda: credential, close=False)
    assert await tokens.get("az://box/") == "t"
    await tokens.aclose()
    assert not closed


async def test_no_token_is_one_clear_line() -> None:
    class ServiceRequestError(Exception):
        pass

    tokens = Tokens(lambda: Credential(error=ValueError("none found.\nTried:\n\tOne: authentication unavailable.")))
    with pytest.raises(CredentialsError, match="none found; az login") as caught:
        await tokens.get("az://box/")
    assert caught.value.uri == "az://box/"
    with pytest.raises(ConnectionFailedError):
        await Tokens(lambda: Credential(error=ServiceRequestError("timed out"))).get("az://box/")


async def test_the_chain_of_azure_identity_reads_its_environment_and_fails_by_name(monkeypatch) -> None:
    """The real DefaultAzureCredential, with nothing in it that could answer."""
    for name in ("CLIENT_ID", "TENANT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"AZURE_{name}", raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    settings = settings_of(account_name="mine")
    with pytest.raises(CredentialsError, match="az login"):
        await settings.tokens.get("az://box/")
    await settings.tokens.aclose()


async def test_without_azure_identity_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    settings = settings_of(account_name="mine")
    with pytest.raises(CredentialsError, match=r"asyncref\[azure\]"):
        await settings.tokens.get("az://box/")


async def test_of_a_chain_the_credential_that_failed_is_named() -> None:
    said = (
        "none found.\nTried:\n\tOne: authentication unavailable.\n\tTwo: the secret is too old.\n\tThree: unavailable."
    )
    tokens = Tokens(lambda: Credential(error=ValueError(said)))
    with pytest.raises(CredentialsError, match="none found: Two: the secret is too old; az login"):
        await tokens.get("az://box/")
