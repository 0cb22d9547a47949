"""Where W&B's client drops, breaks or misreads: a test for each row of docs/wandb.md, what both do side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import asyncref
from asyncref.errors import (
    AsyncrefError,
    BadKeyError,
    DuplicatePathError,
    InvalidNameError,
    InvalidURIError,
    NothingFoundError,
    TooManyObjectsError,
    UnknownSchemeError,
)
from tests.fetch import tree
from tests.servers import S3Server
from tests.servers.proxy import Proxy, Status
from tests.wandb import EMPTY_DIGEST, Client, assert_same, contents, track

Fill = Callable[..., str]
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


async def fetched(manifest: asyncref.Manifest, root: Path, server: S3Server | None = None) -> dict[str, bytes]:
    await asyncref.fetch(manifest, root, storage_options=server.storage_options if server else None)
    return tree(root)


async def test_objects_of_zero_bytes_are_entries_and_not_left_out(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"p/a": b"a", "p/zero": b""})
    wandb = theirs.on(moto).track(f"s3://{bucket}/p")
    assert set(wandb.contents) == {"a"}
    ours = track(f"s3://{bucket}/p", server=moto)
    assert {entry.path: entry.size for entry in ours} == {"a": 1, "zero": 0}
    assert ours.select(exclude="zero").digest == wandb.digest
    assert theirs.on(moto).track(f"s3://{bucket}/p/zero").digest == EMPTY_DIGEST
    assert [entry.path for entry in track(f"s3://{bucket}/p/zero", server=moto)] == ["zero"]


async def test_a_sibling_prefix_is_not_meant_and_does_not_break_the_call(
    moto: S3Server, filled: Fill, theirs: Client
) -> None:
    bucket = filled(moto, {"mnist/1": b"1", "mnist2/x": b"x", "mnist-old/x": b"x"})
    assert "not in the subpath of 'mnist'" in theirs.on(moto).track(f"s3://{bucket}/mnist").error
    ours = track(f"s3://{bucket}/mnist", server=moto)
    assert_same(ours, theirs.on(moto).track(f"s3://{bucket}/mnist/"))


async def test_max_objects_is_an_error_and_never_a_cut(
    moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path
) -> None:
    bucket = filled(moto, {f"p/{number}": b"x" for number in range(5)})
    limited = {"uri": f"s3://{bucket}/p", "max_objects": 3}
    assert set(theirs.on(moto).track(limited).contents) == {"0", "1", "2"}
    with pytest.raises(TooManyObjectsError, match="max_objects=3"):
        track(limited, server=moto)
    for number in range(5):
        (tmp_path / str(number)).touch()
    limited = {"uri": f"file://{tmp_path}", "max_objects": 3}
    assert "Exceeded 3 objects" in theirs.track(limited).error
    with pytest.raises(TooManyObjectsError, match="max_objects=3"):
        track(limited)


async def test_the_version_in_a_reference_is_tracked_and_not_the_current_one(
    moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path
) -> None:
    bucket, client = filled(moto, {}, versioned=True), moto.client()
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    uri = f"s3://{bucket}/k?versionId={old}"
    assert theirs.on(moto).track(uri).contents == theirs.on(moto).track(f"s3://{bucket}/k").contents
    assert theirs.on(moto).track(uri).contents["k"]["extra"]["versionID"] != old
    ours = track(uri, server=moto)
    assert ours["k"].pin.version == old
    assert await fetched(ours, tmp_path / "out", moto) == {"k": b"old"}


@pytest.mark.parametrize("key", ["a#b", "a?b"])
async def test_keys_with_a_hash_or_a_question_mark_are_asked_for_as_they_are(
    moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path, key: str
) -> None:
    bucket = filled(moto, {f"p/{key}": b"meant"})
    ours = track(f"s3://{bucket}/p", server=moto)
    assert_same(ours, theirs.on(moto).track(f"s3://{bucket}/p"))
    wandb = theirs.on(moto).track(f"s3://{bucket}/p", read=key)
    assert wandb.error == f"FileNotFoundError: Unable to find {key} at s3://{bucket}/p/a"
    assert await fetched(ours, tmp_path / "out", moto) == {key: b"meant"}


async def test_a_prefix_with_a_hash_is_not_cut_there(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"f#g/a": b"meant", "f/z": b"another"})
    assert "not in the subpath of 'f'" in theirs.on(moto).track(f"s3://{bucket}/f#g/").error
    assert [entry.path for entry in track(f"s3://{bucket}/f#g/", server=moto)] == ["a"]


async def test_empty_segments_of_a_key_are_kept(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"p/a//b": b"meant", "p/x/": b"bytes of a key that ends in a slash"})
    wandb = theirs.on(moto).track(f"s3://{bucket}/p")
    assert {path: entry["ref"] for path, entry in wandb.contents.items()} == {
        "a/b": f"s3://{bucket}/p/a/b",
        "x": f"s3://{bucket}/p/x",
    }
    assert "Unable to find a/b" in theirs.on(moto).track(f"s3://{bucket}/p", read="a/b").error
    ours = track(f"s3://{bucket}/p", server=moto)
    assert [entry.path for entry in ours] == ["a//b", "x/"]
    async with asyncref.stream(ours, storage_options=moto.storage_options) as items:
        assert [item.data async for item in items] == [b"meant", b"bytes of a key that ends in a slash"]


async def test_keys_with_dot_segments_are_refused_or_left_out(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"p/a": b"a", "p/d/../b": b"b"})
    assert theirs.on(moto).track(f"s3://{bucket}/p").error == "ValueError: Invalid artifact path: 'd/../b'"
    with pytest.raises(BadKeyError) as caught:
        track(f"s3://{bucket}/p", server=moto)
    assert caught.value.keys == ("p/d/../b",)
    ours = await asyncref.scan(f"s3://{bucket}/p", bad_keys="skip", storage_options=moto.storage_options)
    assert [entry.path for entry in ours] == ["a"]
    assert ours.record.skipped == {"bad_key": 1}


async def test_a_whole_bucket_keeps_its_folders(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"train/zero": b"0", "test/one": b"1", "with/a.dot": b"."})
    wandb = theirs.on(moto).track(f"s3://{bucket}")
    assert {path: entry["ref"] for path, entry in wandb.contents.items()} == {
        "zero": f"s3://{bucket}",
        "one": f"s3://{bucket}",
        "with/a.dot": f"s3://{bucket}/with/a.dot",
    }
    ours = track(f"s3://{bucket}", server=moto)
    assert [entry.path for entry in ours] == ["test/one", "train/zero", "with/a.dot"]
    assert_same(
        track({"uri": f"s3://{bucket}", "name": "n"}, server=moto),
        theirs.on(moto).track({"uri": f"s3://{bucket}", "name": "n"}),
    )


async def test_a_folder_marker_does_not_hide_what_lies_under_it(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"plain/": b"", "plain/a": b"a", "console/a": b"a"})
    moto.client().put_object(Bucket=bucket, Key="console/", Body=b"", ContentType="application/x-directory")
    assert theirs.on(moto).track(f"s3://{bucket}/plain/").digest == EMPTY_DIGEST
    assert [entry.path for entry in track(f"s3://{bucket}/plain/", server=moto)] == ["a"]
    for uri in (f"s3://{bucket}/console/", f"s3://{bucket}/console", f"s3://{bucket}/plain"):
        assert_same(track(uri, server=moto), theirs.on(moto).track(uri))


async def test_a_reference_to_nothing_is_an_error(moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path) -> None:
    bucket = filled(moto, {"here/a": b"a"})
    (tmp_path / "empty").mkdir()
    for uri in (f"s3://{bucket}/there", f"file://{tmp_path}/empty"):
        assert theirs.on(moto).track(uri).digest == EMPTY_DIGEST
        with pytest.raises(NothingFoundError):
            track(uri, server=moto)


async def test_listing_costs_no_head_and_reading_one_get(
    moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    bucket = filled(moto, {f"p/{number}": b"x" for number in range(7)}, versioned=True)
    proxy = proxy_to(moto.endpoint)
    client = theirs.at(proxy.endpoint, moto)
    wandb = client.track(f"s3://{bucket}/p")
    assert proxy.counts["head"] >= 7
    proxy.forget()
    client.load(wandb.manifest or {}, read="0")
    assert dict(proxy.counts) == {"head": 2, "get": 1}
    proxy.forget()
    options = {**moto.storage_options, "endpoint_url": proxy.endpoint}
    ours = await asyncref.scan(f"s3://{bucket}/p", storage_options=options)
    assert proxy.counts["head"] == 0
    assert proxy.counts["versions"] == 1  # what `p` means and what lies under `p/` in one
    assert contents(ours) == wandb.contents
    proxy.forget()
    await asyncref.fetch(ours.select(prefix="0"), tmp_path / "out", storage_options=options)
    assert dict(proxy.counts) == {"get": 1}


async def test_a_denied_read_of_a_version_falls_back_to_the_same_bytes(
    moto: S3Server, filled: Fill, theirs: Client, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    bucket = filled(moto, {"p/a": b"a"}, versioned=True)
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Status(403, DENIED), at=None, match="versionId=")
    assert "403" in theirs.at(proxy.endpoint, moto).track(f"s3://{bucket}/p", read="a").error
    options = {**moto.storage_options, "endpoint_url": proxy.endpoint}
    ours = await asyncref.scan(f"s3://{bucket}/p", storage_options=options)
    await asyncref.fetch(ours, tmp_path / "out", storage_options=options)
    assert (tmp_path / "out" / "a").read_bytes() == b"a"


async def test_a_path_added_twice_with_other_content_names_both_references(
    moto: S3Server, filled: Fill, theirs: Client
) -> None:
    bucket = filled(moto, {"p/a": b"1", "q/a": b"2", "r/a": b"1"})
    both = [f"s3://{bucket}/p", f"s3://{bucket}/q"]
    assert theirs.on(moto).track(*both).error == "ValueError: Cannot add the same path twice: 'a'"
    with pytest.raises(DuplicatePathError) as caught:
        track(*both, server=moto)
    assert f"s3://{bucket}/p/a" in str(caught.value)
    assert f"s3://{bucket}/q/a" in str(caught.value)
    same = [f"s3://{bucket}/p", f"s3://{bucket}/r"]
    assert track(*same, server=moto).digest == theirs.on(moto).track(*same).digest


async def test_a_path_added_twice_with_other_versions_is_refused(moto: S3Server, filled: Fill, theirs: Client) -> None:
    bucket = filled(moto, {"p/a": b"1", "q/a": b"1"}, versioned=True)
    both = [f"s3://{bucket}/p", f"s3://{bucket}/q"]
    assert theirs.on(moto).track(*both).contents["a"]["ref"] == f"s3://{bucket}/q/a"
    with pytest.raises(DuplicatePathError):
        track(*both, server=moto)


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/root"])
async def test_a_name_outside_the_artifact_is_refused_by_both(
    moto: S3Server, filled: Fill, theirs: Client, name: str
) -> None:
    bucket = filled(moto, {"p/a": b"1"})
    reference = {"uri": f"s3://{bucket}/p", "name": name}
    assert "Invalid artifact path" in theirs.on(moto).track(reference).error
    with pytest.raises(InvalidNameError):
        track(reference, server=moto)


async def test_an_unknown_scheme_is_an_error_and_not_tracked_by_its_name(theirs: Client) -> None:
    reference = {"uri": "abc://somewhere/else", "name": "n"}
    assert theirs.track(reference).contents["n"] == {"digest": reference["uri"], "ref": reference["uri"]}
    with pytest.raises(UnknownSchemeError, match=r"known are .*file, .*s3"):
        track(reference)


async def test_a_signed_url_is_refused_and_not_stored_with_its_secret(
    moto: S3Server, filled: Fill, theirs: Client
) -> None:
    bucket = filled(moto, {"k": b"x"})
    url = moto.client(signature_version="s3v4").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    assert "X-Amz-Signature=" in url
    assert theirs.on(moto).track({"uri": url, "name": "k"}).contents["k"]["ref"] == url
    with pytest.raises(InvalidURIError) as caught:
        track({"uri": url, "name": "k"})
    assert "X-Amz" not in str(caught.value)


async def test_names_of_files_are_kept_raw(theirs: Client, tmp_path: Path) -> None:
    folder = tmp_path / "my data#1"
    folder.mkdir()
    (folder / "a#b?c%20d").write_bytes(b"x")
    assert "must be a valid file or directory" in theirs.track(f"file://{folder}").error
    quoted = f"file://{tmp_path}/my%20data%231"
    wandb = theirs.track(quoted)
    ours = track(f"file://{folder}")
    assert ours.digest == wandb.digest == track(quoted).digest
    assert ours["a#b?c%20d"].ref == track(quoted)["a#b?c%20d"].ref == f"file://{folder}/a#b?c%20d"
    assert "Failed to find file" in theirs.track(quoted, read="a#b?c%20d").error
    assert await fetched(ours, tmp_path / "out") == {"a#b?c%20d": b"x"}


async def test_a_broken_link_and_a_pipe_are_named(theirs: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    assert theirs.track(f"file://{tmp_path}").error.startswith("FileNotFoundError")
    os.mkfifo(tmp_path / "pipe")  # W&B would wait for a writer for ever
    with pytest.raises(BadKeyError) as caught:
        track(f"file://{tmp_path}")
    assert ["broken" in key or "pipe" in key for key in caught.value.keys] == [True, True]


async def test_references_without_a_scheme_are_refused_by_both(theirs: Client, tmp_path: Path) -> None:
    assert "use file://" in theirs.track(str(tmp_path)).error
    with pytest.raises(AsyncrefError, match="use file://"):
        track(str(tmp_path))
