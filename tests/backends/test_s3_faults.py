"""What the S3 backend makes of servers that fail, cut, stall, lie or live elsewhere."""

from __future__ import annotations

import base64
import dataclasses
import re
import time
from email.utils import formatdate

import pytest

from asyncref.backends import open_backend
from asyncref.errors import (
    ArchivedError,
    BrokenBodyError,
    ChangedError,
    ConnectionFailedError,
    CredentialsError,
    NotFoundError,
    ProtocolError,
    ServerError,
    SilentError,
    ThrottledError,
    UnsupportedError,
    WrongRegionError,
)
from asyncref.model import Cursor, Limits, ListRequest, ReadRequest
from asyncref.uri import parse
from tests.servers.proxy import Cut, Reset, Retarget, Rewrite, Stall, Status, slow_down


def error(code: str, status: int, **elements: str) -> Status:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message><RequestId>R1</RequestId>{inner}</Error>"
    )
    return Status(status, body.encode())


@pytest.fixture
def proxy(moto, proxy_to, bucket):
    """A proxy before a bucket with five keys, two of them with versions."""
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "b", "c", "d", "d", "e"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x" * 100_000)
    return proxy_to(moto.endpoint)


@pytest.fixture
async def backend(moto, proxy, bucket):
    """The bucket behind the proxy."""
    server = dataclasses.replace(moto, endpoint=proxy.endpoint)
    opened = open_backend(parse(f"s3://{bucket}/"), server.storage_options, Limits(idle_timeout_s=0.3))
    yield opened
    await opened.aclose()


async def test_one_page_is_one_request(backend, proxy):
    await backend.list_page(ListRequest(versions=True))
    await backend.list_page(ListRequest())
    assert proxy.counts == {"versions": 1, "list": 1}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (slow_down(), ThrottledError),
        (Status(429), ThrottledError),
        (Status(500), ServerError),
        (Status(502, b"<html>bad gateway</html>"), ServerError),
        (error("InternalError", 200), ServerError),
        (error("SlowDown", 200), ThrottledError),
        (error("NotImplemented", 501), UnsupportedError),
        (Reset(), ConnectionFailedError),
        (Cut(200), BrokenBodyError),
        (Stall(200), SilentError),
        (Stall(), BrokenBodyError),
        (Rewrite(rb"</ListVersionsResult>.*", b""), BrokenBodyError),
        (Rewrite(rb"<Size>", b""), ProtocolError),
        (Rewrite(rb"<Key>c</Key>", b""), ProtocolError),
        (Rewrite(rb"true", b"false"), ProtocolError),
        (Rewrite(rb"false", b"true"), ProtocolError),
        (Rewrite(rb".*", b"not XML at all"), ProtocolError),
        (Rewrite(rb".*", b""), BrokenBodyError),
        (error("AuthorizationHeaderMalformed", 400), ProtocolError),
        (error("ExpiredToken", 400), CredentialsError),
    ],
)
async def test_a_broken_page_is_the_right_error_and_never_a_short_page(backend, proxy, bucket, fault, kind):
    assert (await backend.list_page(ListRequest(versions=True))).batch.num_rows == 5
    proxy.inject(fault, kind="versions", at=None)
    with pytest.raises(kind, match=f"^s3://{bucket}/") as caught:
        await backend.list_page(ListRequest(versions=True))
    assert type(caught.value) is kind
    proxy.forget()
    assert (await backend.list_page(ListRequest(versions=True))).batch.num_rows == 5


@pytest.mark.parametrize(("header", "pause_s"), [("7", 7.0), (formatdate(60, usegmt=True), 60.0), ("soon", None)])
async def test_the_pause_that_a_server_asks_for_is_passed_on(backend, proxy, header, pause_s):
    proxy.inject(Status(503, b"", (("Retry-After", header), ("Date", formatdate(0, usegmt=True)))))
    with pytest.raises(ThrottledError) as caught:
        await backend.list_page(ListRequest())
    assert caught.value.retry_after_s == pause_s


