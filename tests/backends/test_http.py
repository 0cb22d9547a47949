"""HTTP file servers: what a scan asks, what it refuses, where credentials go, what lying servers cannot do."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

import asyncref
from asyncref.backends import open_backend
from asyncref.errors import (
    AccessDeniedError,
    AsyncrefError,
    BadKeyError,
    BrokenBodyError,
    ChangedError,
    ContainerNotFoundError,
    CredentialsError,
    FetchError,
    InvalidURIError,
    NotFoundError,
    NothingFoundError,
    OptionError,
    ProtocolError,
    StorageError,
    ThrottledError,
)
from asyncref.model import Limits, ReadRequest
from asyncref.testing import body_of
from asyncref.uri import parse
from tests.servers.authority import Authority
from tests.servers.scripted import Asked, Said, scripted

QUICK = Limits(attempts=2, backoff_s=0.001)
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}


def index(*hrefs: str) -> Said:
    """An index page as nginx writes it."""
    links = "".join(f'<a href="{href}">{href}</a>  23-Nov-2026 23:44  1\n' for href in hrefs)
    page = f'<html><head><title>Index of /</title></head><body><pre><a href="../">../</a>\n{links}</pre></body></html>'
    return Said(body=page.encode(), headers=HTML)


@pytest.fixture
def tree(served: Path, bucket: str) -> str:
    """A tree of five files in three folders; its name."""
    for name in ("a", "b c", "one/d", "one/e", "one/two/f"):
        path = served / bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return bucket


PATHS = ["a", "b c", "one/d", "one/e", "one/two/f"]


@pytest.fixture(params=["nginx", "nginx.json", "apache", "caddy", "lighttpd", "python_http"])
def url(request, tree) -> str:
    name, _, face = request.param.partition(".")
    server = request.getfixturevalue(name)
    return f"{getattr(server, face) if face else server.url}/{tree}"


async def test_a_tree_costs_its_files_and_folders_and_one_more(url):
    manifest = await asyncref.scan(url)
    assert [entry.path for entry in manifest] == PATHS
    assert manifest.record.requests["stat"] == len(PATHS) + 1
    assert manifest.record.requests["list"] == 3
    assert manifest["b c"].ref == f"{url}/b%20c"
    assert [entry.pin.size for entry in manifest] == [1, 3, 5, 5, 9]


async def test_a_tree_comes_back_byte_for_byte(url, tmp_path):
    await asyncref.fetch(await asyncref.scan(f"{url}/"), tmp_path / "copy")
    copied = {path.relative_to(tmp_path / "copy").as_posix(): path for path in (tmp_path / "copy").rglob("*")}
    assert {name: path.read_text() for name, path in copied.items() if path.is_file()} == {name: name for name in PATHS}


async def test_a_single_file_costs_one_request(url):
    manifest = await asyncref.scan(f"{url}/b%20c")
    assert [(entry.path, entry.ref) for entry in manifest] == [("b%20c", f"{url}/b%20c")]
    assert manifest.record.requests == {"stat": 1}


async def test_without_checksums_no_file_is_asked_for(url):
    manifest = await asyncref.scan(f"{url}/", checksum=False)
    assert manifest.record.requests == {"list": 3}
    assert [entry.path for entry in manifest] == PATHS
    assert [entry.digest for entry in manifest] == [entry.ref for entry in manifest]


async def test_an_overwritten_file_is_noticed_by_status_and_by_fetch(url, served, tree, tmp_path):
    manifest = await asyncref.scan(f"{url}/")
    (served / tree / "one/d").write_bytes(b"longer than it was")
    report = await asyncref.status(manifest)
    assert [new.path for _, new in report.changed] == ["one/d"]
    with pytest.raises(FetchError) as caught:
        await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)
    assert [failure.path for failure in caught.value.failures] == ["one/d"]
    assert not (tmp_path / "copy/one/d").exists()


async def test_a_file_without_an_etag_is_pinned_by_its_last_modified(python_http, served, tree, tmp_path):
    url = f"{python_http.url}/{tree}/a"
    manifest = await asyncref.scan(url)
    entry = manifest["a"]
    assert (entry.digest, entry.pin.etag) == (url, None)
    assert entry.pin.version.endswith("GMT")
    (served / tree / "a").write_bytes(b"z")
    os.utime(served / tree / "a", (10**9, 10**9))
    report = await asyncref.status(manifest)
    assert not report.same
    with pytest.raises(FetchError, match="version"):
        await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)


async def test_a_server_without_ranges_gives_a_large_file_whole(python_http, served, tree, tmp_path):
    data = bytes(range(256)) * 2**17
    (served / tree / "large").write_bytes(data)
    await asyncref.fetch(await asyncref.scan(f"{python_http.url}/{tree}/large"), tmp_path / "copy")
    assert (tmp_path / "copy/large").read_bytes() == data


async def test_digests_are_those_of_wandb(nginx, python_http, tree):
    assert await _digest(f"{nginx.url}/{tree}/a") == (await _pin(f"{nginx.url}/{tree}/a")).etag.strip('"')
    assert await _digest(f"{python_http.url}/{tree}/b c") == f"{python_http.url}/{tree}/b%20c"
    async with scripted({"/w": Said(headers={"ETag": 'W/"abc"'})}) as server:
        assert await _digest(f"{server.url}/w") == 'W/"abc'


async def _digest(url: str) -> str:
    (entry,) = await asyncref.scan(url)
    return entry.digest


async def _pin(url: str):
    (entry,) = await asyncref.scan(url)
    return entry.pin


# What links say.

EVIL = (
    "http://evil.example/x", "//evil.example/x", "/etc/passwd", "../secret", "../../secret", "deep/er", "./", "../",
    "%2e%2e/", "%2E%2E", "?C=N;O=D", "#top", "javascript:alert(1)", "mailto:a@b", "\\evil\\x", "http://127.0.0.1:1/x",
    "data:text/html,x", "a?x=1", "//", "/d/../x", "ftp://127.0.0.1/x", "http:/x",
)  # fmt: skip


async def test_nothing_outside_the_folder_is_asked_for_whatever_links_say():
    async with scripted({"/d/": index(*EVIL, "good", "./also"), "/d/good": Said(), "/d/also": Said()}) as server:
        manifest = await asyncref.scan(f"{server.url}/d/", limits=QUICK)
        assert [entry.path for entry in manifest] == ["also", "good"]
        assert sorted(server.lines) == ["GET /d/", "HEAD /d/also", "HEAD /d/good"]


@pytest.mark.parametrize("href", ["..%2f..%2fetc", "a%00b", "%ff%fe", "x%2Fy"])
async def test_a_name_that_no_path_can_hold_is_refused_by_name(href):
    async with scripted({"/d/": index(href, "good"), "/d/good": Said()}) as server:
        with pytest.raises(BadKeyError):
            await asyncref.scan(f"{server.url}/d/")
        manifest = await asyncref.scan(f"{server.url}/d/", bad_keys="skip")
        assert [entry.path for entry in manifest] == ["good"]
        assert manifest.record.skipped == {"bad_key": 1}


async def test_links_in_comments_and_scripts_are_none():
    page = index("good").body + b"<!-- <a href='hidden'>x</a> --><script>\"<a href='scripted'>x</a>\"</script>"
    async with scripted({"/d/": Said(body=page, headers=HTML), "/d/good": Said()}) as server:
        assert [entry.path for entry in await asyncref.scan(f"{server.url}/d/")] == ["good"]


@pytest.mark.parametrize(
    "said",
    [
        Said(body=b"<html><title>Welcome</title><a href='a'>a</a><a href='../'>up</a></html>", headers=HTML),
        Said(body=b"", headers=HTML),
        Said(body=b"\xff\xfe\x00binary"),
        Said(body=b'{"files": []}', headers={"Content-Type": "application/json"}),
        Said(body=b'[{"id": 1}]', headers={"Content-Type": "application/json"}),
        Said(body=b"[1]", headers={"Content-Type": "application/json"}),
    ],
)
async def test_a_page_that_is_no_index_is_one_clear_error(said):
    async with scripted({"/d/": said}) as server:
        with pytest.raises(ProtocolError, match="no index of files"):
            await asyncref.scan(f"{server.url}/d/")


@pytest.mark.parametrize(
    "row",
    [
        '{"name": "..", "type": "directory"}',
        '{"name": "a", "type": "other"}',
        '{"name": "a", "type": "file", "size": -1}',
        '{"name": "", "type": "file", "size": 1}',
    ],
)
async def test_a_json_index_that_lies_is_one_clear_error(row):
    said = Said(body=f"[{row}]".encode(), headers={"Content-Type": "application/json"})
    async with scripted({"/d/": said}) as server:
        with pytest.raises(ProtocolError, match=r"index|neither"):
            await asyncref.scan(f"{server.url}/d/")


@pytest.mark.parametrize("links", [["loop/"], ["a/", "b/"], ["a/", "b/", "file"]])
async def test_folders_without_end_are_found_out(links):
    def script(asked: Asked) -> Said:
        return index(*links) if asked.target.endswith("/") else Said(headers={"ETag": '"x"'})

    async with scripted(script) as server:
        with pytest.raises(ProtocolError, match="repeat without end"):
            await asyncref.scan(f"{server.url}/")
        assert len(server.asked) < 3000


async def test_a_tree_whose_folders_rightly_repeat_is_read_if_it_is_said_so():
    depth = 12
    script = {f"/{'0/' * level}": index("0/") for level in range(depth)} | {f"/{'0/' * depth}": index("file")}
    async with scripted(script) as server:
        with pytest.raises(ProtocolError, match="repeat without end") as caught:
            await asyncref.scan(f"{server.url}/", checksum=False)
        assert "folder_repeats" in caught.value.hint
        manifest = await asyncref.scan(f"{server.url}/", checksum=False, storage_options={"folder_repeats": depth})
        assert [entry.path for entry in manifest] == ["0/" * depth + "file"]


async def test_a_folder_that_the_index_calls_a_file_is_not_left_out_in_silence():
    moved = Said(301, headers={"Location": "/d/sub/"})
    async with scripted({"/d/": index("sub"), "/d/sub": moved}) as server:
        with pytest.raises(ProtocolError, match="listed as a file"):
            await asyncref.scan(f"{server.url}/d/")


async def test_what_vanished_since_it_was_listed_is_counted():
    async with scripted({"/d/": index("here", "gone"), "/d/here": Said()}) as server:
        manifest = await asyncref.scan(f"{server.url}/d/")
    assert [entry.path for entry in manifest] == ["here"]
    assert manifest.record.skipped == {"vanished": 1}


async def test_an_empty_folder_is_nothing_found():
    async with scripted({"/d/": index()}) as server:
        with pytest.raises(NothingFoundError):
            await asyncref.scan(f"{server.url}/d/")


# Redirects and credentials.

SECRET = {"username": "me", "password": "pa55word", "headers": {"X-Api-Key": "k3y"}}


async def test_a_redirect_to_another_host_brings_the_bytes_and_gets_no_credentials():
    async with scripted({"/real": Said(body=b"bytes", headers={"ETag": '"1"'})}) as other:
        moved = Said(302, headers={"Location": f"{other.url}/real"})
        async with scripted({"/f": moved}) as server:
            backend = open_backend(parse(f"{server.url}/f"), SECRET)
            assert (await body_of(backend, ReadRequest("f")))[1] == b"bytes"
            await backend.aclose()
            (entry,) = await asyncref.scan(f"{server.url}/f", storage_options=SECRET)
        assert (entry.ref, entry.digest) == (f"{server.url}/f", "1")
        assert "authorization" in server.asked[0].headers
        assert server.asked[0].headers["x-api-key"] == "k3y"
        assert all(not {"authorization", "x-api-key"} & one.headers.keys() for one in other.asked)


@pytest.mark.parametrize(
    ("location", "match"),
    [
        ("/f", "more than 10 redirects"),
        ("file:///etc/passwd", "no plain HTTP URL"),
        ("http://user:pw@127.0.0.1/x", "no plain HTTP URL"),
        ("", "leads nowhere"),
    ],
)
async def test_a_redirect_that_leads_nowhere_good_is_refused(location, match):
    async with scripted({"/f": Said(302, headers={"Location": location})}) as server:
        with pytest.raises(ProtocolError, match=match):
            await asyncref.scan(f"{server.url}/f")


async def test_a_folder_is_not_followed_to_another_host():
    async with scripted({"/d/": index("x")}) as other:
        moved = Said(301, headers={"Location": other.url.replace("127.0.0.1", "localhost") + "/d/"})
        async with scripted({"/d/": moved}) as server:
            with pytest.raises(ProtocolError, match="redirects to"):
                await asyncref.scan(f"{server.url}/d/")
        assert other.asked == []


async def test_a_folder_moved_on_its_own_host_keeps_the_url_asked_for():
    def script(asked: Asked) -> Said:
        if asked.target.startswith("/latest/"):
            return Said(302, headers={"Location": asked.target.replace("latest", "v2")})
        return index("file") if asked.target == "/v2/" else Said(headers={"ETag": '"1"'})

    async with scripted(script) as server:
        (entry,) = await asyncref.scan(f"{server.url}/latest/")
        assert entry.ref == f"{server.url}/latest/file"


@pytest.mark.parametrize(
    "location",
    [
        "/secret/",
        "/database/",
        "/data/../secret/",
        "/data/%2e%2e/secret/",
        "https://127.0.0.1:{port}/data/sub/",
        "{other}/data/sub/",
    ],
)
async def test_a_folder_below_the_start_is_not_followed_out_of_it(location):
    async with scripted({"/data/sub/": index("x")}) as other:

        def script(asked: Asked) -> Said:
            if asked.target == "/data/":
                return index("sub/", "here")
            to = location.format(other=other.url, port=server.url.rpartition(":")[2])
            return Said(302, headers={"Location": to}) if asked.target == "/data/sub/" else index("stolen")

        async with scripted(script) as server:
            with pytest.raises(ProtocolError, match="redirects to"):
                await asyncref.scan(f"{server.url}/data/", checksum=False)
            assert server.lines == ["GET /data/", "GET /data/sub/"]
        assert other.asked == []


async def test_a_folder_below_the_start_may_be_spelt_otherwise_within_it():
    moved = Said(301, headers={"Location": "/d/a%20b/"})
    script = {"/d/": index("a+b/"), "/d/a+b/": moved, "/d/a%20b/": index("x")}
    async with scripted(script) as server:
        (entry,) = await asyncref.scan(f"{server.url}/d/", checksum=False)
        assert entry.ref == f"{server.url}/d/a+b/x"


async def test_a_start_that_moved_to_another_server_is_not_followed():
    async with scripted({"/d/": index("x")}) as other:
        async with scripted({"/d/": Said(301, headers={"Location": f"{other.url}/d/"})}) as server:
            with pytest.raises(ProtocolError, match="redirects to"):
                await asyncref.scan(f"{server.url}/d/")
        assert other.asked == []


async def test_basic_auth_and_bearer_tokens_open_what_is_closed(nginx, tree):
    for url, options in (
        (nginx.basic, {"username": "user", "password": "secret"}),
        (nginx.bearer, {"token": "t0ken"}),
        (nginx.bearer, {"headers": {"Authorization": "Bearer t0ken"}}),
        (nginx.bearer, {nginx.bearer: {"token": "t0ken"}}),
        (nginx.bearer, {"http": {"token": "t0ken"}}),
    ):
        assert len(await asyncref.scan(f"{url}/{tree}/", storage_options=options)) == len(PATHS)
        wrong = {name: "wrong" for name in options if isinstance(options[name], str)}
        with pytest.raises(CredentialsError) as caught:
            await asyncref.scan(f"{url}/{tree}/", storage_options=wrong)
        assert "secret" not in str(caught.value)
        assert caught.value.code == "status 401"


@pytest.mark.parametrize("checksum", [True, False])
async def test_a_token_that_is_no_longer_taken_in_mid_scan_ends_it_by_name_and_a_new_one_goes_the_whole_way(checksum):
    taken, left = "Bearer first", 3

    def answer(asked: Asked) -> Said:
        nonlocal left
        left -= 1
        if asked.headers.get("authorization") != taken or left < 0:
            return Said(401)
        names = ["a", "b", "sub/"] if asked.target == "/d/" else ["c"]
        page = "".join(f'<a href="{name}">{name}</a>' for name in names)
        headers = {"Content-Type": "text/html", "ETag": '"1"'}
        return Said(body=f"<html><title>Index of /</title>{page}</html>".encode(), headers=headers)

    async with scripted(answer) as server:
        left = 3 if checksum else 1
        with pytest.raises(CredentialsError, match="who asks") as caught:
            await asyncref.scan(f"{server.url}/d/", storage_options={"token": "first"}, checksum=checksum)
        assert caught.value.code == "status 401"
        assert "first" not in str(caught.value)
        taken, left = "Bearer second", 100
        manifest = await asyncref.scan(f"{server.url}/d/", storage_options={"token": "second"}, checksum=checksum)
        assert [entry.path for entry in manifest] == ["a", "b", "sub/c"]


async def test_an_own_authority_is_trusted_by_option_and_a_foreign_one_is_one_clear_error(nginx, tree):
    url = f"{nginx.tls}/{tree}/"
    for verify in (str(nginx.authority.ca), nginx.authority.ca, False):
        assert len(await asyncref.scan(url, storage_options={"verify": verify})) == len(PATHS)
    with pytest.raises(StorageError, match="certificate is not trusted") as caught:
        await asyncref.scan(url)
    assert "verify" in caught.value.hint


async def test_a_client_certificate_is_shown(nginx, tree):
    url, authority = f"{nginx.mutual}/{tree}/", nginx.authority
    pair = [str(authority.client_pem), str(authority.client_key)]
    options = {"verify": str(authority.ca), "client_cert": pair}
    assert len(await asyncref.scan(url, storage_options=options)) == len(PATHS)
    with pytest.raises(AsyncrefError, match="status 400"):
        await asyncref.scan(url, storage_options={"verify": str(authority.ca)})


def tls_of(folder: Path, *, mutual: bool = False) -> ssl.SSLContext:
    """A server's side, by the certificate that an `Authority` wrote into a folder."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    if mutual:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_certificate_of_another_host_is_one_clear_error(tmp_path):
    authority = Authority(tmp_path)
    async with scripted({"/f": Said()}, "localhost", tls=tls_of(tmp_path)) as server:
        with pytest.raises(StorageError, match=r"certificate is not trusted.*(mismatch|not valid for)") as caught:
            await asyncref.scan(f"{server.url}/f", storage_options={"verify": str(authority.ca)})
        assert "\n" not in str(caught.value)
        assert server.asked == []


