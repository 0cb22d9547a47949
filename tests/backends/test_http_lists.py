"""Lists of URLs as a source: text, CSV, Parquet; many servers, one manifest; whose credentials go where."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import asyncref
from asyncref.errors import (
    BadKeyError,
    ContainerNotFoundError,
    FetchError,
    InvalidURIError,
    NotFoundError,
    OptionError,
    StorageError,
)
from asyncref.model import Limits
from asyncref.testing import body_of  # noqa: F401  pytest rewrites its asserts
from asyncref.uri import list_of_urls
from tests.servers.scripted import Said, scripted

QUICK = Limits(attempts=2, backoff_s=0.001)


def said(text: str) -> Said:
    return Said(body=text.encode(), headers={"ETag": f'"{text}"'})


@pytest.fixture
async def servers():
    """Two servers with two files each."""
    async with scripted({"/a": said("a"), "/x%20y/b?v=1": said("b")}) as one, scripted({"/a": said("c")}) as two:
        yield one, two


def written(tmp_path, kind: str, urls: list[str]):
    path = tmp_path / f"urls.{kind}"
    match kind:
        case "txt":
            path.write_text("\ufeff# a comment\n\n" + "\r\n".join(f"  {url}" for url in urls))
        case "csv":
            path.write_text("label,url\n" + "".join(f'"{number},5",{url}\n' for number, url in enumerate(urls)))
        case "tsv":
            path.write_text("".join(f"{url}\t{number}\n" for number, url in enumerate(urls)))
        case "parquet":
            pq.write_table(pa.table({"n": range(len(urls)), "place": urls}), path)
    return path


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "parquet"])
async def test_a_list_of_urls_is_one_manifest_of_many_servers(kind, servers, tmp_path):
    one, two = servers
    urls = [f"{one.url}/a", f"{two.url}/a", f"{one.url}/x y/b?v=1", f"{one.url}/a"]
    path = written(tmp_path, kind, urls)
    manifest = await asyncref.scan(str(path), column="place" if kind == "parquet" else None)
    assert [entry.ref for entry in manifest] == sorted([urls[0], urls[1], f"{one.url}/x%20y/b?v=1"])
    assert {entry.path for entry in manifest} == {
        f"{one.url[7:]}/a",
        f"{two.url[7:]}/a",
        f"{one.url[7:]}/x y/b?v=1",
    }
    assert sorted(one.lines) == ["HEAD /a", "HEAD /x%20y/b?v=1"]
    path.unlink()
    await asyncref.fetch(manifest, tmp_path / "copy")
    assert (tmp_path / "copy" / one.url[7:] / "x y/b?v=1").read_text() == "b"


async def test_status_reads_the_list_again(servers, tmp_path):
    one, two = servers
    path = written(tmp_path, "txt", [f"{one.url}/a", f"{two.url}/a"])
    manifest = await asyncref.scan(str(path))
    assert (await asyncref.status(manifest)).same
    written(tmp_path, "txt", [f"{one.url}/a", f"{two.url}/gone"])
    report = await asyncref.status(manifest)
    assert report.counts["gone"] == 1


async def test_a_url_that_is_not_there_is_an_error_and_not_left_out(servers, tmp_path):
    path = written(tmp_path, "txt", [f"{servers[0].url}/a", f"{servers[0].url}/missing"])
    with pytest.raises(NotFoundError, match="/missing"):
        await asyncref.scan(str(path))


async def test_without_checksums_nothing_is_asked(servers, tmp_path):
    path = written(tmp_path, "txt", [f"{servers[0].url}/a", "http://127.0.0.1:1/b"])
    manifest = await asyncref.scan(str(path), checksum=False)
    assert [entry.digest for entry in manifest] == [entry.ref for entry in manifest]
    assert servers[0].asked == []


async def test_credentials_for_several_servers_stand_under_each(servers, tmp_path):
    one, two = servers
    path = written(tmp_path, "txt", [f"{one.url}/a", f"{two.url}/a"])
    with pytest.raises(OptionError, match="several servers"):
        await asyncref.scan(str(path), storage_options={"token": "t0ken"})
    one.asked.clear()
    two.asked.clear()
    manifest = await asyncref.scan(str(path), storage_options={one.url: {"token": "t0ken"}})
    assert [asked.headers.get("authorization") for asked in one.asked] == ["Bearer t0ken"]
    assert [asked.headers.get("authorization") for asked in two.asked] == [None]
    with pytest.raises((OptionError, FetchError), match="several servers"):
        await asyncref.fetch(manifest, tmp_path / "copy", storage_options={"token": "t0ken"}, limits=QUICK)


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("http://h/a\nftp://h/b\n", InvalidURIError, "line 2 is no http or https"),
        ("http://h/a\nnot a url\n", InvalidURIError, "line 2 cannot be kept"),
        ("http://u:pa55@h/a\n", InvalidURIError, "line 1 cannot be kept"),
        ("http://h/folder/\n", BadKeyError, "http://h/folder/"),
        ("http://h/a%2Fb\n", BadKeyError, "a%2Fb"),
        ("http://h/a?x=/../b\n", BadKeyError, "cannot be a path"),
    ],
)
async def test_a_line_that_cannot_be_kept_is_named(text, kind, match, tmp_path):
    (tmp_path / "urls.txt").write_text(text)
    with pytest.raises(kind, match=match) as caught:
        await asyncref.scan(str(tmp_path / "urls.txt"), checksum=False)
    assert "pa55" not in str(caught.value)


async def test_a_list_that_is_none_is_one_clear_error(tmp_path):
    with pytest.raises(ContainerNotFoundError, match="no such list"):
        await asyncref.scan(str(tmp_path / "nothing.txt"))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match="not a list"):
        await asyncref.scan(str(tmp_path / "binary.txt"))
    (tmp_path / "text.parquet").write_text("http://h/a")
    with pytest.raises(StorageError, match="not a list"):
        await asyncref.scan(str(tmp_path / "text.parquet"), column="url")


async def test_a_column_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "urls.csv"
    path.write_text("first,second\nhttp://h/a,http://h/b\n")
    with pytest.raises(OptionError, match="no column 'third'"):
        await asyncref.scan(str(path), column="third")
    with pytest.raises(OptionError, match="which column"):
        await asyncref.scan(str(path))
    manifest = await asyncref.scan(str(path), column="second", checksum=False)
    assert [entry.ref for entry in manifest] == ["http://h/b"]


def test_only_files_are_lists():
    assert list_of_urls("s3://bucket/urls.txt") == "s3://bucket/urls.txt"
    assert list_of_urls("mnist:v1") == "mnist:v1"
    assert list_of_urls("/x/urls.parquet") == "/x/urls.parquet"
    assert list_of_urls("/x/urls.parquet", "url") == "urls:///x/urls.parquet?column=url"
    with pytest.raises(InvalidURIError, match="column"):
        list_of_urls("s3://bucket/x", "url")
