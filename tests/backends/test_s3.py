"""The S3 backend against real servers: moto, and radosgw, which checks signatures."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from asyncref.backends import open_backend
from asyncref.errors import (
    AccessDeniedError,
    ChangedError,
    ConnectionFailedError,
    ContainerNotFoundError,
    CredentialsError,
    NotFoundError,
)
from asyncref.model import KeyRange, Limits, ListRequest, ReadRequest
from asyncref.uri import parse
from tests.servers import S3Server, free_ports

NASTY = [
    "a b",
    "a+b",
    "100%",
    "100%25",
    "a#b",
    "a?b",
    "a//b",
    "a/../b",
    "é",
    "😀",
    "x&y<z>\"'",
    "x/y",
    "%2E%2E/a",
    "~-_.",
]


@pytest.fixture
async def open_bucket():
    """Opens buckets, and closes them after the test."""
    backends = []

    def make(bucket: str, options):
        backends.append(open_backend(parse(f"s3://{bucket}/"), options))
        return backends[-1]

    yield make
    for backend in backends:
        await backend.aclose()


@pytest.fixture
def backend_of(open_bucket):
    """Opens a bucket of a server."""
    return lambda server, bucket, **options: open_bucket(bucket, {**server.storage_options, **options})


@pytest.fixture(scope="session")
def filled():
    """Makes one filled bucket a server and keeps it: 2,3 versions, markers, nasty keys, one key with 1,500 versions."""
    made = {}

    def fill(server: S3Server, name: str) -> str:
        if server in made:
            return made[server]
        client = server.client()
        client.create_bucket(Bucket=name)
        for key in NASTY:
            client.put_object(Bucket=name, Key=key, Body=b"before versioning")
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        for key in NASTY[::2]:
            client.put_object(Bucket=name, Key=key, Body=f"now {key}".encode())
        for key in ("gone", "p/gone", NASTY[1]):
            client.put_object(Bucket=name, Key=key, Body=b"")
            client.delete_object(Bucket=name, Key=key)
        for key in ("p/a", "p/b", "p/many2", "p/z", "empty", "folder/"):
            client.put_object(Bucket=name, Key=key, Body=b"" if key in {"empty", "folder/"} else key.encode())
        # moto loses versions that are put at once.
        with ThreadPoolExecutor(8 if server.checks_signatures else 1) as threads:
            list(
                threads.map(
                    lambda n: client.put_object(Bucket=name, Key="p/many", Body=b"%4d" % n), range(many_of(server))
                )
            )
        made[server] = name
        return name

    return fill


async def listed(backend, *, versions: bool, limit: int = 1000, prefix: str = "", after: str | None = None):
    rows, pages, cursor = [], 0, None
    while True:
        request = ListRequest(prefix=prefix, keys=KeyRange(after), cursor=cursor, limit=limit, versions=versions)
        page = await backend.list_page(request)
        rows += page.batch.to_pylist()
        pages += 1
        cursor = page.cursor
        if cursor is None:
            return rows, pages


def many_of(server: S3Server) -> int:
    """Versions of the key with many: more than a page, but moto's cost grows with their square."""
    return 1500 if server.checks_signatures else 300


def etag_of(row):
    return f'"{row["etag16"].hex()}"' if row["etag16"] is not None else row["etag"]


async def test_objects_are_listed_as_boto3_lists_them(s3, filled, bucket, backend_of):
    name = filled(s3, bucket)
    backend = backend_of(s3, name)
    pages = s3.client().get_paginator("list_objects_v2").paginate(Bucket=name)
    theirs = [(o["Key"], o["Size"], o["ETag"], o["LastModified"]) for page in pages for o in page["Contents"]]
    for limit in (1000, 3):
        rows, _ = await listed(backend, versions=False, limit=limit)
        assert [(r["key"], r["size"], etag_of(r), r["modified"]) for r in rows] == theirs
    assert {key for key, *_ in theirs} >= set(NASTY) - {NASTY[1]}


@pytest.mark.parametrize("limit", [1000, 9])
async def test_latest_versions_are_listed_as_boto3_lists_them(s3, filled, bucket, limit, backend_of):
    name = filled(s3, bucket)
    backend = backend_of(s3, name)
    theirs = [
        (v["Key"], v["Size"], v["ETag"], v["VersionId"])
        for page in s3.client().get_paginator("list_object_versions").paginate(Bucket=name)
        for v in page.get("Versions", [])
        if v["IsLatest"]
    ]
    rows, pages = await listed(backend, versions=True, limit=limit)
    assert [(r["key"], r["size"], etag_of(r), r["version"]) for r in rows] == theirs
    assert pages > many_of(s3) / limit
    assert "gone" not in {r["key"] for r in rows}


