"""Every key of the contract goes the whole way: scanned, logged, listed, diffed, streamed, fetched."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import asyncref
from asyncref import blocking as ar
from asyncref.errors import BadKeyError, FetchError, PathConflictError
from tests.endtoend import Bucket, Folder, Place
from tests.same_tree import noise, tree

BAD = "a/../b"
SIBLINGS = ("mnist2/x", "mnist-old/x")
ANYWHERE = (
    "a b",
    "a+b",
    "100%",
    "100%25",
    "a#b",
    "a?b",
    "é",
    "\U0001f600",
    "zero",
    "page.html",
    "deep/er/x",
    *SIBLINGS,
)
NOT_FILES = {"a//b": "a/%2Fb", "x/": "x%2F", "mnist": "mnist%~"}
"""Keys that no file system holds beside the others, and the names of their escape."""


def contents(keys: tuple[str, ...], edition: str) -> dict[str, bytes]:
    bodies = {key: noise(50 + 1000 * number, key + edition) for number, key in enumerate(keys)}
    bodies["page.html"] = gzip.compress(edition.encode() * 1000, mtime=0)
    return bodies | ({"zero": b""} if edition == "old" else {})


@pytest.fixture(params=["unversioned", "versioned", "versioned-later"])
def bucket_of_old(request: pytest.FixtureRequest, empty: Bucket) -> tuple[Bucket, dict[str, bytes], bool]:
    """A bucket with every key, what they hold, and whether it keeps versions (later: of half of them `null`)."""
    bodies = contents((*ANYWHERE, *NOT_FILES, "mnist/inside"), "old")
    if request.param == "versioned":
        empty.keep_versions()
    half = dict(list(bodies.items())[::2])
    empty.put({**half, BAD: b"no path", "marker/": b""})
    if request.param == "versioned-later":
        empty.keep_versions()
    empty.put({key: body for key, body in bodies.items() if key not in half})
    empty.put({"page.html": bodies["page.html"]}, ContentEncoding="gzip", ContentType="text/html")
    return empty, bodies, request.param != "unversioned"


def escaped(bodies: dict[str, bytes]) -> dict[str, bytes]:
    """As `escape=True` names the files."""
    return {NOT_FILES.get(key, key.replace("%", "%25")): body for key, body in bodies.items()}


def log(manifest: asyncref.Manifest) -> asyncref.Artifact:
    with asyncref.init() as run:
        artifact = asyncref.Artifact("mnist", type="dataset")
        artifact.add_manifest(manifest)
        return run.log_artifact(artifact)


def streamed(source: str, place: Place) -> tuple[dict[str, bytes], set[str]]:
    """What a stream gave, and the paths that failed."""
    with ar.stream(source, storage_options=place.secrets) as objects:
        items = list(objects)
    return (
        {item.path: bytes(item.data) for item in items if item.data is not None},
        {item.path for item in items if item.error},
    )


def test_a_key_that_no_path_can_stand_for_is_named_or_left_out_and_counted(
    bucket_of_old: tuple[Bucket, dict[str, bytes], bool],
) -> None:
    place, bodies, _ = bucket_of_old
    with pytest.raises(BadKeyError) as caught:
        ar.scan(place.uri, storage_options=place.options)
    assert caught.value.keys == (f"set/{BAD}",)
    manifest = ar.scan(place.uri, storage_options=place.options, bad_keys="skip")
    assert [entry.path for entry in manifest] == sorted(bodies)
    assert manifest.record.skipped == {"bad_key": 1, "folder_marker": 1}
    assert {entry.path: entry.ref for entry in manifest} == {key: f"{place.uri}{key}" for key in bodies}
    assert {path: (entry.pin.etag, entry.pin.version or "null") for path in bodies if (entry := manifest[path])} == {
        path: pin for path, pin in place.current().items() if path in bodies
    }


def test_every_key_is_logged_listed_diffed_streamed_and_fetched(
    bucket_of_old: tuple[Bucket, dict[str, bytes], bool], tmp_path: Path
) -> None:
    place, old, versioned = bucket_of_old
    place.delete([BAD])
    assert log(ar.scan(place.uri, storage_options=place.options)).version == "v0"
    assert {entry.path: entry.size for entry in ar.load("mnist:v0")} == {key: len(body) for key, body in old.items()}
    assert streamed("mnist:v0", place) == (old, set())
    with pytest.raises(PathConflictError) as refused:
        ar.fetch("mnist:v0", "plain", storage_options=place.secrets)
    assert {failure.path for failure in refused.value.failures} == set(NOT_FILES)
    assert not tree(tmp_path / "plain")
    ar.fetch("mnist:v0", "escaped", storage_options=place.secrets, escape=True)
    assert tree(tmp_path / "escaped") == escaped(old)

    new = contents(tuple(key for key in old if key not in SIBLINGS), "new")
    place.put({**new, "came/later": b"new"})
    place.delete(SIBLINGS)
    status = ar.status("mnist:v0", storage_options=place.secrets)
    assert status.counts == {"unchanged": 0, "changed": len(new), "newer_version": 0, "gone": len(SIBLINGS), "new": 1}
    assert log(ar.scan(place.uri, storage_options=place.options)).version == "v1"
    diff = ar.load("mnist:v0").diff(ar.load("mnist:latest"))
    assert [(before.path, after.path) for before, after in diff.changed] == [(key, key) for key in sorted(new)]
    assert diff.removed["path"].to_pylist() == sorted(SIBLINGS)
    assert diff.added["path"].to_pylist() == ["came/later"]

    ar.fetch("mnist:v1", "new", storage_options=place.secrets, escape=True)
    assert tree(tmp_path / "new") == escaped(new) | {"came/later": b"new"}
    if versioned:
        assert streamed("mnist:v0", place) == (old, set())
        ar.fetch("mnist:v0", storage_options=place.secrets, escape=True)
        assert tree(tmp_path / "artifacts" / "mnist:v0") == escaped(old)
    else:
        assert streamed("mnist:v0", place) == ({}, set(old))


def test_a_file_tree_goes_the_whole_way(tmp_path: Path) -> None:
    place = Folder(tmp_path / "mount")
    old = contents((*ANYWHERE, "mnist/inside"), "old")
    place.put(old)
    assert log(ar.scan(place.uri)).version == "v0"
    assert {entry.path: entry.size for entry in ar.load("mnist:v0")} == {key: len(body) for key, body in old.items()}
    assert streamed("mnist:v0", place) == (old, set())
    ar.fetch("mnist:v0")
    assert tree(tmp_path / "artifacts" / "mnist:v0") == old

    new = contents(tuple(key for key in old if key not in SIBLINGS), "new")
    place.put({**new, "came/later": b"new"})
    place.delete(SIBLINGS)
    counts = {"unchanged": 0, "changed": len(new), "newer_version": 0, "gone": len(SIBLINGS), "new": 1}
    assert ar.status("mnist:v0").counts == counts
    assert log(ar.scan(place.uri)).version == "v1"
    diff = ar.load("mnist:v0").diff(ar.load("mnist:v1"))
    assert (len(diff.changed), diff.removed["path"].to_pylist()) == (len(new), sorted(SIBLINGS))
    with pytest.raises(FetchError) as failed:
        ar.fetch("mnist:v0", "again")
    assert {failure.path for failure in failed.value.failures} == set(old)
    assert not tree(tmp_path / "again")
    ar.fetch("mnist:v1", "new")
    assert tree(tmp_path / "new") == new | {"came/later": b"new"}


@pytest.mark.parametrize("versioned", [False, True])
def test_mnist_is_the_object_and_its_folder_is_asked_for_with_a_slash(empty: Bucket, versioned: bool) -> None:
    if versioned:
        empty.keep_versions()
    empty.put(dict.fromkeys(("mnist", "mnist/a", "mnist-old/b", "mnist2/c", "cifar/d", "cifar2/e"), b"x"))

    def paths(key: str) -> list[str]:
        return [entry.path for entry in ar.scan(f"{empty.uri}{key}", storage_options=empty.options)]

    assert paths("mnist") == ["mnist"]
    assert paths("mnist/") == ["a"]
    assert paths("cifar") == paths("cifar/") == ["d"]
    with pytest.raises(asyncref.errors.NothingFoundError):
        paths("mni")
