"""Fetch from real S3 servers: v0's exact bytes after everything changed, or an error that names each key."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.errors import AccessDeniedError, FetchError, PathConflictError
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.net.wire import BUFFER_BYTES
from asyncref.net.wire.pour import Pour
from asyncref.net.wire.pump import POURS, Pump
from tests.fetch import noise, tree
from tests.servers import S3Server, wait_until
from tests.servers.proxy import AddHeader, Cut, Flip, Proxy, Reset, Stall, Status, slow_down

QUICK = Limits(backoff_s=0.01)
KEYS = [
    "a b",
    "a+b",
    "100%",
    "100%25",
    "a#b",
    "a?b",
    "é",
    "\U0001f600",
    "zero",
    "d/e/x",
    "mnist2/x",
    "mnist-old/x",
    "mnist",
]
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def put(server: S3Server, bucket: str, contents: Mapping[str, bytes]) -> None:
    client = server.client()
    for key, data in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)


def made(server: S3Server, bucket: str, *, versioned: bool) -> Any:
    client = server.client()
    client.create_bucket(Bucket=bucket)
    if versioned:
        enable_versioning(server, bucket)
    return client


def enable_versioning(server: S3Server, bucket: str) -> None:
    server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def contents_of(keys: list[str], seed: str = "") -> dict[str, bytes]:
    return {key: noise(0 if key == "zero" else 100 + 1000 * at, key + seed) for at, key in enumerate(keys)}


async def scanned(server: S3Server, bucket: str, **options: Any) -> Manifest:
    return await scan(
        [Target(uri=f"s3://{bucket}/")], storage_options={**server.storage_options, **options}, limits=QUICK
    )


def secrets(server: S3Server) -> dict[str, str]:
    """What the manifest does not know; endpoint, region and addressing it does."""
    return {"key": server.key, "secret": server.secret}


async def test_v0_comes_back_exactly_after_everything_was_overwritten_or_deleted(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    client = made(s3, bucket, versioned=False)
    contents = contents_of([f"before/{key}" for key in KEYS])
    put(s3, bucket, contents)
    enable_versioning(s3, bucket)
    later = contents_of([*(f"after/{key}" for key in KEYS), "after/large"])
    later["after/large"] = noise(17 * 2**20)
    put(s3, bucket, later)
    contents |= later
    manifest = await scanned(s3, bucket)
    assert manifest["before/a b"].pin.version == "null"
    for at, key in enumerate(contents):
        if at % 2:
            client.delete_object(Bucket=bucket, Key=key)
        else:
            client.put_object(Bucket=bucket, Key=key, Body=noise(len(contents[key]), "new"))
    report = await fetch(manifest, tmp_path / "v0", storage_options=secrets(s3), whole=True)
    assert tree(tmp_path) == {f"v0/{key}": data for key, data in contents.items()}
    assert report.objects == len(contents)


async def test_an_unversioned_bucket_names_each_changed_key_and_shows_no_wrong_file(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    client = made(s3, bucket, versioned=False)
    contents = contents_of(KEYS)
    put(s3, bucket, contents)
    manifest = await scanned(s3, bucket)
    changed = {"a b", "é", "100%25", "zero"}
    put(s3, bucket, {key: noise(len(contents[key]) or 1, "new") for key in changed})
    client.delete_object(Bucket=bucket, Key="a#b")
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path / "out", storage_options=secrets(s3), limits=QUICK)
    assert {failure.path for failure in caught.value.failures} == {*changed, "a#b"}
    for failure in caught.value.failures:
        assert ("gone" if failure.path == "a#b" else "overwritten") in str(failure.error)
    assert tree(tmp_path / "out") == {key: data for key, data in contents.items() if key not in {*changed, "a#b"}}
    with pytest.raises(FetchError):
        await fetch(manifest, tmp_path / "whole", storage_options=secrets(s3), whole=True)
    assert not (tmp_path / "whole").exists()


async def test_keys_that_no_file_system_holds_are_streamed_or_escaped(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    made(s3, bucket, versioned=True)
    contents = contents_of(["a//b", "x/", "file", "file/x"])
    contents["x/"] = b"bytes under a folder's name"
    put(s3, bucket, contents)
    manifest = await scanned(s3, bucket)
    put(s3, bucket, dict.fromkeys(contents, b"new"))
    with pytest.raises(PathConflictError) as caught:
        await fetch(manifest, tmp_path / "out", storage_options=secrets(s3))
    assert sorted(failure.path for failure in caught.value.failures) == ["a//b", "file", "x/"]
    await fetch(manifest, tmp_path / "out", storage_options=secrets(s3), escape=True)
    escaped = {"a/%2Fb": "a//b", "x%2F": "x/", "file%~": "file", "file/x": "file/x"}
    assert tree(tmp_path / "out") == {name: contents[key] for name, key in escaped.items()}
    async with stream(manifest, storage_options=secrets(s3)) as items:
        assert {item.path: item.data async for item in items} == contents


async def test_an_object_stored_compressed_arrives_as_it_is_stored(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    client = made(s3, bucket, versioned=False)
    stored = gzip.compress(b"x" * 100_000)
    client.put_object(Bucket=bucket, Key="page", Body=stored, ContentEncoding="gzip", ContentType="text/html")
    await fetch(await scanned(s3, bucket), tmp_path, storage_options=secrets(s3))
    assert tree(tmp_path) == {"page": stored}


async def test_a_denied_versioned_read_uses_the_current_object_if_it_is_the_pinned_one(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    made(moto, bucket, versioned=True)
    contents = contents_of(["same", "overwritten"])
    put(moto, bucket, contents)
    manifest = await scanned(moto, bucket)
    put(moto, bucket, {"overwritten": b"new"})
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Status(403, DENIED), kind="get", at=None, match="versionId=")
    options = {**secrets(moto), "endpoint_url": proxy.endpoint}
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, storage_options=options)
    (failure,) = caught.value.failures
    assert failure.path == "overwritten"
    assert isinstance(failure.error, AccessDeniedError)
    assert tree(tmp_path) == {"same": contents["same"]}


async def test_one_request_an_object_and_one_a_part_and_never_a_head(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    made(moto, bucket, versioned=True)
    contents = contents_of(KEYS) | {"large": noise(17 * 2**20)}
    put(moto, bucket, contents)
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)
    options = {**secrets(moto), "endpoint_url": proxy.endpoint}
    await fetch(manifest, tmp_path, storage_options=options)
    assert dict(proxy.counts) == {"get": len(contents) + 1}
    assert tree(tmp_path) == contents
    proxy.forget()
    await fetch(manifest, tmp_path, storage_options=options)
    assert dict(proxy.counts) == {}


async def test_resets_cuts_and_throttling_cost_requests_and_no_byte(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    made(moto, bucket, versioned=True)
    contents = contents_of(KEYS) | {"large": noise(17 * 2**20)}
    put(moto, bucket, contents)
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Reset(), kind="get", at=1)
    proxy.inject(slow_down(0), kind="get", at=3)
    proxy.inject(Status(500, b""), kind="get", at=5)
    proxy.inject(Cut(3_000_000), kind="get", at=2, match="large")
    proxy.inject(Cut(100), kind="get", at=1, match="mnist2")
    options = {**secrets(moto), "endpoint_url": proxy.endpoint}
    report = await fetch(manifest, tmp_path, storage_options=options, limits=QUICK)
    assert tree(tmp_path) == contents
    assert report.retries >= 3  # two of the faults may strike one request


KILLED = """
import asyncio, json, sys
from pathlib import Path
from asyncref.engine.fetch import fetch
from asyncref.manifest import Manifest
manifest, root, options = sys.argv[1:]
asyncio.run(fetch(Manifest.load(manifest), Path(root), storage_options=json.loads(options), whole=True))
"""


def start(manifest: Path, root: Path, options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", KILLED, str(manifest), str(root), json.dumps(options)])


async def test_a_killed_fetch_leaves_nothing_under_its_final_name_and_the_next_one_goes_on(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    made(moto, bucket, versioned=True)
    contents = contents_of(KEYS) | {"large": noise(17 * 2**20)}
    put(moto, bucket, contents)
    manifest = await scanned(moto, bucket)
    manifest.save(tmp_path / "m.parquet")
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Stall(1_000_000), kind="get", at=2, match="large")
    options = {**secrets(moto), "endpoint_url": proxy.endpoint}
    root = tmp_path / "out"
    begun = root.with_name("out.incomplete")
    process = start(tmp_path / "m.parquet", root, options)
    try:
        await asyncio.to_thread(wait_until, lambda: all((begun / key).exists() for key in KEYS), what="the fetch")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not root.exists()
    left = tree(begun)
    assert [name for name in left if ".part" in name]
    assert all(left[key] == contents[key] for key in contents if key != "large")
    assert "large" not in left
    proxy.forget()
    report = await fetch(manifest, root, storage_options=options, whole=True)
    assert (report.objects, report.skipped) == (1, len(contents) - 1)
    assert 1 <= proxy.counts["get"] <= 2  # the part that stalled, and the other unless it had ended
    assert tree(root) == contents
    assert not begun.exists()


async def test_a_checksum_in_the_answer_proves_what_the_etag_cannot(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    """The ETag of a multipart upload is no MD5; S3 states a CRC32 of the whole object where it was uploaded with one."""
    data = noise(5000)
    client = made(moto, bucket, versioned=False)
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    tag = client.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=data)["ETag"]
    parts = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
    client.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)
    options = {**secrets(moto), "endpoint_url": proxy.endpoint}
    report = await fetch(manifest, tmp_path / "a", storage_options=options, limits=QUICK)
    assert report.unchecked == 1
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    proxy.inject(AddHeader("x-amz-checksum-crc32", crc), kind="get", at=None)
    proxy.inject(Flip(0.5), kind="get", at=1)
    report = await fetch(manifest, tmp_path / "b", storage_options=options, limits=QUICK)
    assert (report.unchecked, proxy.counts["get"]) == (0, 3)
    assert tree(tmp_path / "b") == {"k": data}
    assert proxy.seen[-1].headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.skipif(not POURS, reason="Linux only")
async def test_what_is_large_never_comes_into_this_process(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    contents = {"large": noise(17 * 2**20 + 1), "middling": noise(2**21), "small": noise(1000)}
    made(s3, bucket, versioned=False)
    put(s3, bucket, contents)
    manifest = await scanned(s3, bucket)
    poured = []

    def noted(pump: Pump, pour: Pour, socket: int) -> None:
        poured.append(pour.left)
        start(pump, pour, socket)

    start = Pump.start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pump, "start", noted)
        await fetch(manifest, tmp_path / "out", storage_options=secrets(s3))
        assert sum(poured) > sum(map(len, contents.values())) - 3 * BUFFER_BYTES - 1000
        poured.clear()
        await fetch(manifest, tmp_path / "slow", storage_options=secrets(s3), limits=Limits(bytes_per_second=10**9))
        assert not poured  # a rate is held by whoever counts
    for folder in ("out", "slow"):
        assert tree(tmp_path / folder) == contents