async def test_a_listing_starts_after_any_key(s3, filled, bucket, backend_of):
    backend = backend_of(s3, filled(s3, bucket))
    for versions in (False, True):
        everything, _ = await listed(backend, versions=versions, limit=1000)
        keys = [row["key"] for row in everything]
        # moto leaves out the first version after a version marker that is no key: "p" would lose a key there.
        for after in ("p/many", "a+b", "100%", *(("p",) if s3.checks_signatures or not versions else ())):
            rows, _ = await listed(backend, versions=versions, limit=1000, after=after)
            assert [r["key"] for r in rows if r["key"] > after] == [key for key in keys if key > after]


async def test_pages_name_the_keys_they_went_through_rowless_ones_too(s3, filled, bucket, backend_of):
    backend = backend_of(s3, filled(s3, bucket))
    page = await backend.list_page(ListRequest(prefix="p/gone", versions=True))
    assert (page.first, page.last, page.batch.num_rows, page.seen) == ("p/gone", "p/gone", 0, 2)
    page = await backend.list_page(ListRequest(prefix="no such", versions=True))
    assert (page.first, page.last, page.cursor, page.seen) == (None, None, None, 0)


async def test_nasty_keys_are_read_byte_for_byte(s3, filled, bucket, backend_of):
    name = filled(s3, bucket)
    backend = backend_of(s3, name)
    for number, key in enumerate(NASTY):
        if number == 1:
            continue  # deleted
        async with backend.read(ReadRequest(key)) as body:
            data = b"".join([chunk async for chunk in body.chunks])
        assert data == (b"before versioning" if number % 2 else f"now {key}".encode())
        pin = await backend.stat(key)
        assert (pin.size, pin.etag, pin.version) == (len(data), body.answer.etag, body.answer.version)
        assert body.answer.total == len(data)


async def test_ranges_versions_and_conditions_are_asked_for(s3, filled, bucket, backend_of):
    name = filled(s3, bucket)
    backend = backend_of(s3, name)
    batch = await backend.history("p/many", limit=1400)
    assert batch.num_rows == min(1400, many_of(s3))
    assert set(batch.column("key").to_pylist()) == {"p/many"}
    assert len(set(batch.column("version").to_pylist())) == batch.num_rows
    old = batch.to_pylist()[-1]
    async with backend.read(ReadRequest("p/many", 0, 4, old["version"], etag_of(old))) as body:
        whole = b"".join([chunk async for chunk in body.chunks])
    assert hashlib.md5(whole).digest() == old["etag16"]
    async with backend.read(ReadRequest("p/many", 1, 3, old["version"], etag_of(old))) as body:
        data = b"".join([chunk async for chunk in body.chunks])
    assert data == whole[1:3]
    assert (body.answer.start, body.answer.stop, body.answer.total) == (1, 3, 4)
    assert body.answer.version == old["version"]
    with pytest.raises(ChangedError, match="p/many"):
        async with backend.read(ReadRequest("p/many", if_match=etag_of(old))):
            pass
    assert (await backend.stat("p/many", old["version"])).etag == etag_of(old)


async def test_an_empty_object_and_one_byte_of_it(s3, filled, bucket, backend_of):
    backend = backend_of(s3, filled(s3, bucket))
    async with backend.read(ReadRequest("empty")) as body:
        assert [chunk async for chunk in body.chunks] == []
    assert (body.answer.start, body.answer.stop, body.answer.total) == (0, 0, 0)
    assert (await backend.stat("empty")).size == 0
    with pytest.raises(NotFoundError, match="folder marker"):
        await backend.stat("folder/")


async def test_missing_objects_and_versions_are_not_found(s3, filled, bucket, backend_of):
    name = filled(s3, bucket)
    backend = backend_of(s3, name)
    client = s3.client()
    marker = client.list_object_versions(Bucket=name, Prefix="gone")["DeleteMarkers"][0]["VersionId"]
    for key, version in (("nothing here", None), ("gone", None), ("gone", marker)):
        with pytest.raises(NotFoundError, match=re.escape(f"s3://{name}/{key}")):
            await backend.stat(key, version)
        with pytest.raises(NotFoundError):
            async with backend.read(ReadRequest(key, version=version)):
                pass


async def test_versioning_is_learnt(s3, bucket, backend_of):
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    backend = backend_of(s3, bucket)
    assert await backend.versioning() is False
    for status in ("Enabled", "Suspended"):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert await backend.versioning() is True


async def test_stored_gzip_stays_as_stored(s3, bucket, backend_of):
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    stored = gzip.compress(b"text " * 1000)
    client.put_object(Bucket=bucket, Key="page.html", Body=stored, ContentEncoding="gzip")
    backend = backend_of(s3, bucket)
    async with backend.read(ReadRequest("page.html")) as body:
        assert b"".join([chunk async for chunk in body.chunks]) == stored


