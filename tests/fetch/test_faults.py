"""Every byte right, or an error that names the entry, before a real server that breaks one request in twenty.

`ASYNCREF_FAULT_SEEDS=20 ASYNCREF_FAULT_OBJECTS=10000` runs it at full length.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import pytest
from azure.storage.blob import ContentSettings

from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.errors import ChangedError, FetchError
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from tests.fetch import noise, tree
from tests.servers import S3Server
from tests.servers.azurite import ACCOUNT, KEY, Azurite
from tests.servers.fake_gcs import GcsServer, fake_gcs_server
from tests.servers.faults import KINDS, seeded
from tests.servers.proxy import Fault, Flip, Proxy, Seen
from tests.servers.webservers import Nginx

SEEDS = int(os.environ.get("ASYNCREF_FAULT_SEEDS", "1"))
OBJECTS = int(os.environ.get("ASYNCREF_FAULT_OBJECTS", "200"))
LARGE = 2
SHARE = 0.05
LIMITS = Limits(backoff_s=0.01, idle_timeout_s=2.0, concurrency=16)  # the proxy reads 17 MB before it answers


def contents_of(count: int) -> dict[str, bytes]:
    """Objects of mixed size: empty ones, most small, some of several hundred kilobytes, a few of two parts."""
    draw = random.Random("sizes")
    sizes = [int(10 ** draw.uniform(0, 5.3)) - 1 for _ in range(count - LARGE)] + [17 * 2**20 + 1] * LARGE
    return {f"o{number:05d}": noise(size, str(number)) for number, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return contents_of(OBJECTS)


@dataclass(frozen=True)
class Place:
    """A filled bucket, container or folder of a real server, and how it is asked for through a proxy.

    Attributes:
        upstream: The server.
        uri: Of its content, with `{}` for the proxy's endpoint where the reference has one.
        options: Storage options, likewise.
        blind: Faults that nothing here can tell: no pin has a checksum.
    """

    upstream: str
    uri: str
    options: dict[str, str]
    blind: frozenset[str] = frozenset()

    async def through(self, proxy: Proxy) -> tuple[Manifest, dict[str, str]]:
        """What lies there, scanned before anything breaks, and the options to fetch it with."""
        options = {name: value.format(proxy.endpoint) for name, value in self.options.items()}
        return await scan([Target(uri=self.uri.format(proxy.endpoint))], storage_options=options), options

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind not in self.blind]


@pytest.fixture(scope="module")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with fake_gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


def put_all(put: Callable[[str, bytes], object], contents: Mapping[str, bytes]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: put(*item), contents.items()))


def s3_place(moto: S3Server, contents: Mapping[str, bytes]) -> Place:
    client = moto.client(max_pool_connections=8)
    client.create_bucket(Bucket="faults")
    put_all(lambda key, data: client.put_object(Bucket="faults", Key=key, Body=data), contents)
    return Place(moto.endpoint, "s3://faults/", {"key": moto.key, "secret": moto.secret, "endpoint_url": "{}"})


def gcs_place(server: GcsServer, contents: Mapping[str, bytes]) -> Place:
    server.make_bucket("faults")
    put_all(partial(server.put, "faults"), contents)
    return Place(server.endpoint, "gs://faults/", {"endpoint_url": "{}", "anon": "true"})


def azure_place(azurite: Azurite, contents: Mapping[str, bytes]) -> Place:
    container = azurite.container("faults")

    def put(key: str, data: bytes) -> None:
        md5 = bytearray(hashlib.md5(data).digest())  # Azure itself computes none for what comes in blocks
        container.upload_blob(key, data, content_settings=ContentSettings(content_md5=md5))

    put_all(put, contents)
    options = {"endpoint_url": f"{{}}/{ACCOUNT}", "account_name": ACCOUNT, "account_key": KEY}
    return Place(azurite.endpoint.removesuffix(f"/{ACCOUNT}"), "az://faults/", options)


def http_place(nginx: Nginx, contents: Mapping[str, bytes]) -> Place:
    folder = nginx.folder / "faults"
    folder.mkdir()
    for key, data in contents.items():
        (folder / key).write_bytes(data)
    return Place(nginx.url, "{}/faults/", {}, blind=frozenset({"flip"}))


PLACES = {
    "s3": ("moto", s3_place),
    "gcs": ("fake_gcs", gcs_place),
    "azure": ("azurite", azure_place),
    "http": ("nginx", http_place),
}


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest, contents: dict[str, bytes]) -> Callable[[str], Place]:
    """Fills a place when a test first asks for it."""

    @cache
    def filled(name: str) -> Place:
        server, fill = PLACES[name]
        return fill(request.getfixturevalue(server), contents)

    return filled


@dataclass(frozen=True)
class Way:
    """A place behind a proxy of its own, scanned before anything breaks."""

    place: Place
    proxy: Proxy
    manifest: Manifest
    options: dict[str, str]


@pytest.fixture
async def way(where: str, places: Callable[[str], Place], proxy_to: Callable[[str], Proxy]) -> Way:
    place = places(where)
    proxy = proxy_to(place.upstream)
    return Way(place, proxy, *await place.through(proxy))


async def pinned(server: S3Server, bucket: str) -> Manifest:
    return await scan([Target(uri=f"s3://{bucket}/")], storage_options=server.storage_options)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("where", PLACES)
async def test_every_byte_is_right_whatever_breaks_on_the_way(
    *, seed: int, where: str, way: Way, contents: dict[str, bytes], tmp_path: Path
) -> None:
    struck: Counter[str] = Counter()
    way.proxy.script = seeded(seed, share=SHARE, contents=contents, struck=struck, kinds=way.place.kinds)
    report = await fetch(way.manifest, tmp_path, storage_options=way.options, limits=LIMITS)
    assert tree(tmp_path) == contents
    assert (report.unchecked == 0) is (where != "http")
    assert struck.total() > OBJECTS * SHARE / 3
    assert way.proxy.open_connections <= 1


@pytest.mark.parametrize("where", [where for where in PLACES if where != "s3"])
async def test_faults_in_a_row_are_survived_everywhere(way: Way, contents: dict[str, bytes], tmp_path: Path) -> None:
    """One request in three, so that tries follow upon tries."""
    few = {key: data for key, data in contents.items() if key < "o00030"}
    struck: Counter[str] = Counter()
    way.proxy.script = seeded(5, share=0.33, contents=contents, struck=struck, kinds=way.place.kinds)
    await fetch(way.manifest.select(include=list(few)), tmp_path, storage_options=way.options, limits=LIMITS)
    assert tree(tmp_path) == few
    assert len(struck) >= 5


@pytest.mark.parametrize("where", [where for where in PLACES if where != "http"])
async def test_one_flipped_byte_is_found_wherever_the_pin_has_a_checksum(
    way: Way, contents: dict[str, bytes], tmp_path: Path
) -> None:
    key = next(key for key, data in contents.items() if len(data) > 1000)
    way.proxy.forget()
    way.proxy.inject(Flip(0.7), kind="get", at=1)
    report = await fetch(way.manifest.select(include=[key]), tmp_path, storage_options=way.options, limits=LIMITS)
    assert tree(tmp_path) == {key: contents[key]}
    assert (report.retries, way.proxy.counts["get"]) == (1, 2)


@pytest.mark.parametrize("where", ["gcs", "azure"])
async def test_damage_that_comes_twice_alike_is_damage_where_the_answers_state_the_checksum(
    way: Way, contents: dict[str, bytes], tmp_path: Path
) -> None:
    """Two answers in a row with the same wrong byte; a third would be believed to be what lies there."""
    key = next(key for key, data in contents.items() if len(data) > 1000)
    one = way.manifest.select(include=[key])

    async def fetched(to: str, damaged: int) -> int:
        way.proxy.forget()
        for at in range(1, damaged + 1):
            way.proxy.inject(Flip(0.7), kind="get", at=at)
        return (await fetch(one, tmp_path / to, storage_options=way.options, limits=LIMITS)).retries

    assert await fetched("twice", 2) == 2
    assert tree(tmp_path) == {f"twice/{key}": contents[key]}
    with pytest.raises(FetchError, match="as the storage states"):
        await fetched("always", 3)


@pytest.mark.parametrize("versioned", [False, True])
async def test_an_object_swapped_between_two_parts_is_never_mixed(
    *, versioned: bool, moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    """Overwritten with as many other bytes when its second part is asked for: the old bytes, or an error that names it."""
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    if versioned:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old, new = noise(17 * 2**20, "old"), noise(17 * 2**20, "new")
    client.put_object(Bucket=bucket, Key="swapped", Body=old)
    manifest = await pinned(moto, bucket)
    proxy = proxy_to(moto.endpoint)

    def overwrite(request: Seen) -> Sequence[Fault]:
        if request.kind == "get" and proxy.counts["get"] == 2:
            client.put_object(Bucket=bucket, Key="swapped", Body=new)
        return ()

    proxy.script = overwrite
    options = {"key": moto.key, "secret": moto.secret, "endpoint_url": proxy.endpoint}
    one_by_one = replace(LIMITS, concurrency=1)
    if versioned:
        await fetch(manifest, tmp_path, storage_options=options, limits=one_by_one)
        assert tree(tmp_path) == {"swapped": old}
        return
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, storage_options=options, limits=one_by_one)
    assert [failure.path for failure in caught.value.failures] == ["swapped"]
    assert isinstance(caught.value.failures[0].error, ChangedError)
    assert "swapped" not in tree(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_fault_is_survived_by_itself(
    *,
    kind: str,
    places: Callable[[str], Place],
    contents: dict[str, bytes],
    tmp_path: Path,
    proxy_to: Callable[[str], Proxy],
) -> None:
    """One request in five, so that it strikes tries that follow upon others, and parts of large objects."""
    few = {key: data for key, data in contents.items() if key < "o00016" or len(data) > 16 * 2**20}
    place = places("s3")
    proxy = proxy_to(place.upstream)
    manifest, options = await place.through(proxy)
    struck: Counter[str] = Counter()
    proxy.script = seeded(1, share=0.2, contents=contents, struck=struck, kinds=[kind])
    await fetch(manifest.select(include=list(few)), tmp_path, storage_options=options, limits=LIMITS)
    assert tree(tmp_path) == few
    assert struck[kind] >= 2


async def test_what_truly_changed_is_named_amid_the_faults_and_nothing_else_is(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    contents = {f"o{number}": noise(1000 + number, str(number)) for number in range(60)} | {"large": noise(17 * 2**20)}
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    for key, data in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)
    manifest = await pinned(moto, bucket)
    changed = {"o7", "o30", "large"}
    for key in changed:
        client.put_object(Bucket=bucket, Key=key, Body=noise(len(contents[key]), "changed"))
    proxy = proxy_to(moto.endpoint)
    proxy.script = seeded(7, share=0.2, contents=contents, struck=Counter())
    options = {"key": moto.key, "secret": moto.secret, "endpoint_url": proxy.endpoint}
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, storage_options=options, limits=LIMITS)
    assert {failure.path for failure in caught.value.failures} == changed
    assert all(isinstance(failure.error, ChangedError) for failure in caught.value.failures)
    assert tree(tmp_path) == {key: data for key, data in contents.items() if key not in changed}


async def test_a_stream_gives_every_byte_right_too(
    places: Callable[[str], Place], contents: dict[str, bytes], proxy_to: Callable[[str], Proxy]
) -> None:
    place = places("s3")
    proxy = proxy_to(place.upstream)
    manifest, options = await place.through(proxy)
    proxy.script = seeded(99, share=SHARE, contents=contents, struck=Counter())
    async with stream(manifest, storage_options=options, limits=LIMITS) as items:
        came = {item.path: item.data async for item in items if item.error is None}
    assert came == contents