async def test_a_certificate_that_has_expired_is_one_clear_error(tmp_path):
    authority = Authority(tmp_path, server_lasts=-timedelta(days=1))
    async with scripted({"/f": Said()}, tls=tls_of(tmp_path)) as server:
        with pytest.raises(StorageError, match=r"certificate is not trusted.*expired") as caught:
            await asyncref.scan(f"{server.url}/f", storage_options={"verify": str(authority.ca)})
        assert "\n" not in str(caught.value)
        assert server.asked == []


@pytest.mark.parametrize("verify", [False, "ca.pem"])
async def test_what_verify_says_does_not_hold_for_a_server_that_a_redirect_leads_to(tmp_path, verify):
    Authority(tmp_path)
    options = {"verify": verify and str(tmp_path / verify)}
    async with scripted({"/f": Said()}, tls=tls_of(tmp_path)) as other:
        moved = Said(302, headers={"Location": f"{other.url}/f"})
        async with scripted({"/f": moved, "/own": Said()}, tls=tls_of(tmp_path)) as server:
            assert len(await asyncref.scan(f"{server.url}/own", storage_options=options)) == 1
            with pytest.raises(StorageError, match="certificate is not trusted") as caught:
                await asyncref.scan(f"{server.url}/f", storage_options=options)
        assert "redirect" in caught.value.hint
        assert other.asked == []