async def test_no_such_bucket_is_named(s3, backend_of):
    backend = backend_of(s3, "no-such-bucket-here")
    for versions in (False, True):
        with pytest.raises(ContainerNotFoundError, match="no such bucket: 'no-such-bucket-here'"):
            await backend.list_page(ListRequest(versions=versions))


async def test_a_wrong_secret_is_one_line_that_names_the_bucket(radosgw, bucket, backend_of):
    radosgw.client().create_bucket(Bucket=bucket)
    backend = backend_of(radosgw, bucket, secret="wrong")
    with pytest.raises(CredentialsError) as caught:
        await backend.list_page(ListRequest())
    text = str(caught.value)
    assert f"s3://{bucket}/" in text
    assert "SignatureDoesNotMatch" in text
    assert caught.value.request_id
    assert "\n" not in text
    assert "wrong" not in text
    backend = backend_of(radosgw, bucket, key="nobody")
    with pytest.raises(CredentialsError, match="InvalidAccessKeyId"):
        await backend.list_page(ListRequest())


async def test_denied_is_never_missing_and_says_what_is_needed(radosgw, bucket, open_bucket):
    client = radosgw.client()
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    options = {"endpoint_url": radosgw.endpoint, "anon": True}
    backend = open_bucket(bucket, options)
    with pytest.raises(AccessDeniedError, match=rf"'{bucket}': s3:ListBucketVersions is needed"):
        await backend.list_page(ListRequest(versions=True))
    with pytest.raises(AccessDeniedError, match="s3:GetObject is needed"):
        await backend.stat("k")
    assert await backend.versioning() is None


async def test_public_objects_are_read_without_credentials(radosgw, bucket, open_bucket):
    client = radosgw.client()
    client.create_bucket(Bucket=bucket, ACL="public-read")
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    backend = open_bucket(bucket, {"endpoint_url": radosgw.endpoint, "anon": True})
    assert (await backend.list_page(ListRequest())).batch.num_rows == 1
    assert (await backend.stat("k")).size == 1
    assert backend.source(parse(f"s3://{bucket}/")).anon


async def test_no_credentials_is_said_before_anything_is_asked(moto, proxy_to, bucket, open_bucket):
    proxy = proxy_to(moto.endpoint)
    backend = open_bucket(bucket, {"endpoint_url": proxy.endpoint})
    with pytest.raises(CredentialsError, match=rf"s3://{bucket}/: no credentials were found"):
        await backend.list_page(ListRequest())
    assert not proxy.seen


async def test_an_endpoint_that_is_down_is_named(open_bucket):
    (port,) = free_ports(1)
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "anon": True}
    backend = open_bucket("bucket-x", options)
    with pytest.raises(ConnectionFailedError, match=rf"s3://bucket-x/: http://127.0.0.1:{port}: cannot connect"):
        await backend.list_page(ListRequest())


async def test_virtual_hosts_are_signed_and_answered(radosgw, proxy_to, bucket, backend_of):
    client = radosgw.client()
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="a/../b c", Body=b"x")
    proxy = proxy_to(radosgw.endpoint)
    port = urlsplit(radosgw.endpoint).port
    server = dataclasses.replace(radosgw, endpoint=f"http://localhost:{port}")
    options = {"addressing_style": "virtual", "config_kwargs": {"proxies": {"http": proxy.endpoint}}}
    backend = backend_of(server, bucket, **options)
    page = await backend.list_page(ListRequest())
    assert page.batch.column("key").to_pylist() == ["a/../b c"]
    assert (await backend.stat("a/../b c")).size == 1
    assert {seen.headers["host"] for seen in proxy.seen} == {f"{bucket}.localhost:{port}"}
    assert proxy.seen[-1].target == "/a/../b%20c"
    assert backend.source(parse(f"s3://{bucket}/")).addressing == "virtual"


def test_one_backend_serves_loops_one_after_another_in_debug_mode(moto, bucket, backend_of):
    moto.client().create_bucket(Bucket=bucket)
    backend = backend_of(moto, bucket)

    async def ask() -> int:
        page = await backend.list_page(ListRequest())
        await backend.aclose()
        return page.seen

    assert asyncio.run(ask(), debug=True) == 0
    assert asyncio.run(ask()) == 0


def test_uvloop_serves_as_well(moto, bucket):
    uvloop = pytest.importorskip("uvloop")
    moto.client().create_bucket(Bucket=bucket)

    async def ask() -> int:
        backend = open_backend(parse(f"s3://{bucket}/"), moto.storage_options, Limits(concurrency=2))
        pages = await asyncio.gather(*(backend.list_page(ListRequest()) for _ in range(8)))
        await backend.aclose()
        return len(pages)

    assert uvloop.run(ask()) == 8
