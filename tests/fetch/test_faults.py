"""Every byte right, or an error that names the entry, before a real server that breaks one request in twenty.

`ASYNCREF_FAULT_SEEDS=20 ASYNCREF_FAULT_OBJECTS=10000` runs it at full length.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.errors import ChangedError, FetchError
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from tests.fetch import noise, tree
from tests.servers import S3Server
from tests.servers.faults import KINDS, seeded
from tests.servers.proxy import Proxy

SEEDS = int(os.environ.get("ASYNCREF_FAULT_SEEDS", "3"))
OBJECTS = int(os.environ.get("ASYNCREF_FAULT_OBJECTS", "300"))
LARGE = 2
SHARE = 0.05
LIMITS = Limits(backoff_s=0.01, idle_timeout_s=0.5, concurrency=16)


def contents_of(count: int) -> dict[str, bytes]:
    """Objects of mixed size: empty ones, most small, some of several hundred kilobytes, a few of two parts."""
    draw = random.Random("sizes")
    sizes = [int(10 ** draw.uniform(0, 5.3)) - 1 for _ in range(count - LARGE)] + [17 * 2**20 + 1] * LARGE
    return {f"o{number:05d}": noise(size, str(number)) for number, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return contents_of(OBJECTS)


@pytest.fixture(scope="module")
def filled(moto: S3Server, contents: dict[str, bytes]) -> str:
    """A bucket without versions that holds them."""
    client = moto.client(max_pool_connections=8)
    client.create_bucket(Bucket="faults")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: client.put_object(Bucket="faults", Key=item[0], Body=item[1]), contents.items()))
    return "faults"


async def pinned(server: S3Server, bucket: str) -> Manifest:
    return await scan([Target(uri=f"s3://{bucket}/")], storage_options=server.storage_options)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_byte_is_right_whatever_breaks_on_the_way(
    *,
    seed: int,
    moto: S3Server,
    filled: str,
    contents: dict[str, bytes],
    tmp_path: Path,
    proxy_to: Callable[[str], Proxy],
) -> None:
    manifest = await pinned(moto, filled)
    proxy = proxy_to(moto.endpoint)
    struck: Counter[str] = Counter()
    proxy.script = seeded(seed, share=SHARE, contents=contents, struck=struck)
    options = {"key": moto.key, "secret": moto.secret, "endpoint_url": proxy.endpoint}
    report = await fetch(manifest, tmp_path, storage_options=options, limits=LIMITS)
    assert tree(tmp_path) == contents
    assert report.unchecked == 0
    assert struck.total() > OBJECTS * SHARE / 3
    assert proxy.open_connections <= 1


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_fault_is_survived_by_itself(
    *,
    kind: str,
    moto: S3Server,
    filled: str,
    contents: dict[str, bytes],
    tmp_path: Path,
    proxy_to: Callable[[str], Proxy],
) -> None:
    """One request in five, so that it strikes tries that follow upon others, and parts of large objects."""
    few = {key: data for key, data in contents.items() if key < "o00016" or len(data) > 16 * 2**20}
    manifest = (await pinned(moto, filled)).select(include=list(few))
    proxy = proxy_to(moto.endpoint)
    struck: Counter[str] = Counter()
    proxy.script = seeded(1, share=0.2, contents=contents, struck=struck, kinds=[kind])
    options = {"key": moto.key, "secret": moto.secret, "endpoint_url": proxy.endpoint}
    await fetch(manifest, tmp_path, storage_options=options, limits=LIMITS)
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
    moto: S3Server, filled: str, contents: dict[str, bytes], proxy_to: Callable[[str], Proxy]
) -> None:
    manifest = await pinned(moto, filled)
    proxy = proxy_to(moto.endpoint)
    proxy.script = seeded(99, share=SHARE, contents=contents, struck=Counter())
    options = {"key": moto.key, "secret": moto.secret, "endpoint_url": proxy.endpoint}
    async with stream(manifest, storage_options=options, limits=LIMITS) as items:
        came = {item.path: item.data async for item in items if item.error is None}
    assert came == contents
