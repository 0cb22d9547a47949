"""Artifacts of file trees: references, versions, downloads, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import asyncref
from asyncref import Artifact
from asyncref.artifacts import Run
from asyncref.errors import (
    DuplicatePathError,
    FetchError,
    InvalidNameError,
    InvalidURIError,
    NotFoundError,
    NotOfferedError,
    TooManyObjectsError,
    UnknownArtifactError,
    UsageError,
)
from tests.artifacts import contents


def mnist(tree: Path, **options: object) -> Artifact:
    artifact = Artifact("mnist", "dataset", description="digits", metadata={"classes": 10})
    artifact.add_reference(tree.as_uri(), **options)
    return artifact


def test_a_reference_is_logged_used_and_downloaded_byte_for_byte(run: Run, tree: Path, home: Path):
    logged = run.log_artifact(mnist(tree), aliases=["best"])
    assert (logged.name, logged.version, logged.aliases) == ("mnist:v0", "v0", ["latest", "best"])
    used = run.use_artifact("mnist:best", type="dataset")
    folder = used.download()
    assert folder == str(home / "artifacts" / "mnist:v0")
    assert contents(Path(folder)) == contents(tree)
    assert (used.description, used.metadata, used.type) == ("digits", {"classes": 10}, "dataset")
    assert (used.digest, used.size, used.file_count) == (logged.digest, logged.manifest.size, 3)
    assert used.qualified_name == "me/here/mnist:v0"


def test_adding_gives_back_the_entries_that_were_added(tree: Path):
    artifact = Artifact("mnist", "dataset")
    added = artifact.add_reference(tree.as_uri(), name="inside")
    assert [entry.path for entry in added] == ["inside/labels.csv", "inside/train/0.png", "inside/train/1.png"]
    assert artifact.get_entry("inside/labels.csv").ref == f"{tree.as_uri()}/labels.csv"


def test_unchanged_content_stays_v0_and_a_changed_file_makes_v1(run: Run, tree: Path):
    assert run.log_artifact(mnist(tree)).version == "v0"
    assert run.log_artifact(mnist(tree)).version == "v0"
    (tree / "labels.csv").write_bytes(b"other")
    assert run.log_artifact(mnist(tree)).version == "v1"
    assert run.use_artifact("mnist").version == "v1"


def test_a_draft_that_is_used_is_logged_and_marked_as_input_at_once(run: Run, tree: Path):
    artifact = run.use_artifact(mnist(tree))
    assert artifact.wait().version == "v0"
    assert [one.id for one in artifact.used_by()] == [run.id]
    assert artifact.logged_by().id == run.id
    assert [one.name for one in run.used_artifacts()] == ["mnist:v0"]


def test_using_what_another_run_logged_shows_in_both_directions(run: Run, tree: Path):
    artifact = run.log_artifact(mnist(tree))
    run.finish()
    with asyncref.init(job_type="train") as second:
        used = second.use_artifact(artifact)
    assert [(one.id, one.job_type) for one in used.used_by()] == [(second.id, "train")]
    assert used.logged_by().id == run.id


def test_several_references_make_one_artifact_and_merge_in_path_order(run: Run, tree: Path):
    artifact = Artifact("mnist", "dataset")
    artifact.add_reference((tree / "train").as_uri(), name="z")
    artifact.add_reference((tree / "labels.csv").as_uri())
    artifact.add_reference((tree / "labels.csv").as_uri())
    artifact.add_reference((tree / "train").as_uri(), name="a")
    assert [entry.path for entry in artifact.manifest] == ["a/0.png", "a/1.png", "labels.csv", "z/0.png", "z/1.png"]
    folder = Path(run.log_artifact(artifact).download())
    assert contents(folder)["z/1.png"] == contents(tree)["train/1.png"]


def test_one_path_with_two_pins_is_refused_when_it_is_added(tree: Path):
    artifact = Artifact("mnist", "dataset")
    artifact.add_reference((tree / "train" / "0.png").as_uri(), name="x")
    with pytest.raises(DuplicatePathError):
        artifact.add_reference((tree / "train" / "1.png").as_uri(), name="x")
    assert [entry.ref for entry in artifact.manifest] == [(tree / "train" / "0.png").as_uri()]


def test_a_manifest_that_was_scanned_before_can_be_added(run: Run, tree: Path):
    artifact = Artifact("mnist", "dataset")
    artifact.add_manifest(asyncref.blocking.scan(tree.as_uri()))
    assert run.log_artifact(artifact).digest == mnist(tree).digest


@pytest.mark.parametrize("path", ["/mount/datasets/mnist", "mnist", ""])
def test_a_reference_without_a_scheme_is_refused(path: str):
    with pytest.raises(InvalidURIError, match="for a local path use file://"):
        Artifact("mnist", "dataset").add_reference(path)


def test_more_objects_than_allowed_and_nothing_there_are_errors_when_they_are_added(tree: Path):
    with pytest.raises(TooManyObjectsError):
        mnist(tree, max_objects=2)
    with pytest.raises(NotFoundError):
        Artifact("mnist", "dataset").add_reference((tree / "gone").as_uri())


def test_a_logged_artifact_cannot_change_but_a_new_draft_can(run: Run, tree: Path):
    artifact = run.log_artifact(mnist(tree))
    with pytest.raises(UsageError, match=r"mnist:v0 is logged .*new_draft"):
        artifact.add_reference(tree.as_uri(), name="more")
    draft = artifact.new_draft()
    draft.add_reference(tree.as_uri(), name="more")
    assert run.log_artifact(draft).version == "v1"
    assert artifact.file_count == 3


def test_what_only_a_version_has_is_refused_of_a_draft(tree: Path):
    artifact = mnist(tree)
    assert (artifact.name, artifact.id, artifact.state, artifact.is_draft()) == ("mnist", None, "PENDING", True)
    for ask in (artifact.wait, artifact.download, artifact.logged_by, artifact.save, lambda: artifact.aliases):
        with pytest.raises(UsageError, match="not logged yet"):
            ask()


def test_aliases_and_metadata_are_kept_when_a_version_is_saved(run: Run, tree: Path):
    artifact = run.log_artifact(mnist(tree), aliases=["old"])
    artifact.aliases.append("best")
    artifact.aliases.remove("old")
    artifact.metadata["classes"] = 11
    artifact.save()
    again = run.use_artifact("mnist:best")
    assert (again.aliases, again.metadata) == (["latest", "best"], {"classes": 11})
    with pytest.raises(UnknownArtifactError):
        run.use_artifact("mnist:old")


def test_a_changed_file_makes_the_download_fail_by_name_and_leaves_no_folder(run: Run, tree: Path, home: Path):
    artifact = run.log_artifact(mnist(tree))
    (tree / "labels.csv").write_bytes(b"other bytes")
    with pytest.raises(FetchError, match=r"labels\.csv"):
        artifact.download()
    assert not (home / "artifacts" / "mnist:v0").exists()
    assert contents(Path(artifact.download(root=home / "some", path_prefix="train"))).keys() == {
        "train/0.png",
        "train/1.png",
    }


def test_missing_references_can_be_left_out(run: Run, tree: Path, home: Path):
    artifact = run.log_artifact(mnist(tree))
    shutil.rmtree(tree / "train")
    folder = artifact.download(root="some", allow_missing_references=True)
    assert folder == "some"
    assert contents(home / "some").keys() == {"labels.csv"}


def test_a_second_download_gives_the_same_folder_and_repairs_it(run: Run, tree: Path):
    artifact = run.log_artifact(mnist(tree))
    folder = Path(artifact.download())
    (folder / "labels.csv").write_bytes(b"scribbled on it, and longer")
    (folder / "train" / "0.png").unlink()
    assert artifact.download() == str(folder)
    assert contents(folder) == contents(tree)


@pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "", "x" * 129])
def test_a_name_that_cannot_be_one_is_refused_at_once(name: str):
    with pytest.raises(InvalidNameError):
        Artifact(name, "dataset")


def test_what_uploads_is_refused_in_words_and_true_to_hasattr(run: Run):
    artifact = Artifact("mnist", "dataset")
    with pytest.raises(NotOfferedError, match="uploads nothing"):
        artifact.add_file("x")
    with pytest.raises(NotOfferedError, match="uploads nothing"):
        run.log({"loss": 1})
    assert not hasattr(run, "log")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = artifact.nonsense


async def test_every_verb_has_an_async_twin_on_the_callers_own_loop(tree: Path):
    run = asyncref.init()
    artifact = Artifact("mnist", "dataset")
    await artifact.aadd_reference(tree.as_uri())
    await run.alog_artifact(artifact)
    used = await run.ause_artifact("mnist")
    assert contents(Path(await used.adownload())) == contents(tree)
    await run.afinish()
    assert run.ended


async def test_the_sync_face_works_inside_a_running_loop(run: Run, tree: Path):
    artifact = run.log_artifact(mnist(tree))
    assert contents(Path(artifact.download())) == contents(tree)


def test_a_uri_can_be_logged_without_making_an_artifact_first(run: Run, tree: Path):
    artifact = run.log_artifact(tree.as_uri(), name="mnist", type="dataset")
    assert artifact.name == "mnist:v0"
    assert run.log_artifact((tree / "labels.csv").as_uri()).name == f"run-{run.id}-labels.csv:v0"
    with pytest.raises(InvalidURIError):
        run.log_artifact(str(tree))


def test_the_api_finds_artifacts_without_a_run(run: Run, tree: Path):
    run.log_artifact(mnist(tree))
    (tree / "labels.csv").write_bytes(b"other")
    run.log_artifact(mnist(tree))
    api = asyncref.Api()
    assert api.artifact("me/here/mnist:v0", type="dataset").version == "v0"
    assert [one.version for one in api.artifacts("dataset", "mnist")] == ["v1", "v0"]
    assert (api.artifact_exists("mnist:v1"), api.artifact_exists("mnist:v2")) == (True, False)
    assert api.run(run.path).state == "running"


def test_an_artifact_without_a_reference_can_be_logged(run: Run):
    assert run.log_artifact(Artifact("empty", "dataset")).file_count == 0