async def test_a_client_certificate_is_not_shown_to_a_server_that_a_redirect_leads_to(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    options = {"client_cert": [str(authority.client_pem), str(authority.client_key)]}
    async with scripted({"/f": Said()}, tls=tls_of(tmp_path, mutual=True)) as other:
        moved = Said(302, headers={"Location": f"{other.url}/f"})
        async with scripted({"/f": moved}, tls=tls_of(tmp_path, mutual=True)) as server:
            with pytest.raises(AsyncrefError):
                await asyncref.scan(f"{server.url}/f", storage_options=options, limits=QUICK)
            assert len(server.asked) == 2
            assert len(await asyncref.scan(f"{other.url}/f", storage_options=options)) == 1
        assert len(other.asked) == 1


async def test_a_server_that_lists_nothing_says_so(nginx, tree):
    with pytest.raises(AccessDeniedError, match="autoindex"):
        await asyncref.scan(f"{nginx.bare}/{tree}/")
    assert len(await asyncref.scan(f"{nginx.bare}/{tree}/a")) == 1


# Statuses.


@pytest.mark.parametrize(
    ("status", "kind", "match"),
    [
        (400, ProtocolError, "refused"),
        (401, CredentialsError, "who asks"),
        (403, AccessDeniedError, "denied"),
        (404, NotFoundError, "nothing there"),
        (410, NotFoundError, "gone for good"),
        (429, ThrottledError, "slow down"),
        (451, AccessDeniedError, "legal"),
        (500, AsyncrefError, "failed"),
    ],
)
async def test_a_status_is_one_clear_line(status, kind, match):
    async with scripted(lambda _: Said(status, headers={"X-Request-Id": "r-1"})) as server:
        for url in (f"{server.url}/file", f"{server.url}/folder/"):
            with pytest.raises(kind, match=match) as caught:
                await asyncref.scan(url, limits=QUICK)
            assert "\n" not in str(caught.value)
            assert url in str(caught.value)
            assert f"status {status}" in str(caught.value)
            assert caught.value.request_id == "r-1"


async def test_a_missing_file_is_no_folder_either(nginx):
    with pytest.raises(ContainerNotFoundError, match="no such folder"):
        await asyncref.scan(f"{nginx.url}/no-such-thing")


async def test_a_pause_that_the_server_asks_for_is_kept():
    waits = iter([Said(429, headers={"Retry-After": "0"}), Said(503), Said(headers={"ETag": '"1"'})])
    async with scripted(lambda _: next(waits)) as server:
        assert len(await asyncref.scan(f"{server.url}/f", limits=Limits(backoff_s=0.001))) == 1


# Servers that lack something.


async def test_a_server_without_head_is_asked_for_the_first_byte():
    def script(asked: Asked) -> Said:
        if asked.method == "HEAD":
            return Said(405)
        if "range" in asked.headers:
            return Said(206, b"0", {"ETag": '"1"', "Content-Range": "bytes 0-0/10"})
        return Said(body=b"0123456789", headers={"ETag": '"1"'})

    async with scripted(script) as server:
        (entry,) = await asyncref.scan(f"{server.url}/f")
        assert (entry.pin.size, entry.pin.etag) == (10, '"1"')


async def test_chunks_without_a_length_arrive_whole(tmp_path):
    chunked = b'HTTP/1.1 200 x\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n'
    head = b'HTTP/1.1 200 x\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n'
    async with scripted(lambda asked: Said(raw=head if asked.method == "HEAD" else chunked)) as server:
        manifest = await asyncref.scan(f"{server.url}/f")
        assert manifest["f"].pin.size is None
        await asyncref.fetch(manifest, tmp_path / "copy")
    assert (tmp_path / "copy/f").read_bytes() == b"0123456789"


async def test_an_end_that_nothing_marks_fails_by_name(tmp_path):
    bare = b'HTTP/1.1 200 x\r\nETag: "1"\r\nConnection: close\r\n\r\n'
    async with scripted(lambda asked: Said(raw=bare if asked.method == "HEAD" else bare + b"0123")) as server:
        manifest = await asyncref.scan(f"{server.url}/f")
        with pytest.raises(FetchError, match="marks no end"):
            await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)
    assert not (tmp_path / "copy/f").exists()