async def test_an_error_carries_the_servers_request_id_and_code(backend, proxy, bucket):
    proxy.inject(error("InvalidObjectState", 403))
    with pytest.raises(ArchivedError, match="restore it first") as caught:
        async with backend.read(ReadRequest("a")):
            pass
    assert (caught.value.code, caught.value.request_id, caught.value.uri) == (
        "InvalidObjectState",
        "R1",
        f"s3://{bucket}/a",
    )


@pytest.mark.parametrize(
    ("status", "kind"), [(405, NotFoundError), (400, NotFoundError), (412, ChangedError), (416, ChangedError)]
)
async def test_a_versioned_read_says_what_became_of_the_version(backend, proxy, status, kind):
    proxy.inject(Status(status))
    with pytest.raises(kind):
        async with backend.read(ReadRequest("a", version="v")):
            pass


@pytest.mark.parametrize("fault", [Cut(50_000), Stall(50_000)])
async def test_a_body_that_ends_early_is_broken(backend, proxy, fault):
    proxy.inject(fault, kind="get")
    async with backend.read(ReadRequest("a")) as body:
        with pytest.raises(BrokenBodyError):
            [chunk async for chunk in body.chunks]
    async with backend.read(ReadRequest("a")) as body:
        assert sum([len(chunk) async for chunk in body.chunks]) == 100_000


async def test_the_callers_own_error_passes_through_a_read_unchanged(backend):
    with pytest.raises(OSError, match="disk full"):
        async with backend.read(ReadRequest("a")):
            raise OSError(28, "disk full")


async def test_a_range_that_does_not_fit_its_length_is_an_error(backend, proxy):
    proxy.inject(Rewrite(rb"^.", b""), kind="get")
    with pytest.raises(ProtocolError, match="another length"):
        async with backend.read(ReadRequest("a", 10, 20)):
            pass


@pytest.mark.parametrize("versions", [False, True])
async def test_a_listing_that_does_not_advance_is_an_error(backend, proxy, versions):
    first = await backend.list_page(ListRequest(versions=versions, limit=2))
    names = ("NextKeyMarker", "NextVersionIdMarker") if versions else ("NextContinuationToken",)
    for name, value in zip(names, (first.cursor.marker, first.cursor.version_marker), strict=False):
        proxy.inject(Rewrite(b"<%b>[^<]*" % name.encode(), b"<%b>%b" % (name.encode(), value.encode())), at=None)
    with pytest.raises(ProtocolError, match="does not advance"):
        await backend.list_page(ListRequest(versions=versions, limit=2, cursor=first.cursor))
    proxy.forget()
    proxy.inject(Rewrite(b"<(%b)>[^<]*</(%b)>" % (names[0].encode(), names[0].encode()), b""))
    with pytest.raises(ProtocolError, match="more follows"):
        await backend.list_page(ListRequest(versions=versions, limit=2))


async def test_a_key_over_two_pages_has_one_latest_version(backend, proxy):
    first = await backend.list_page(ListRequest(versions=True, limit=2))
    assert (first.cursor.state, first.batch.num_rows) == ("1b", 2)
    second = await backend.list_page(ListRequest(versions=True, limit=2, cursor=first.cursor))
    assert second.batch.column("key").to_pylist() == ["c"]
    none_yet = dataclasses.replace(first.cursor, state="0b")
    with pytest.raises(ProtocolError, match="0 latest versions of 'b'"):
        await backend.list_page(ListRequest(versions=True, limit=2, cursor=none_yet))
    proxy.inject(Rewrite(b"false</IsLatest>", b"true</IsLatest>"))
    with pytest.raises(ProtocolError, match="2 latest versions of 'b'"):
        await backend.list_page(ListRequest(versions=True, limit=2, cursor=first.cursor))


async def test_a_version_marker_that_includes_its_row_gives_it_once(backend, proxy):
    first = await backend.list_page(ListRequest(versions=True, limit=2))
    # The server is asked from "a" on, so it sends again what the cursor says was seen.
    proxy.inject(Retarget(r"key-marker=b&", "key-marker=a&"))
    proxy.inject(Retarget(r"version-id-marker=[^&]*", f"version-id-marker={first.batch.column('version')[0].as_py()}"))
    second = await backend.list_page(ListRequest(versions=True, cursor=first.cursor))
    assert (second.batch.column("key").to_pylist(), second.first) == (["c", "d", "e"], "b")


