"""Azure Blob on Azurite through the public face: scan, walk, fetch, and what goes wrong, each by one clear line."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

import asyncref
from asyncref.backends import azure, open_backend
from asyncref.backends.base import Traits
from asyncref.errors import (
    AccessDeniedError,
    AsyncrefError,
    ChangedError,
    ConnectionFailedError,
    ContainerNotFoundError,
    CredentialsError,
    FetchError,
    NotFoundError,
)
from asyncref.model import Limits, ReadRequest
from asyncref.testing import body_of
from asyncref.uri import Reference
from tests.servers.authority import Authority
from tests.servers.azurite import ACCOUNT, KEY, azurite_server
from tests.servers.identity import CLIENT_SECRET, IDENTITY_HEADER, identities
from tests.servers.proxy import Status

QUICK = Limits(attempts=2, backoff_s=0.001, backoff_max_s=0.002)
TREE = [
    *(f"deep/{folder:02}/{number:02}.jpg" for folder in range(4) for number in range(6)),
    *(f"flat/{number:03}" for number in range(25)),
    *(
        "deep/02",
        "deep/02//x",
        "deep//a",
        "a//",
        "a//b",
        "both",
        "both/inner",
        "slash/",
        "slash/x",
        "é/ü",
        "z&<>",
        "z+%20",
    ),
]


@pytest.fixture
def container(azurite, bucket):
    return azurite.container(bucket)


@pytest.fixture
def small_pages(monkeypatch) -> None:
    """Azurite is slow above 2,000 blobs: a walk is made necessary by pages of 10."""
    monkeypatch.setattr(
        azure, "TRAITS", Traits(ordered=False, ranged=False, delimited=True, versioned=True, page_rows=10)
    )


def sas_of(bucket: str, permission: str = "rl", *, lives: timedelta = timedelta(hours=1)) -> str:
    return generate_container_sas(
        ACCOUNT,
        bucket,
        account_key=KEY,
        permission=ContainerSasPermissions(read="r" in permission, list="l" in permission),
        expiry=datetime.now(UTC) + lives,
        start=datetime.now(UTC) - timedelta(days=2),
    )


def seed(container, names) -> dict[str, bytes]:
    def put(name: str) -> None:
        container.upload_blob(name, f"the bytes of {name}".encode(), overwrite=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, names))
    return {name: f"the bytes of {name}".encode() for name in names}


@pytest.mark.usefixtures("small_pages")
async def test_a_tree_with_every_kind_of_name_comes_through_the_walk(azurite, bucket, container) -> None:
    seed(container, TREE)
    container.upload_blob("deep/03", b"", metadata={"hdi_isfolder": "true"})
    container.upload_blob("marker/", b"")
    manifest = await asyncref.scan(f"az://{bucket}/", storage_options=azurite.storage_options)
    assert [entry.path for entry in manifest] == sorted(TREE)
    assert manifest.record.skipped == {"folder_marker": 2}
    official = {blob.name: (blob.etag.strip('"'), blob.size) for blob in container.list_blobs()}
    assert {entry.path: (entry.digest, entry.size) for entry in manifest} == {name: official[name] for name in TREE}


async def test_a_prefix_means_what_a_person_means(azurite, bucket, container) -> None:
    seed(container, ["mnist/a", "mnist/b/c", "mnist2/a", "mnist-old/a", "both", "both/inner"])
    found = {}
    for prefix in ("mnist", "mnist/", "both", "both/"):
        manifest = await asyncref.scan(f"az://{bucket}/{prefix}", storage_options=azurite.storage_options)
        found[prefix] = [entry.path for entry in manifest]
    assert found == {"mnist": ["a", "b/c"], "mnist/": ["a", "b/c"], "both": ["both"], "both/": ["inner"]}


@pytest.mark.parametrize(
    "how", ["connection string", "environment", "key in environment", "sas", "sas in environment", "anonymous"]
)
async def test_a_scan_is_fetched_byte_for_byte_by_whatever_credentials(
    how: str, azurite, container, monkeypatch, tmp_path
) -> None:
    bucket = container.container_name
    bytes_of = seed(container, ["a b", "d/e//f", "é", "empty"])
    container.upload_blob("empty", b"", overwrite=True)
    if how == "anonymous":
        container.set_container_access_policy({}, public_access="container")
    if how == "environment":
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    if how.endswith("in environment"):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
        name, value = ("KEY", KEY) if how.startswith("key") else ("SAS_TOKEN", sas_of(bucket))
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", value)
    options = {
        "connection string": {"connection_string": azurite.connection_string},
        "environment": {},
        "key in environment": {"endpoint_url": azurite.endpoint},
        "sas in environment": {"endpoint_url": azurite.endpoint},
        "sas": {"endpoint_url": azurite.endpoint, "account_name": ACCOUNT, "sas_token": sas_of(bucket)},
        "anonymous": {"endpoint_url": azurite.endpoint, "account_name": ACCOUNT, "anon": True},
    }[how]
    manifest = await asyncref.scan(f"az://{bucket}/", storage_options=options)
    secrets = {name: options[name] for name in ("connection_string", "sas_token") if name in options}
    await asyncref.fetch(manifest, tmp_path / "out", storage_options=secrets, escape=True)
    stored = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*")
              if path.is_file()}  # fmt: skip
    assert stored.pop("empty") == b""
    assert sorted(stored.values()) == sorted(data for name, data in bytes_of.items() if name != "empty")
    manifest.save(tmp_path / "m.parquet")
    kept = (tmp_path / "m.parquet").read_bytes() + repr(manifest.sources).encode()
    assert KEY.encode() not in kept
    assert b"sig=" not in kept


async def test_an_overwritten_blob_is_an_error_that_names_it(azurite, bucket, container, tmp_path) -> None:
    seed(container, ["a", "b"])
    manifest = await asyncref.scan(f"az://{bucket}/", storage_options=azurite.storage_options)
    container.upload_blob("a", b"other", overwrite=True)
    container.delete_blob("b")
    with pytest.raises(FetchError) as caught:
        await asyncref.fetch(manifest, tmp_path / "out", storage_options={"account_key": KEY})
    kinds = {failure.path: type(failure.error) for failure in caught.value.failures}
    assert kinds["a"] is ChangedError
    assert kinds["b"] in (NotFoundError, ChangedError)  # Azurite: 412, since what is not there has no such ETag
    assert not list((tmp_path / "out").rglob("*"))


async def test_a_version_that_the_server_does_not_echo_is_not_passed_off(azurite, bucket, container) -> None:
    """Azurite answers with the current blob, status 200, whatever version is asked for."""
    seed(container, ["a"])
    backend = open_backend(Reference("az", bucket, ""), azurite.storage_options)
    version = "2020-01-01T00:00:00.0000000Z"
    with pytest.raises(NotFoundError, match="no such version"):
        await backend.stat("a", version)
    with pytest.raises(NotFoundError, match="no such version"):
        await body_of(backend, ReadRequest("a", version=version))
    with pytest.raises(NotFoundError, match="no such version"):
        await asyncref.scan(f"az://{bucket}/a?versionId={version}", storage_options=azurite.storage_options)
    await backend.aclose()


async def test_a_stub_of_a_folder_is_no_object(azurite, bucket, container) -> None:
    container.upload_blob("folder", b"", metadata={"hdi_isfolder": "true"})
    container.upload_blob("folder/a", b"x")
    backend = open_backend(Reference("az", bucket, ""), azurite.storage_options)
    with pytest.raises(NotFoundError, match="a folder"):
        await backend.stat("folder")
    await backend.aclose()
    manifest = await asyncref.scan(f"az://{bucket}/folder", storage_options=azurite.storage_options)
    assert [entry.path for entry in manifest] == ["a"]


async def test_the_uploader_s_md5_is_the_checksum(azurite, bucket, container) -> None:
    seed(container, ["a"])
    backend = open_backend(Reference("az", bucket, ""), azurite.storage_options)
    pin = await backend.stat("a")
    assert pin.checksum == f"md5:{hashlib.md5(b'the bytes of a').hexdigest()}"
    manifest = await asyncref.scan(f"az://{bucket}/", storage_options=azurite.storage_options)
    assert manifest["a"].pin.checksum == pin.checksum
    for request in (ReadRequest("a"), ReadRequest("a", start=1, stop=3)):
        assert (await body_of(backend, request))[0].checksum in (pin.checksum, None)
    await backend.aclose()


async def failing(uri: str, options: dict, **more: object) -> AsyncrefError:
    with pytest.raises(AsyncrefError) as caught:
        await asyncref.scan(uri, storage_options=options, limits=QUICK, **more)
    told = str(caught.value)
    assert "\n" not in told
    for secret in ("sig=", KEY, KEY[:20]):
        assert secret not in told
    return caught.value


@pytest.mark.usefixtures("container")
async def test_a_wrong_key_is_a_matter_of_credentials(azurite, bucket) -> None:
    error = await failing(f"az://{bucket}/", {**azurite.storage_options, "account_key": "d3Jvbmc="})
    assert type(error) is CredentialsError
    assert bucket in str(error)


@pytest.mark.usefixtures("container")
async def test_an_expired_sas_says_so(azurite, bucket) -> None:
    options = {"endpoint_url": azurite.endpoint, "account_name": ACCOUNT}
    expired = sas_of(bucket, lives=-timedelta(hours=1))
    assert type(await failing(f"az://{bucket}/", {**options, "sas_token": expired})) is CredentialsError


async def test_a_sas_that_may_not_list_is_denied_and_never_missing(azurite, bucket, container) -> None:
    seed(container, ["a"])
    options = {"endpoint_url": azurite.endpoint, "account_name": ACCOUNT, "sas_token": sas_of(bucket, "r")}
    error = await failing(f"az://{bucket}/", options)
    assert type(error) is AccessDeniedError
    assert "permission l" in str(error)


async def test_a_missing_container_is_called_that(azurite) -> None:
    error = await failing("az://there-is-none/x/", azurite.storage_options)
    assert type(error) is ContainerNotFoundError
    assert "'there-is-none'" in str(error)


async def test_an_account_that_is_not_there_is_named(monkeypatch) -> None:
    async def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere, raising=False)
    error = await failing("az://box/", {"account_name": "nosuchaccount", "account_key": KEY})
    assert type(error) is ConnectionFailedError
    assert "is there a storage account 'nosuchaccount'?" in str(error)


@pytest.mark.usefixtures("small_pages")
async def test_a_sas_that_expires_in_mid_scan_ends_it_by_name_and_a_new_one_goes_on(
    azurite, bucket, container, proxy_to, tmp_path
) -> None:
    """The documented answer of Azure to an expired SAS, put in by a proxy before the fifth page."""
    seed(container, TREE)
    proxy = proxy_to(azurite.endpoint.removesuffix(f"/{ACCOUNT}"))
    detail = "Signature not valid in the specified time frame: Start [x] - Expiry [y] - Current [z]"
    body = f"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.\nRequestId:1</Message><AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail></Error>"
    seen = []

    def script(request):
        seen.append(request)
        return [Status(403, body.encode(), (("x-ms-error-code", "AuthenticationFailed"),))] if len(seen) >= 5 else []

    proxy.script = script
    options = {"endpoint_url": f"{proxy.endpoint}/{ACCOUNT}", "account_name": ACCOUNT, "sas_token": sas_of(bucket)}
    error = await failing(f"az://{bucket}/", options, resume=tmp_path / "scans")
    assert type(error) is CredentialsError
    assert "not valid in the specified time frame" in str(error)
    proxy.forget()
    fresh = options | {"sas_token": sas_of(bucket, lives=timedelta(hours=2))}
    manifest = await asyncref.scan(f"az://{bucket}/", storage_options=fresh, resume=tmp_path / "scans")
    assert [entry.path for entry in manifest] == sorted(TREE)


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """An Azurite that takes bearer tokens, which it does with TLS only."""
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    with azurite_server(folder, tls=(folder / "server.pem", folder / "server.key")) as server:
        yield server, authority.ca, (folder / "server.pem", folder / "server.key")


def seeded(secure, bucket):
    server, ca, _ = secure
    client = BlobServiceClient(server.endpoint, credential=KEY, retry_total=0, connection_verify=str(ca))
    container = client.create_container(bucket)
    container.upload_blob("set/a", b"some bytes")
    return {"endpoint_url": server.endpoint, "account_name": ACCOUNT, "verify": str(ca)}


async def test_a_managed_identity_reads_by_the_default_chain(secure, bucket, monkeypatch, tmp_path) -> None:
    options = seeded(secure, bucket)
    async with identities() as given:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{given.url}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        manifest = await asyncref.scan(f"az://{bucket}/set/", storage_options=options)
        await asyncref.fetch(manifest, tmp_path / "out", storage_options={"verify": options["verify"]})
        assert set(given.asked) == {"GET /msi"}
        given.lasts_s = 0  # about to end: each request asks for another
        given.asked.clear()
        await asyncref.scan(f"az://{bucket}/set/", storage_options=options)
        await asyncref.scan(f"az://{bucket}/set/a", storage_options=options)
        assert len(given.asked) >= 2
        monkeypatch.setenv("IDENTITY_HEADER", "wrong")
        error = await failing(f"az://{bucket}/set/", options)
    assert type(error) is CredentialsError
    assert (tmp_path / "out/a").read_bytes() == b"some bytes"
    assert not any(secret in repr(manifest.sources) + str(error) for secret in given.given)


async def test_a_service_principal_reads_by_its_secret_and_a_wrong_one_is_one_line(secure, bucket, tmp_path) -> None:
    """In a process of its own: OpenSSL reads whom to trust, where Entra ID is asked, when it starts."""
    options = seeded(secure, bucket)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*secure[2])
    async with identities(context) as given:
        for secret, code in ((CLIENT_SECRET, 0), ("wrong~hidden", 1)):
            command = [sys.executable, "-m", "asyncref", "scan", f"az://{bucket}/set/", "-v", "--json"]
            command += ["-o", str(tmp_path / f"{code}.parquet")]
            command += [word for item in options.items() for word in ("--storage-option", "=".join(item))]
            environment = {
                "AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555",
                "AZURE_CLIENT_ID": "66666666-7777-8888-9999-000000000000",
                "AZURE_CLIENT_SECRET": secret,
                "AZURE_AUTHORITY_HOST": given.url,
                "SSL_CERT_FILE": options["verify"],
            }
            process = await asyncio.create_subprocess_exec(
                *command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said = (await process.communicate())[0].decode()
            assert process.returncode == code, said
            assert secret not in said
            assert not any(token in said for token in given.given)
            assert ("AADSTS7000215" in said) is bool(code)
    assert len(asyncref.Manifest.load(tmp_path / "0.parquet")) == 1
