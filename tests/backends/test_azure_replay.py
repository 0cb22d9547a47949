"""What Azurite cannot answer: Azure's documented answers, replayed by a small real HTTP server.

No emulator keeps versions or has a hierarchical namespace. The bodies and headers follow Microsoft's "List Blobs",
"Get Blob" and "Versioning for the Azure Storage services" pages and recorded answers in Azure's own SDK tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from aiohttp import web

import asyncref
from asyncref.backends import azure, open_backend
from asyncref.backends.base import Backend, Traits
from asyncref.errors import (
    AccessDeniedError,
    ArchivedError,
    AsyncrefError,
    BrokenBodyError,
    ContainerNotFoundError,
    CredentialsError,
    NotFoundError,
    ProtocolError,
    ThrottledError,
    UnsupportedError,
)
from asyncref.model import Limits, ListRequest, ReadRequest
from asyncref.testing import body_of, listed
from asyncref.uri import Reference

WHEN = "Mon, 23 Nov 2026 23:45:31 GMT"
OLD, OLDER, NEW = (f"2026-0{month}-01T00:00:00.0000000Z" for month in (2, 1, 3))
QUICK = Limits(attempts=2, backoff_s=0.001, backoff_max_s=0.002)


class Replay:
    """A server whose answers a test gives."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.answer: Callable[[web.Request], web.Response] = lambda _: web.Response(status=500)
        self.endpoint = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return self.answer(request)

    def backend(self, **options: object) -> Backend:
        chosen = {"endpoint_url": self.endpoint, "account_name": "mine", "anon": True, **options}
        return open_backend(Reference("az", "box", ""), chosen, QUICK)


@pytest.fixture
async def replay() -> AsyncIterator[Replay]:
    made = Replay()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.endpoint = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/mine"
    yield made
    await runner.cleanup()


def blob(name: str, version: str = "", *, current: bool = False, etag: str = "0x1", extra: str = "") -> str:
    told = f"<VersionId>{version}</VersionId>" if version else ""
    told += "<IsCurrentVersion>true</IsCurrentVersion>" if current else ""
    inner = f"<Last-Modified>{WHEN}</Last-Modified><Etag>{etag}</Etag><Content-Length>3</Content-Length>{extra}"
    return f"<Blob><Name>{name}</Name>{told}<Properties>{inner}</Properties><OrMetadata /></Blob>"


def page(*entries: str, marker: str = "") -> web.Response:
    body = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://mine/" ContainerName="box">'
        f"<Blobs>{''.join(entries)}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    )
    return web.Response(text=body, content_type="application/xml", headers={"x-ms-request-id": "r-1"})


def refusal(status: int, code: str, *, more: str = "", headers: dict[str, str] | None = None) -> web.Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>It says so.\nRequestId:r-1</Message>{more}</Error>"
    told = {"x-ms-error-code": code, "x-ms-request-id": "r-1", **(headers or {})}
    return web.Response(status=status, text=body, headers=told)


async def test_the_current_version_of_each_blob_is_listed_and_its_history_is_newest_first(replay: Replay) -> None:
    entries = [
        blob("a", OLDER, etag="0x1"), blob("a", OLD, etag="0x2"), blob("a", NEW, current=True, etag="0x3"),
        blob("a2", OLD, current=True), blob("deleted", OLD),
    ]  # fmt: skip
    replay.answer = lambda _: page(*entries)
    backend = replay.backend()
    rows = (await listed(backend, ListRequest(versions=True))).rows
    assert {key: row["version"] for key, row in rows.items()} == {"a": NEW, "a2": OLD}
    assert replay.seen[-1].query["include"] == "metadata,versions"
    history = await backend.history("a")
    assert history["version"].to_pylist() == [NEW, OLD, OLDER]
    assert history["etag"].to_pylist() == ['"0x3"', '"0x2"', '"0x1"']
    assert (await backend.history("a", limit=2))["version"].to_pylist() == [NEW, OLD]
    assert replay.seen[-1].query["prefix"] == "a"
    await backend.aclose()