async def test_an_answer_cut_short_is_not_taken_for_whole(tmp_path):
    head = b'HTTP/1.1 200 x\r\nETag: "1"\r\nContent-Length: 10\r\n\r\n'
    async with scripted(lambda asked: Said(raw=head if asked.method == "HEAD" else head + b"0123")) as server:
        manifest = await asyncref.scan(f"{server.url}/f")
        with pytest.raises(FetchError):
            await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)


async def test_an_index_cut_short_is_not_taken_for_whole():
    cut = b"HTTP/1.1 200 x\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n" + index("a").body
    async with scripted(lambda _: Said(raw=cut)) as server:
        with pytest.raises(AsyncrefError, match=r"early|hung up|came of|ended"):
            await asyncref.scan(f"{server.url}/d/", limits=QUICK)


@pytest.mark.parametrize("sent", [60, 220, -20])
async def test_an_index_that_ends_with_its_connection_is_not_taken_for_whole_if_it_was_cut(sent):
    said = index(*(f"file-{number}" for number in range(9)))
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n"
    async with scripted(lambda _: Said(raw=head + said.body[:sent])) as server:
        with pytest.raises(BrokenBodyError, match="marks no end"):
            await asyncref.scan(f"{server.url}/d/", limits=QUICK)
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "said",
    [
        index("a", "b"),
        Said(body=b"<h1>Index of /d</h1><ul><li><a href='a'>a</a><li><a href='b'>b</a></ul>after", headers=HTML),
        Said(body=b'[{"name":"a","type":"file","size":1},{"name":"b","type":"file","size":1}]\n', headers=JSON),
    ],
)
async def test_a_whole_index_that_ends_with_its_connection_is_read(said):
    head = f"HTTP/1.0 200 OK\r\nContent-Type: {said.headers['Content-Type']}\r\n\r\n".encode()
    async with scripted(lambda _: Said(raw=head + said.body)) as server:
        assert [entry.path for entry in await asyncref.scan(f"{server.url}/d/", checksum=False)] == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b'[{"name":"a","type":"file","size":1},{"name":"b","ty', b'[{"name":"a"}'])