async def test_a_bucket_in_another_region_is_followed_once_and_remembered(backend, proxy, bucket):
    proxy.inject(Status(301, b"", (("x-amz-bucket-region", "eu-west-3"),)), kind="head")
    assert (await backend.stat("a")).size == 100_000
    assert (await backend.stat("b")).size == 100_000
    scopes = [seen.headers["authorization"].split("/")[2] for seen in proxy.seen]
    assert scopes == ["us-east-1", "eu-west-3", "eu-west-3"]
    assert backend.source(parse(f"s3://{bucket}/")).region == "eu-west-3"
    for region in ("ap-south-1", "ap-south-2"):
        proxy.inject(error("AuthorizationHeaderMalformed", 400, Region=region), kind="list", at=int(region[-1]))
    proxy.inject(error("AuthorizationHeaderMalformed", 400, Region="ap-south-3"), kind="list", at=1)
    with pytest.raises(WrongRegionError, match="names region"):
        await backend.list_page(ListRequest())


@pytest.mark.parametrize("kind", ["list", "head"])
async def test_a_wrong_clock_is_corrected_once(backend, proxy, kind):
    server_s = time.time() + 3600
    body = b"" if kind == "head" else b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
    proxy.inject(Status(403, body, (("Date", formatdate(server_s, usegmt=True)),)), kind=kind)
    await (backend.stat("a") if kind == "head" else backend.list_page(ListRequest()))
    stamps = [seen.headers["x-amz-date"] for seen in proxy.seen]
    assert stamps[1][:11] == time.strftime("%Y%m%dT%H", time.gmtime(server_s))
    assert stamps[0] < stamps[1]


async def test_requester_pays_is_said_and_signed(moto, proxy, bucket):
    server = dataclasses.replace(moto, endpoint=proxy.endpoint)
    opened = open_backend(parse(f"s3://{bucket}/"), {**server.storage_options, "requester_pays": True, "token": "t"})
    await opened.list_page(ListRequest())
    await opened.aclose()
    headers = proxy.seen[-1].headers
    assert (headers["x-amz-request-payer"], headers["x-amz-security-token"]) == ("requester", "t")
    assert "x-amz-request-payer;x-amz-security-token" in headers["authorization"]


async def test_a_proxy_that_is_down_is_named_without_its_password(moto, bucket, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://user:hush@127.0.0.1:1")
    backend = open_backend(parse(f"s3://{bucket}/"), moto.storage_options)
    with pytest.raises(ConnectionFailedError, match="proxy does not answer") as caught:
        await backend.list_page(ListRequest())
    assert "hush" not in str(caught.value)
    await backend.aclose()


async def test_a_proxy_gets_its_password_and_no_proxy_goes_around_it(moto, bucket, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.endpoint.replace("http://", "http://us%20er:hush@"))
    for around, requests in (("", 1), ("localhost,127.0.0.1", 1)):
        monkeypatch.setenv("NO_PROXY", around)
        backend = open_backend(parse(f"s3://{bucket}/"), moto.storage_options)
        assert (await backend.list_page(ListRequest())).seen == 5
        await backend.aclose()
        assert len(proxy.seen) == requests
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"us er:hush").decode()
    assert "proxy-authorization" not in proxy.seen[0].headers["authorization"]


async def test_only_what_is_asked_for_goes_into_a_request(backend, proxy, bucket):
    await backend.list_page(ListRequest(prefix="p/ +", limit=7, cursor=Cursor("k/é", "v", "1k/é"), versions=True))
    assert proxy.seen[-1].target == (
        f"/{bucket}?encoding-type=url&key-marker=k%2F%C3%A9&max-keys=7&prefix=p%2F%20%2B&version-id-marker=v&versions="
    )
    async with backend.read(ReadRequest("a", 5, 6)):
        pass
    headers = proxy.seen[-1].headers
    assert (headers["range"], headers["accept-encoding"]) == ("bytes=5-5", "identity")
    assert "x-amz-checksum-mode" not in headers
    assert not re.search("boto|aiohttp", headers["user-agent"])
