"""The synthetic store, asked by boto3: what it sends has to be what S3 would send."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.store.layouts import LAYOUTS, key_chunks
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec, content_md5

KEYS = 1200


def client(store: StoreProcess) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id="bench",
        aws_secret_access_key="bench-secret",
        region_name="us-east-1",
        verify=str(store.certificate) if store.certificate else None,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def pages(store: StoreProcess, call: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    yield from client(store).get_paginator(call).paginate(Bucket="bench", **parameters)


def listed(store: StoreProcess, **parameters: Any) -> list[str]:
    return [row["Key"] for page in pages(store, "list_objects_v2", **parameters) for row in page.get("Contents", [])]


def versions(store: StoreProcess, **parameters: Any) -> list[dict[str, Any]]:
    found = []
    for page in pages(store, "list_object_versions", **parameters):
        found += page.get("Versions", []) + page.get("DeleteMarkers", [])
    return found


def names(spec: Spec) -> list[str]:
    return [key.decode() for chunk in key_chunks(spec.layout, spec.keys, spec.seed) for key in chunk.to_pylist()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_names_distinct_keys_in_byte_order(layout: str) -> None:
    keys = [key for chunk in key_chunks(layout, 250_000, 1) for key in chunk.to_pylist()]
    assert len(keys) == 250_000
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_and_version_is_listed_once(layout: str, inclusive: bool) -> None:
    spec = Spec(layout=layout, keys=KEYS, versions=2, deep_versions=1100, delete_share=0.2, checksum_share=0.5)
    with running(spec, inclusive=inclusive, page_rows=250) as store:
        every = versions(store)
        ids = {(row["Key"], row["VersionId"]) for row in every}
        assert len(ids) == len(every) == store.rows["versions"]
        assert sorted({key for key, _ in ids}) == sorted(names(spec))
        latest = [row for row in every if row["IsLatest"]]
        assert sorted(row["Key"] for row in latest) == sorted(names(spec))
        current = sorted((row["Key"] for row in latest if "ETag" in row), key=str.encode)
        assert listed(store) == current
        assert 0 < len(current) < KEYS
        assert store.stats()["rows_distinct"] == {"list": len(current), "versions": len(every)}


@pytest.mark.parametrize("layout", ["uuid", "astral", "escapes", "dated"])
def test_listings_start_after_any_key_and_stay_under_their_prefix(layout: str) -> None:
    spec = Spec(layout=layout, keys=KEYS)
    keys = names(spec)
    with running(spec) as store:
        for place in (0, 1, KEYS // 2, KEYS - 1):
            marker = keys[place]
            assert listed(store, StartAfter=marker) == keys[place + 1 :]
            prefix = marker[: len("data/") + 2]
            assert listed(store, Prefix=prefix) == [key for key in keys if key.startswith(prefix)]
            assert listed(store, Prefix=prefix, StartAfter=marker) == [
                key for key in keys if key.startswith(prefix) and key > marker
            ]
        assert listed(store, Prefix="data0") == []
        assert listed(store, StartAfter="zzz") == []


def test_a_lone_key_marker_excludes_its_key_or_gives_it_again_as_told() -> None:
    spec = Spec(layout="counter", keys=20, versions=3)
    marker = names(spec)[4]
    with running(spec) as store:
        first = [client(store).list_object_versions(Bucket="bench", KeyMarker=marker)["Versions"][0]["Key"]]
        store.set(inclusive=1)
        first += [client(store).list_object_versions(Bucket="bench", KeyMarker=marker)["Versions"][0]["Key"]]
    assert first == [names(spec)[5], marker]


def test_a_version_marker_continues_inside_its_key_and_an_unknown_one_is_refused() -> None:
    with running(Spec(layout="deep", keys=3, deep_versions=5000)) as store:
        every = versions(store)
        middle = every[2500]
        page = client(store).list_object_versions(
            Bucket="bench", KeyMarker=middle["Key"], VersionIdMarker=middle["VersionId"], MaxKeys=7
        )
        assert page["Versions"] == every[2501:2508]
        with pytest.raises(ClientError, match="InvalidArgument"):
            client(store).list_object_versions(Bucket="bench", KeyMarker=middle["Key"], VersionIdMarker="x" * 32)


def test_a_bucket_that_never_was_versioned_gives_null_ids() -> None:
    with running(Spec(keys=1500, versioned=False)) as store:
        every = versions(store)
        assert len(every) == 1500
        assert {row["VersionId"] for row in every} == {"null"}
        assert "Status" not in client(store).get_bucket_versioning(Bucket="bench")


def test_objects_answer_head_get_ranges_and_versions_with_what_the_listing_said() -> None:
    with running(Spec(keys=5, versions=2, object_bytes=2_000_000)) as store:
        asked = client(store)
        row = versions(store)[1]
        head = asked.head_object(Bucket="bench", Key=row["Key"], VersionId=row["VersionId"])
        assert (head["ETag"], head["VersionId"], head["ContentLength"]) == (row["ETag"], row["VersionId"], row["Size"])
        body = asked.get_object(Bucket="bench", Key=row["Key"])["Body"].read()
        assert row["ETag"] == f'"{content_md5(len(body))}"'
        part = asked.get_object(Bucket="bench", Key=row["Key"], Range="bytes=1048570-1048589")["Body"].read()
        assert part == body[1048570:1048590]
        with pytest.raises(ClientError, match="404"):
            asked.head_object(Bucket="bench", Key="data/none")


async def _many(store: StoreProcess, count: int) -> list[int]:
    trust = ssl.create_default_context(cafile=str(store.certificate)) if store.certificate else True
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=count, ssl=trust)) as session:

        async def one() -> int:
            async with session.get(f"{store.endpoint}/bench?list-type=2&max-keys=1") as answer:
                await answer.read()
                return answer.status

        return await asyncio.gather(*(one() for _ in range(count)))


async def test_above_the_throttle_the_answer_is_503_until_it_is_lifted() -> None:
    with running(Spec(keys=10), throttle=1) as store:
        statuses = await _many(store, 50)
        assert set(statuses) == {200, 503}
        assert store.stats()["refused"] == statuses.count(503)
        with pytest.raises(ClientError, match="SlowDown"):
            client(store).list_objects_v2(Bucket="bench")
        store.set(throttle=0)
        assert set(await _many(store, 50)) == {200}


async def test_latency_holds_each_answer_back_without_blocking_the_others() -> None:
    with running(Spec(keys=10), latency_ms=300) as store:
        before = time.monotonic()
        await _many(store, 50)
        assert time.monotonic() - before >= 0.3
        assert store.stats()["most_in_flight"] == 50  # one after the other, there would never be more than one


def test_the_store_speaks_tls_with_a_certificate_of_its_own() -> None:
    with running(Spec(keys=1100), tls=True) as store:
        assert store.endpoint.startswith("https://")
        assert len(listed(store)) == 1100


@pytest.mark.parametrize("tls", [False, True])
def test_large_objects_are_whole_and_counted_over_tls_as_without(tls: bool) -> None:
    with running(Spec(keys=3, object_bytes=3_000_000), tls=tls) as store:
        asked = client(store)
        row = versions(store)[1]
        body = asked.get_object(Bucket="bench", Key=row["Key"])["Body"].read()
        assert row["ETag"] == f'"{content_md5(len(body))}"'
        part = asked.get_object(Bucket="bench", Key=row["Key"], Range="bytes=1048570-2999989")["Body"].read()
        assert part == body[1048570:2999990]
        assert asked.head_object(Bucket="bench", Key=row["Key"])["ContentLength"] == len(body) == 3_000_000
        counted = store.stats()
        assert counted["requests"] == {"versions": 1, "get": 2, "head": 1}
        assert counted["bytes_sent"] > len(body) + len(part)
        store.set(throttle=0.001)
        assert asked.list_objects_v2(Bucket="bench")["KeyCount"] == 3
        with pytest.raises(ClientError, match="SlowDown"):
            asked.list_objects_v2(Bucket="bench")
        assert store.stats()["refused"] == 1


@pytest.mark.parametrize("object_bytes", [1000, 3_000_000])  # served by the loop, or by threads
async def test_over_tls_latency_holds_each_answer_back_without_blocking_the_others(object_bytes: int) -> None:
    with running(Spec(keys=10, object_bytes=object_bytes), tls=True, latency_ms=300) as store:
        before = time.monotonic()
        assert await _many(store, 50) == [200] * 50
        assert time.monotonic() - before >= 0.3
        assert store.stats()["most_in_flight"] > 25  # handshakes are in between


def test_equal_specs_give_equal_bytes_and_the_cache_is_used(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCREF_BENCH_CACHE", str(tmp_path))
    spec = Spec(layout="hot", keys=500)
    found = []
    for _ in range(2):
        with running(spec) as store:
            found.append(versions(store))
        assert [folder.name for folder in tmp_path.iterdir()] == [spec.name]
    assert found[0] == found[1]


def test_a_listing_that_was_not_rendered_is_refused_and_never_empty() -> None:
    with running(Spec(keys=10, kinds=("list",))) as store:
        assert len(listed(store)) == 10
        with pytest.raises(ClientError, match="NotImplemented"):
            versions(store)