async def test_a_pinned_version_is_read_with_its_etag_and_its_echo_is_checked(replay: Replay) -> None:
    def answer(request: web.Request) -> web.Response:
        assert request.headers["If-Match"] == '"0x2"'
        assert request.query["versionid"] in (OLD, NEW)
        headers = {
            "ETag": '"0x2"',
            "x-ms-version-id": OLD,
            "Content-Range": "bytes 1-2/3",
            "x-ms-blob-content-md5": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        return web.Response(status=206, body=b"yz", headers=headers)

    replay.answer = answer
    backend = replay.backend()
    told, data = await body_of(backend, ReadRequest("a", start=1, stop=3, version=OLD, if_match='"0x2"'))
    assert (data, told.version, told.total, told.checksum) == (b"yz", OLD, 3, f"md5:{'00' * 16}")
    with pytest.raises(NotFoundError, match="no such version: the server answers with 2026-02"):
        await body_of(backend, ReadRequest("a", start=1, stop=3, version=NEW, if_match='"0x2"'))
    await backend.aclose()


async def test_a_hierarchical_namespace_is_listed_without_versions_and_without_its_directories(
    replay: Replay, monkeypatch
) -> None:
    """Its order is that of paths (`a/b` before `a-b`), its directories are rows, its prefixes have properties."""
    monkeypatch.setattr(
        azure, "TRAITS", Traits(ordered=False, ranged=False, delimited=True, versioned=True, page_rows=2)
    )
    directory = "<ResourceType>directory</ResourceType>"
    tree = ["a", "a/b", "a/c", "a-b", "d", "d/e"]
    directories = {"a", "d"}

    def answer(request: web.Request) -> web.Response:
        query = request.query
        if "versions" in query["include"]:
            return refusal(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts")
        under = [
            name
            for name in tree
            if f"{name}/".startswith(query.get("prefix", "")) and name != query.get("prefix", "").rstrip("/")
        ]
        if query.get("delimiter"):
            under = [name for name in under if "/" not in name.removeprefix(query.get("prefix", ""))]
        start = int(query.get("marker") or 0)
        shown = under[start : start + int(query["maxresults"])]
        entries = [
            f"<BlobPrefix><Name>{name}/</Name><Properties><Etag>0x1</Etag>{directory}<Content-Length>0</Content-Length></Properties></BlobPrefix>"
            if query.get("delimiter") and name in directories
            else blob(name, extra=directory if name in directories else "<ResourceType>file</ResourceType>")
            for name in shown
        ]
        end = start + len(shown)
        return page(*entries, marker=str(end) if end < len(under) else "")

    replay.answer = answer
    options = {"endpoint_url": replay.endpoint, "account_name": "mine", "anon": True}
    manifest = await asyncref.scan("az://box/", storage_options=options, limits=QUICK)
    assert [entry.path for entry in manifest] == ["a-b", "a/b", "a/c", "d/e"]
    assert not any("HEAD" in request.method for request in replay.seen)


async def test_a_token_that_is_no_longer_taken_is_renewed_once_in_mid_scan(replay: Replay) -> None:
    tokens = iter(["first", "second", "third"])
    credential = SimpleNamespace(get_token=lambda _: SimpleNamespace(token=next(tokens), expires_on=time.time() + 3600))
    good = {"Bearer first"}

    def answer(request: web.Request) -> web.Response:
        if request.headers["Authorization"] not in good:
            return refusal(401, "InvalidAuthenticationInfo", headers={"WWW-Authenticate": "Bearer authorization_uri=x"})
        marker = request.query.get("marker")
        good.clear()
        good.add("Bearer second")
        return page(blob("b")) if marker else page(blob("a"), marker="m")

    replay.answer = answer
    options = {"endpoint_url": replay.endpoint, "account_name": "mine", "credential": credential}
    manifest = await asyncref.scan("az://box/", storage_options=options, limits=QUICK)
    assert [entry.path for entry in manifest] == ["a", "b"]
    good.clear()
    with pytest.raises(CredentialsError) as caught:
        await asyncref.scan("az://box/", storage_options=options, limits=QUICK)
    assert "third" not in str(caught.value)


async def test_a_wrong_clock_is_corrected_once(replay: Replay) -> None:
    ahead_s = 3600.0

    def answer(request: web.Request) -> web.Response:
        now = formatdate(time.time() + ahead_s, usegmt=True)
        if request.headers["x-ms-date"][:22] != now[:22]:  # to the minute
            return refusal(403, "AuthenticationFailed", headers={"Date": now})
        return page(blob("a"))

    replay.answer = answer
    backend = replay.backend(anon=False, account_key="bm8gc2VjcmV0")
    assert (await listed(backend, ListRequest())).keys == ["a"]
    assert len(replay.seen) == 2
    await backend.aclose()


ERRORS = [
    (403, "AuthorizationPermissionMismatch", AccessDeniedError, "Storage Blob Data Reader"),
    (403, "AuthorizationFailure", AccessDeniedError, "firewall"),
    (403, "SomethingNew", AccessDeniedError, "access denied"),
    (403, "AuthenticationFailed", CredentialsError, "does not accept the credentials"),
    (401, "NoAuthenticationInformation", CredentialsError, "not public"),
    (409, "PublicAccessNotPermitted", AccessDeniedError, "anon=True"),
    (404, "ContainerNotFound", ContainerNotFoundError, "'box'"),
    (409, "ContainerBeingDeleted", ContainerNotFoundError, "being deleted"),
    (409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", UnsupportedError, "not offered"),
    (503, "ServerBusy", ThrottledError, "slow down"),
    (429, "TooManyRequests", ThrottledError, "slow down"),
    (410, "Gone", ProtocolError, "It says so"),
    (401, "InvalidAuthenticationInfo", CredentialsError, "does not accept the credentials"),
    (400, "OutOfRangeInput", ProtocolError, "It says so"),
]


@pytest.mark.parametrize(("status", "code", "kind", "says"), ERRORS, ids=[code for _, code, _, _ in ERRORS])
async def test_every_refusal_has_its_own_error(
    status: int, code: str, kind: type[AsyncrefError], says: str, replay: Replay
) -> None:
    replay.answer = lambda _: refusal(status, code, headers={"Retry-After": "7"})
    backend = replay.backend()
    with pytest.raises(AsyncrefError, match=says) as caught:
        await backend.list_page(ListRequest())
    assert type(caught.value) is kind
    assert (caught.value.uri, caught.value.request_id, caught.value.code) == ("az://box/", "r-1", code)
    assert kind is not ThrottledError or caught.value.retry_after_s == 7
    await backend.aclose()


@pytest.mark.parametrize(
    ("status", "code", "version", "kind"),
    [
        (404, "BlobNotFound", None, NotFoundError),
        (409, "BlobArchived", None, ArchivedError),
        (409, "BlobBeingRehydrated", None, ArchivedError),
        (400, "InvalidQueryParameterValue", "nonsense", NotFoundError),
        (403, "AuthorizationPermissionMismatch", None, AccessDeniedError),
    ],
)
async def test_a_blob_that_cannot_be_read_says_why(
    status: int, code: str, version: str | None, kind: type[AsyncrefError], replay: Replay
) -> None:
    replay.answer = lambda _: refusal(status, code)
    backend = replay.backend()
    for ask in (backend.stat("a", version), body_of(backend, ReadRequest("a", version=version))):
        with pytest.raises(AsyncrefError) as caught:
            await ask
        assert type(caught.value) is kind
        assert caught.value.uri == "az://box/a"
    await backend.aclose()


async def test_versions_beside_a_delimiter_are_unsupported_where_the_server_says_so(replay: Replay) -> None:
    more = "<QueryParameterName>include</QueryParameterName><Reason>Listing versions and using a delimiter are mutually exclusive.</Reason>"
    replay.answer = lambda _: refusal(400, "InvalidQueryParameterValue", more=more)
    backend = replay.backend()
    with pytest.raises(UnsupportedError, match="mutually exclusive"):
        await backend.list_page(ListRequest(versions=True, folders=True))
    assert replay.seen[-1].query["delimiter"] == "/"
    await backend.aclose()


async def test_a_marker_that_does_not_advance_and_a_cut_page_are_found_out(replay: Replay) -> None:
    backend = replay.backend()
    replay.answer = lambda _: page(blob("a"), marker="same")
    first = await backend.list_page(ListRequest())
    with pytest.raises(ProtocolError, match="does not advance"):
        await backend.list_page(ListRequest(cursor=first.cursor))
    replay.answer = lambda _: web.Response(body=b"<?xml version='1.0'?><EnumerationResults><Blobs><Blob>")
    with pytest.raises(BrokenBodyError, match="cut"):
        await backend.list_page(ListRequest())
    replay.answer = lambda _: web.Response(body=b"<html>a proxy's login page</html></EnumerationResults>")
    with pytest.raises(ProtocolError, match="cannot be used"):
        await backend.list_page(ListRequest())
    await backend.aclose()


async def test_no_sas_is_shown_even_where_the_answer_is_no_http(caplog) -> None:
    """aiohttp names the whole URL in some of its errors."""

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mine"
    options = {"endpoint_url": endpoint, "account_name": "mine", "sas_token": "sv=1&sig=c2VjcmV0"}
    caplog.set_level("DEBUG")
    with pytest.raises(AsyncrefError) as caught:
        await asyncref.scan("az://box/", storage_options=options, limits=QUICK)
    server.close()
    assert "c2VjcmV0" not in str(caught.value)
    assert "c2VjcmV0" not in caplog.text