async def test_a_json_index_that_ends_with_its_connection_is_not_taken_for_whole_if_it_was_cut(body):
    head = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
    async with scripted(lambda _: Said(raw=head + body)) as server:
        with pytest.raises(BrokenBodyError, match="marks no end"):
            await asyncref.scan(f"{server.url}/d/", limits=QUICK)


async def test_a_server_that_never_answers_is_given_up_and_told_of_meanwhile(caplog):
    hasty = Limits(backoff_s=0.001, idle_timeout_s=0.2)
    async with scripted(lambda _: Said(silent=True)) as server:
        for uri in (f"{server.url}/d/", f"{server.url}/f"):
            server.asked.clear()
            with caplog.at_level("INFO", logger="asyncref.flow"), pytest.raises(BrokenBodyError, match=r"0\.2 s"):
                await asyncref.scan(uri, limits=hasty)
            assert len(server.asked) == 2
    assert len([record for record in caplog.records if "try 1 of it" in record.message]) == 2


async def test_files_that_are_never_answered_for_end_a_scan_whose_index_came():
    index = b'[{"name":"a","type":"file","size":1},{"name":"b","type":"file","size":1}]'
    answers = {"/d/": Said(body=index, headers={"Content-Type": "application/json"})}
    async with scripted(lambda asked: answers.get(asked.target, Said(silent=True))) as server:
        with pytest.raises(BrokenBodyError, match=r"/d/[ab]"):
            await asyncref.scan(f"{server.url}/d/", limits=Limits(backoff_s=0.001, idle_timeout_s=0.2))
        assert len(server.asked) == 1 + 2 * 2


