"""What a script has years later: v0's bytes from a bucket that keeps versions, or an error that names every key."""

from __future__ import annotations

from pathlib import Path

import pytest

import asyncref
from asyncref import blocking as ar
from asyncref.errors import FetchError
from tests.endtoend import Bucket
from tests.same_tree import noise, tree

FILES = {
    f"{folder}/{number:03}.bin": noise(1 + 997 * number, f"{folder}{number}") for folder in "ab" for number in range(20)
}


def log_v0(place: Bucket) -> None:
    with asyncref.init() as run:
        artifact = asyncref.Artifact("mnist", type="dataset")
        artifact.add_reference(place.uri, storage_options=place.options)
        run.log_artifact(artifact)


def use_v0(place: Bucket, **options: object) -> str:
    with asyncref.init() as run:
        artifact = run.use_artifact("mnist:v0", type="dataset")
        return artifact.download(storage_options=place.secrets, **options)


def test_a_versioned_bucket_gives_v0_after_everything_was_overwritten_or_deleted(empty: Bucket, tmp_path: Path) -> None:
    before = {path: body for path, body in FILES.items() if path.startswith("a/")}
    empty.put(before)
    empty.keep_versions()
    empty.put({path: body for path, body in FILES.items() if path not in before})
    log_v0(empty)
    empty.put({path: noise(len(body), f"other {path}") for path, body in FILES.items()})
    empty.delete(list(FILES)[::2])
    empty.put(dict.fromkeys(list(FILES)[::4], b"again"))
    assert use_v0(empty) == str(tmp_path / "artifacts" / "mnist:v0")
    assert tree(tmp_path / "artifacts") == {f"mnist:v0/{path}": body for path, body in FILES.items()}


def test_an_unversioned_bucket_names_every_changed_key_and_shows_no_wrong_file(empty: Bucket, tmp_path: Path) -> None:
    empty.put(FILES)
    log_v0(empty)
    overwritten, gone = list(FILES)[::5], list(FILES)[3::7]
    empty.put({path: noise(len(FILES[path]), f"other {path}") for path in overwritten})
    empty.delete(gone)
    with pytest.raises(FetchError) as caught:
        use_v0(empty)
    assert [failure.path for failure in caught.value.failures] == sorted({*overwritten, *gone})
    assert not (tmp_path / "artifacts" / "mnist:v0").exists()
    with pytest.raises(FetchError):
        use_v0(empty, root="here")
    kept = {path: body for path, body in FILES.items() if path not in {*overwritten, *gone}}
    assert tree(tmp_path / "here") == kept
    folder = use_v0(empty, allow_missing_references=True)
    assert tree(Path(folder)) == kept


def test_the_same_bytes_uploaded_again_are_no_new_version_and_either_pin_is_enough(
    empty: Bucket, tmp_path: Path
) -> None:
    empty.keep_versions()
    empty.put(FILES)
    log_v0(empty)
    empty.put(FILES)
    log_v0(empty)
    newest = ar.load("mnist:latest")
    assert {entry.path: (entry.pin.etag, entry.pin.version) for entry in newest} == empty.current()
    client = empty.server.client()
    for entry in newest:  # what a lifecycle rule or a person does to the newest versions
        client.delete_object(Bucket=empty.name, Key=f"set/{entry.path}", VersionId=entry.pin.version)
    assert use_v0(empty) == str(tmp_path / "artifacts" / "mnist:v0")
    assert tree(tmp_path / "artifacts" / "mnist:v0") == FILES
