"""The same 2,000 files on every storage: equal paths, sizes and content digests, and every byte back from each.

What a storage cannot hold stands in `LACKS`, with the reason; what is left is compared with one description of the
tree, so that all are equal to each other. A kernel NFS mount has it in tests/backends/on_mount.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

import asyncref
from asyncref.errors import FetchError
from tests.same_tree import FOLDERS, LACKS, NAMES, as_files, tree, whole_tree
from tests.servers import S3Server
from tests.servers.azurite import ACCOUNT, KEY
from tests.servers.fake_gcs import GcsServer, fake_gcs_server

WEB = ("nginx", "apache", "caddy", "lighttpd")
STORAGES = [name for name in LACKS if name != "nfs"]
HAS_MD5 = frozenset(LACKS) - set(WEB)

Send = Callable[[aiohttp.ClientSession, str, bytes], Awaitable[None]]


@dataclass(frozen=True)
class Store:
    """One storage.

    Attributes:
        uri: Of the tree.
        options: For a scan and a fetch.
        put: Stores objects, many at once.
    """

    uri: str
    options: dict[str, Any]
    put: Callable[[Mapping[str, bytes]], Awaitable[None]]


def over_http(send: Send) -> Callable[[Mapping[str, bytes]], Awaitable[None]]:
    """Sixteen requests at a time; the official clients' call paths would take a minute for 2,000."""

    async def put(objects: Mapping[str, bytes]) -> None:
        left = iter(objects.items())

        async def write(session: aiohttp.ClientSession) -> None:
            for key, body in left:
                await send(session, key, body)

        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(write(session))

    return put


@asynccontextmanager
async def good(request: Any) -> Any:
    async with request as answer:
        assert answer.status in {200, 201}, await answer.text()
        yield answer


def on_s3(server: S3Server, bucket: str) -> Store:
    server.client().create_bucket(Bucket=bucket)
    signer = S3SigV4Auth(Credentials(server.key, server.secret), "s3", server.region)

    async def send(session: aiohttp.ClientSession, key: str, body: bytes) -> None:
        url = f"{server.endpoint}/{bucket}/set/{quote(key, safe='/~')}"
        request = AWSRequest("PUT", url, data=body)
        signer.add_auth(request)
        async with good(session.put(URL(url, encoded=True), data=body, headers=dict(request.headers))):
            pass

    return Store(f"s3://{bucket}/set/", server.storage_options, over_http(send))


@pytest.fixture
def moto_store(moto: S3Server, bucket: str) -> Store:
    return on_s3(moto, bucket)


@pytest.fixture
def radosgw_store(radosgw: S3Server, bucket: str) -> Store:
    return on_s3(radosgw, bucket)


@pytest.fixture(scope="module")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with fake_gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def gcs_store(fake_gcs: GcsServer, bucket: str) -> Store:
    fake_gcs.make_bucket(bucket)

    async def send(session: aiohttp.ClientSession, key: str, body: bytes) -> None:
        query = f"uploadType=media&name={quote(f'set/{key}', safe='')}"
        url = URL(f"{fake_gcs.endpoint}/upload/storage/v1/b/{bucket}/o?{query}", encoded=True)
        async with good(session.post(url, data=body, headers={"Content-Type": "application/octet-stream"})):
            pass

    return Store(f"gs://{bucket}/set/", fake_gcs.storage_options, over_http(send))


@pytest.fixture
def azurite_store(azurite: Any, bucket: str) -> Store:
    azurite.container(bucket)
    permission = ContainerSasPermissions(write=True, create=True)
    expiry = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(ACCOUNT, bucket, account_key=KEY, permission=permission, expiry=expiry)

    async def send(session: aiohttp.ClientSession, key: str, body: bytes) -> None:
        url = URL(f"{azurite.endpoint}/{bucket}/set/{quote(key, safe='/~')}?{sas}", encoded=True)
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
        async with good(session.put(url, data=body, headers=headers)):
            pass

    return Store(f"az://{bucket}/set/", azurite.storage_options, over_http(send))


def into(folder: Path) -> Callable[[Mapping[str, bytes]], Awaitable[None]]:
    async def put(objects: Mapping[str, bytes]) -> None:
        for key, body in objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(body)

    return put


@pytest.fixture
def web_folder(served: Path, bucket: str) -> Iterator[Path]:
    yield served / bucket
    shutil.rmtree(served / bucket)


@pytest.fixture
def nginx_store(nginx: Any, web_folder: Path) -> Store:
    return Store(f"{nginx.json}/{web_folder.name}/", {}, into(web_folder))


@pytest.fixture
def apache_store(apache: Any, web_folder: Path) -> Store:
    return Store(f"{apache.url}/{web_folder.name}/", {}, into(web_folder))


@pytest.fixture
def caddy_store(caddy: Any, web_folder: Path) -> Store:
    return Store(f"{caddy.url}/{web_folder.name}/", {}, into(web_folder))


@pytest.fixture
def lighttpd_store(lighttpd: Any, web_folder: Path) -> Store:
    return Store(f"{lighttpd.url}/{web_folder.name}/", {}, into(web_folder))


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/mount/", {}, into(tmp_path / "mount"))