async def test_another_etag_in_mid_fetch_is_a_change():
    async with scripted(lambda _: Said(body=b"x", headers={"ETag": '"2"'})) as server:
        backend = open_backend(parse(f"{server.url}/f"))
        answer, _ = await body_of(backend, ReadRequest("f", if_match='"1"'))
        assert answer.etag == '"2"'
        await backend.aclose()
    async with scripted(lambda _: Said(412)) as server:
        backend = open_backend(parse(f"{server.url}/f"))
        with pytest.raises(ChangedError):
            await body_of(backend, ReadRequest("f", if_match='"1"'))
        await backend.aclose()


# What a person may type.


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("http://me:pa55@host/x", "holds a user"),
        ("https://host/x#part", "never sent"),
        ("http:///x", "no host"),
        ("http://ho st/x", "no host"),
        ("http://host:99999/x", "no host"),
        ("https://host/x?X-Amz-Signature=abc", "signed URL"),
    ],
)
def test_a_url_that_cannot_be_kept_is_refused(text, match):
    with pytest.raises(InvalidURIError, match=match) as caught:
        parse(text)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"endpoint_url": "x"}, "unknown storage option 'endpoint_url'"),
        ({"token": "t", "username": "u"}, "exclude each other"),
        ({"password": "p"}, "without a username"),
        ({"headers": {"Range": "bytes=0-1"}}, "asyncref's own"),
        ({"headers": {"X": "a\r\nY: b"}}, "line end"),
        ({"headers": "X: 1"}, "map names to texts"),
        ({"verify": "/no/such/file"}, "no such file"),
        ({"client_cert": ("a", "b", "c")}, "pair"),
        ({"http://host": 1}, "options of its own"),
        ({"folder_repeats": 0}, "folder_repeats"),
        ({"folder_repeats": "many"}, "folder_repeats"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options, match):
    with pytest.raises(OptionError, match=match):
        open_backend(parse("http://host/x"), options)


def test_no_secret_is_shown():
    backend = open_backend(parse("http://host/x"), {**SECRET, "proxies": {"http": "http://u:pr0xy@p"}})
    shown = repr(vars(backend)) + repr(vars(backend._web))
    assert not any(secret in shown for secret in ("pa55word", "k3y", "pr0xy", "Basic"))
    assert ssl.OPENSSL_VERSION  # the pool opens nothing before the first request
