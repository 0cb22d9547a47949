"""status tells what changed at the sources, and only that."""

from __future__ import annotations

import orjson
import pytest

from asyncref.checks.status import status
from asyncref.engine.scan import Target, scan
from asyncref.errors import AccessDeniedError, ContainerNotFoundError
from asyncref.globs import Filter
from asyncref.testing import Faults, MemoryStore, mounted


@pytest.fixture
def store():
    store = MemoryStore(versioned=True)
    for name in ("a", "b", "c", "d", "dir/e"):
        store.seed(f"data/{name}", f"the bytes of {name}".encode())
    with mounted(store):
        yield store


def kinds(report):
    return [(kind, change.path) for kind, change in report]


async def scanned(*uris, **options):
    return await scan([Target(uri=uri, **options) for uri in uris])


async def test_an_untouched_source_is_the_same(store):
    report = await status(await scanned("memory://bucket/data/"))
    assert report.same
    assert report.counts == {"unchanged": 5, "changed": 0, "newer_version": 0, "gone": 0, "new": 0}
    assert kinds(report) == []
    assert store.requests["stat"] == store.requests["get"] == 0


async def test_each_difference_is_told_by_its_kind(store):
    pinned = await scanned("memory://bucket/data/")
    store.overwrite("data/a", b"other bytes")
    store.overwrite("data/b", b"the bytes of b")
    store.delete("data/c")
    store.seed("data/dir/new", b"x")
    store.seed("data2/elsewhere", b"x")
    report = await status(pinned)
    assert not report.same
    assert report.counts == {"unchanged": 2, "changed": 1, "newer_version": 1, "gone": 1, "new": 1}
    assert kinds(report) == [("changed", "a"), ("newer_version", "b"), ("gone", "c"), ("new", "dir/new")]
    assert [(old.size, new.size) for old, new in report.changed] == [(14, 11)]
    assert report.gone["path"].to_pylist() == ["c"]
    assert report.new["path"].to_pylist() == ["dir/new"]
    assert str(report) == "2 unchanged, 1 changed, 1 newer version, 1 gone, 1 new"


async def test_the_same_bytes_uploaded_again_are_the_same(store):
    pinned = await scanned("memory://bucket/data/")
    store.overwrite("data/b", b"the bytes of b")
    report = await status(pinned)
    assert report.same
    assert len(report.newer_version) == 1


async def test_the_json_says_its_schema_and_every_change(store):
    pinned = await scanned("memory://bucket/data/")
    store.delete("data/a")
    said = orjson.loads(orjson.dumps((await status(pinned)).to_json()))
    assert said["schema"] == "asyncref.status/1"
    assert said["same"] is False
    assert said["counts"]["gone"] == 1
    assert [(change["kind"], change["path"], change["new"]) for change in said["changes"]] == [("gone", "a", None)]


async def test_all_is_gone_where_nothing_is_left(store):
    pinned = await scanned("memory://bucket/data/")
    for name in ("a", "b", "c", "d", "dir/e"):
        store.delete(f"data/{name}")
    report = await status(pinned)
    assert report.counts == {"unchanged": 0, "changed": 0, "newer_version": 0, "gone": 5, "new": 0}
    assert report.notes == ("nothing lies at memory://bucket/data/ any more",)


async def test_a_bucket_that_is_not_there_is_an_error_and_not_gone_objects(store):
    pinned = await scanned("memory://bucket/data/")
    store.exists = False
    with pytest.raises(ContainerNotFoundError):
        await status(pinned)


async def test_a_denied_listing_is_an_error_and_not_gone_objects(store):
    pinned = await scanned("memory://bucket/data/")
    store.faults = Faults(denied=frozenset({"list"}))
    with pytest.raises(AccessDeniedError):
        await status(pinned)


async def test_several_sources_are_compared_as_one(store, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "kept").write_bytes(b"kept")
    pinned = await scan(
        [
            Target(uri="memory://bucket/data/"),
            Target(uri=f"file://{tmp_path}/", name="local"),
            Target(uri="memory://bucket/data/a", name="single"),
        ]
    )
    (tmp_path / "file").write_bytes(b"new")
    store.delete("data/a")
    report = await status(pinned)
    assert kinds(report) == [("gone", "a"), ("changed", "local/file"), ("gone", "single")]
    assert report.unchanged == 5
    assert len(report.now) == 6


async def test_a_source_is_compared_by_the_globs_it_was_scanned_by(store):
    pinned = await scan([Target(uri="memory://bucket/data/")], filter=Filter.of(exclude="dir/**"))
    store.overwrite("data/b", b"other")
    assert kinds(await status(pinned)) == [("changed", "b")]
    assert kinds(await status(pinned, filter=Filter.of(exclude="b"))) == []
    assert kinds(await status(pinned, filter=Filter.of(include="a"))) == []


async def test_a_reference_without_pins_says_that_it_was_not_looked_at(store):
    pinned = await scanned("memory://bucket/data/", checksum=False)
    before = store.requests.total()
    report = await status(pinned)
    assert report.same
    assert "checksum=False" in report.notes[0]
    assert store.requests.total() == before


async def test_a_new_key_that_no_path_can_stand_for_is_noted_and_does_not_fail(store):
    pinned = await scanned("memory://bucket/data/")
    store.seed("data/../evil", b"x")
    report = await status(pinned)
    assert report.same
    assert report.notes == ("1 keys of memory://bucket/data/ cannot be a path and were left out",)


async def test_a_file_tree_is_compared_by_content_and_not_by_time(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    pinned = await scanned(f"file://{tmp_path}/")
    (tmp_path / "a").touch()
    (tmp_path / "b").write_bytes(b"B")
    (tmp_path / "c").unlink()
    assert kinds(await status(pinned)) == [("changed", "b"), ("gone", "c")]


@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("left", [None, "empty"])
async def test_a_mount_that_is_not_there_is_an_error_and_not_gone_files(tmp_path, slash, left):
    folder = tmp_path / "mount"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    pinned = await scanned(f"file://{folder}{slash}")
    folder.rename(tmp_path / "away")
    if left:
        folder.mkdir()
    with pytest.raises(ContainerNotFoundError, match="mounted") as caught:
        await status(pinned)
    assert f"file://{folder}/" in str(caught.value)


async def test_files_are_gone_where_their_folder_is_not_empty(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_bytes(b"a")
    pinned = await scanned(f"file://{tmp_path}/")
    single = await scanned(f"file://{tmp_path}/sub/a")
    (tmp_path / "sub/a").unlink()
    assert (await status(pinned)).counts["gone"] == 1
    assert (await status(single)).counts["gone"] == 1