def content_md5(entry: asyncref.Entry) -> str | None:
    """The MD5 of an entry's bytes as its storage tells it, in hex."""
    if entry.pin.checksum is not None:
        algorithm, _, value = entry.pin.checksum.partition(":")
        return value if algorithm == "md5" else None
    return (entry.pin.etag or "").strip('"') if entry.ref.startswith("s3://") else None


@pytest.mark.parametrize("storage", STORAGES)
async def test_the_same_tree_has_the_same_paths_sizes_digests_and_bytes_on_every_storage(
    storage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store: Store = request.getfixturevalue(f"{storage}_store")
    objects = whole_tree(storage)
    await store.put(objects)
    manifest = await asyncref.scan(store.uri, storage_options=store.options)
    found = {entry.path: (entry.size, content_md5(entry)) for entry in manifest}
    assert list(found) == sorted(objects)
    if storage in HAS_MD5:
        assert found == {key: (len(body), hashlib.md5(body).hexdigest()) for key, body in objects.items()}
    else:
        assert found == {key: (len(body), None) for key, body in objects.items()}
    await asyncref.fetch(manifest, tmp_path / "out", storage_options=store.options, escape=True)
    assert tree(tmp_path / "out") == as_files(objects)


def test_the_tree_has_2000_files_and_every_gap_a_reason() -> None:
    assert FOLDERS * len(NAMES) == 2000
    assert all(name in NAMES and reason for gaps in LACKS.values() for name, reason in gaps.items())


# lighttpd's index rounds sizes, so nothing is said of its bytes.
@pytest.mark.parametrize("storage", [name for name in STORAGES if name not in {"radosgw", "lighttpd"}])
async def test_a_forecast_of_what_is_small_is_what_a_scan_then_costs(
    storage: str, request: pytest.FixtureRequest
) -> None:
    store: Store = request.getfixturevalue(f"{storage}_store")
    await store.put(small(storage))
    (forecast,) = await asyncref.forecast(store.uri, storage_options=store.options)
    manifest = await asyncref.scan(store.uri, storage_options=store.options)
    assert forecast.exact
    assert (forecast.objects, forecast.bytes) == (len(manifest), manifest.size)
    assert forecast.scan_requests == manifest.record.requests


async def test_one_artifact_mixes_all_storages_is_versioned_diffed_and_fetched(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As many as this machine has a server for, file trees and web servers at the least."""
    stores = {name: request.getfixturevalue(f"{name}_store") for name in ("moto", "gcs", "azurite", "nginx", "folder")}
    secrets = {scheme: stores[name].options for scheme, name in (("s3", "moto"), ("gs", "gcs"), ("az", "azurite"))}
    objects = {f"{name}/{key}": body for name in stores for key, body in small(name).items()}
    for name, store in stores.items():
        await store.put(small(name))
    v0 = await logged(stores)
    manifest = await asyncref.load("mixed:v0")
    assert [entry.path for entry in manifest] == sorted(objects)
    assert len(manifest.sources) == len(stores)
    assert not any(KEY in repr(source) or "testsecret" in repr(source) for source in manifest.sources)
    await asyncref.fetch("mixed:v0", tmp_path / "v0", storage_options=secrets, escape=True)
    assert tree(tmp_path / "v0") == as_files_below(objects)

    for name, store in stores.items():
        await store.put({"00/a b": f"other on {name}".encode()})
    changed = [f"{name}/00/a b" for name in sorted(stores)]
    status = await asyncref.status("mixed:v0", storage_options=secrets)
    assert [entry.path for entry, _ in status.changed] == changed
    v1 = await logged(stores)
    assert (v0, v1) == ("v0", "v1")
    diff = manifest.diff(await asyncref.load("mixed:v1"))
    assert [before.path for before, _ in diff.changed] == changed
    assert (diff.added.num_rows, diff.removed.num_rows) == (0, 0)
    await asyncref.fetch("mixed:v1", tmp_path / "v1", storage_options=secrets, escape=True)
    newer = objects | {path: f"other on {path.partition('/')[0]}".encode() for path in changed}
    assert tree(tmp_path / "v1") == as_files_below(newer)
    with pytest.raises(FetchError) as caught:  # none of them keeps versions
        await asyncref.fetch("mixed:v0", tmp_path / "again", storage_options=secrets, escape=True)
    assert [failure.path for failure in caught.value.failures] == changed


def small(storage: str) -> dict[str, bytes]:
    """The first folder of the tree."""
    return {key: body for key, body in whole_tree(storage).items() if key.startswith("00/")}


def as_files_below(objects: Mapping[str, bytes]) -> dict[str, bytes]:
    parts: Iterable[tuple[str, str, bytes]] = ((*path.split("/", 1), body) for path, body in objects.items())
    return {f"{top}/{name}": data for top, key, body in parts for name, data in as_files({key: body}).items()}


async def logged(stores: Mapping[str, Store]) -> str:
    """Scan each, put them under their names into one artifact, and log it."""
    artifact = asyncref.Artifact("mixed", type="dataset")
    for name, store in stores.items():
        await artifact.aadd_reference(store.uri, name=name, storage_options=store.options)

    def log() -> str:
        with asyncref.init() as run:
            return run.log_artifact(artifact).version

    return await asyncio.to_thread(log)
