"""A folder under construction: nothing leaves it through a link, and it is no link itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch
from asyncref.errors import FetchError, PathConflictError
from asyncref.testing import MemoryStore, mounted
from tests.fetch import listed, noise, pinned, tree


async def begun(store: MemoryStore, root: Path) -> None:
    """Fetch all but one."""
    stored = store.find("z", None)
    assert stored is not None
    manifest = pinned(store)
    store.delete("z")
    with mounted(store), pytest.raises(FetchError):
        await fetch(manifest, root, whole=True)
    store.seed("z", stored.data or b"", etag=stored.etag)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for key in ("deep/a", "deep/b", "z"):
        store.seed(key, noise(500, key))
    return store


async def test_a_link_in_what_was_begun_is_not_followed_out_of_it(store: MemoryStore, tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    await begun(store, root)
    outside.mkdir()
    shutil.rmtree(tmp_path / "out.incomplete" / "deep")
    (tmp_path / "out.incomplete" / "deep").symlink_to(outside)
    with mounted(store), pytest.raises(PathConflictError, match="2 of the paths") as caught:
        await fetch(pinned(store), root, whole=True)
    assert "leads out of the folder" in str(caught.value.failures[0].error)
    assert listed(outside) == []


async def test_a_link_in_the_place_of_the_folder_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    await begun(store, root)
    (tmp_path / "out.incomplete").rename(outside)
    (tmp_path / "out.incomplete").symlink_to(outside)
    before = tree(outside)
    with mounted(store), pytest.raises(FetchError, match="is a link"):
        await fetch(pinned(store), root, whole=True)
    assert tree(outside) == before


async def test_what_was_begun_is_neither_asked_for_nor_read_again(store: MemoryStore, tmp_path: Path) -> None:
    root = tmp_path / "out"
    await begun(store, root)
    store.requests.clear()
    with mounted(store):
        report = await fetch(pinned(store), root, whole=True)
        assert (report.skipped, store.requests["get"]) == (2, 1)
        assert (await fetch(pinned(store), root, whole=True)).skipped == 3
    assert store.requests["get"] == 1
    assert sorted(tree(tmp_path)) == ["out/deep/a", "out/deep/b", "out/z"]


async def test_what_was_begun_for_another_manifest_is_not_taken_for_what_lies_there(
    store: MemoryStore, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    await begun(store, root)
    store.seed("y", b"more")
    with mounted(store):
        report = await fetch(pinned(store), root, whole=True)
    assert (report.objects, report.skipped) == (4, 0)
    assert sorted(tree(root)) == ["deep/a", "deep/b", "y", "z"]
