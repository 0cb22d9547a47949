"""Multipart uploads: a byte that flipped on the way is found wherever an ETag or the storage can tell."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncref.engine.fetch import Checksum, FetchReport, fetch
from asyncref.engine.fetch.sinks import ChunkSink, Threads
from asyncref.engine.scan import Target, scan
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from tests.fetch import noise, tree
from tests.servers import S3Server
from tests.servers.proxy import AddHeader, Flip, Proxy, Status

MIB = 2**20
QUICK = Limits(backoff_s=0.01)


def upload(server: S3Server, bucket: str, key: str, parts: list[bytes]) -> None:
    client = server.client()
    number = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    made = []
    for at, data in enumerate(parts, start=1):
        tag = client.upload_part(Bucket=bucket, Key=key, UploadId=number, PartNumber=at, Body=data)["ETag"]
        made.append({"ETag": tag, "PartNumber": at})
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=number, MultipartUpload={"Parts": made})


def cut(data: bytes, *sizes: int) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return [*parts, data[at:]]


async def scanned(server: S3Server, bucket: str) -> Manifest:
    return await scan([Target(uri=f"s3://{bucket}/")], storage_options=server.storage_options)


def through(server: S3Server, proxy: Proxy) -> dict[str, Any]:
    return {"key": server.key, "secret": server.secret, "endpoint_url": proxy.endpoint}


DATA = noise(18 * MIB + 5)  # two requests
ODD = 7 * MIB + 12_345


async def test_a_flipped_byte_of_a_multipart_upload_is_found_and_mended(
    s3: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    s3.client().create_bucket(Bucket=bucket)
    upload(s3, bucket, "k", cut(DATA, 8 * MIB, 8 * MIB))
    manifest = await scanned(s3, bucket)
    proxy = proxy_to(s3.endpoint)
    options = through(s3, proxy)
    proxy.inject(Flip(0.3), kind="get", at=2)
    report = await fetch(manifest, tmp_path, storage_options=options, limits=QUICK, checksum="always")
    assert (report.unchecked, tree(tmp_path)) == (0, {"k": DATA})
    assert proxy.counts["get"] == 3  # two parts, and the whole once more
    proxy.forget()
    proxy.inject(Flip(0.3), kind="get", at=2)
    async with stream(manifest, storage_options=options, limits=QUICK, checksum="always") as items:
        assert [(item.path, item.data) async for item in items] == [("k", DATA)]
    assert proxy.counts["get"] == 3


async def test_an_odd_size_of_parts_is_learnt_from_the_first_of_them(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    """By S3's own answer, 206 with the part's range: moto gives the part another ETag, radosgw knows no parts."""
    moto.client().create_bucket(Bucket=bucket)
    upload(moto, bucket, "k", cut(DATA, ODD, ODD))
    manifest = await scanned(moto, bucket)
    place = {"Content-Range": f"bytes 0-{ODD - 1}/{len(DATA)}", "Content-Length": str(ODD), "x-amz-mp-parts-count": "3"}
    proxy = proxy_to(moto.endpoint)
    told = {"ETag": str(manifest["k"].pin.etag), **place}
    proxy.inject(Status(206, b"", tuple(told.items())), kind="head", at=None, match="partNumber=1")
    proxy.inject(Flip(0.3), kind="get", at=2)
    report = await fetch(manifest, tmp_path, storage_options=through(moto, proxy), limits=QUICK, checksum="always")
    assert (report.unchecked, tree(tmp_path)) == (0, {"k": DATA})
    assert proxy.counts["get"] == 3


@pytest.mark.parametrize("checksum", ["auto", "never"])
async def test_other_modes_spend_no_pass_and_no_request_on_it(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy], checksum: Checksum
) -> None:
    moto.client().create_bucket(Bucket=bucket)
    upload(moto, bucket, "k", cut(DATA, 8 * MIB, 8 * MIB))
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)
    report = await fetch(manifest, tmp_path, storage_options=through(moto, proxy), checksum=checksum)
    assert (report.unchecked, dict(proxy.counts)) == (1, {"get": 2})


async def test_an_upload_cut_unevenly_is_read_twice_and_counts_as_unchecked(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    moto.client().create_bucket(Bucket=bucket)
    upload(moto, bucket, "k", cut(DATA, 6 * MIB, 5 * MIB))
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)

    async def fetched(to: str) -> FetchReport:
        options = through(moto, proxy)
        return await fetch(manifest, tmp_path / to, storage_options=options, limits=QUICK, checksum="always")

    report = await fetched("a")
    assert (report.unchecked, proxy.counts["get"]) == (1, 3)
    assert any("multipart" in note for note in report.notes)
    proxy.forget()
    proxy.inject(Flip(0.3), kind="get", at=1)
    await fetched("b")
    assert proxy.counts["get"] == 4  # damaged, right, and once more: only what comes twice alike is believed
    assert tree(tmp_path) == {"a/k": DATA, "b/k": DATA}


async def test_a_checksum_of_the_whole_is_asked_for_where_the_parts_answers_state_none(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    moto.client().create_bucket(Bucket=bucket)
    upload(moto, bucket, "k", cut(DATA, 6 * MIB, 5 * MIB))
    manifest = await scanned(moto, bucket)
    proxy = proxy_to(moto.endpoint)
    crc = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
    proxy.inject(AddHeader("x-amz-checksum-crc32", crc), kind="head", at=None)
    proxy.inject(Flip(0.3), kind="get", at=1)
    report = await fetch(manifest, tmp_path, storage_options=through(moto, proxy), limits=QUICK, checksum="always")
    assert (report.unchecked, dict(proxy.counts)) == (0, {"get": 3, "head": 1})
    assert tree(tmp_path) == {"k": DATA}


@pytest.mark.parametrize("part_bytes", [1, 7, 64, 100, 1000])
async def test_parts_begin_anywhere_in_chunks(part_bytes: int) -> None:
    data = noise(1000)
    sink = ChunkSink(Threads())
    for at in range(0, len(data), 64):
        await sink.write(at, (data[at : at + 64],))
    parts = [data[at : at + part_bytes] for at in range(0, len(data), part_bytes)]
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    assert await sink.composite(part_bytes) == hashlib.md5(joined).digest()
