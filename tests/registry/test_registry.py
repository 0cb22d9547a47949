"""Versions, aliases, runs and lineage in one registry."""

from __future__ import annotations

import pytest

from asyncref.errors import (
    InvalidNameError,
    PartialScanError,
    RegistryError,
    RegistryUnavailableError,
    UnknownArtifactError,
    UsageError,
)
from asyncref.registry import Registry
from tests.registry import manifest_of

ONE = manifest_of({"a": "1", "b": "2"})
TWO = manifest_of({"a": "3", "b": "2"})


def test_changed_content_makes_a_new_version_and_the_same_content_none(registry: Registry):
    first = registry.log(ONE, name="mnist", type="dataset")
    again = registry.log(ONE, name="mnist", type="dataset")
    second = registry.log(TWO, name="mnist", type="dataset")
    assert [(one.version, one.outcome) for one in (first, again, second)] == [
        ("v0", "new"),
        ("v0", "same"),
        ("v1", "new"),
    ]
    assert second.aliases == ("latest",)
    assert registry.resolve("mnist:v0").aliases == ()
    assert (second.objects, second.size, second.digest) == (2, 2, TWO.digest)


def test_a_return_to_older_content_is_a_new_version_since_only_latest_is_compared(registry: Registry):
    logged = [registry.log(manifest, name="mnist", type="dataset").version for manifest in (ONE, TWO, ONE)]
    assert logged == ["v0", "v1", "v2"]


def test_the_same_content_under_other_references_is_a_new_version(registry: Registry):
    registry.log(ONE, name="mnist", type="dataset")
    moved = registry.log(manifest_of({"a": "1", "b": "2"}, prefix="other/"), name="mnist", type="dataset")
    assert moved.digest == ONE.digest
    assert (moved.version, moved.outcome) == ("v1", "new")


def test_other_version_ids_alone_keep_the_number_and_put_the_newer_pins_first(registry: Registry):
    older, newer = (manifest_of({"a": "1"}, version=version) for version in ("x", "y"))
    registry.log(older, name="mnist", type="dataset")
    version = registry.log(newer, name="mnist", type="dataset")
    assert (version.version, version.outcome) == ("v0", "pins")
    assert version.identities == (newer.identity, older.identity)
    assert [one.identity for one in registry.manifests(version)] == [newer.identity, older.identity]
    back = registry.log(older, name="mnist", type="dataset")
    assert back.identities == (older.identity, newer.identity)


def test_the_manifest_comes_back_with_its_entries(registry: Registry):
    version = registry.log(ONE, name="mnist", type="dataset")
    (manifest,) = registry.manifests(version)
    assert [(entry.path, entry.digest) for entry in manifest] == [("a", "1" * 32), ("b", "2" * 32)]


def test_a_manifest_that_is_not_beside_the_registry_is_said_in_one_line(
    registry: Registry, url: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    version = registry.log(ONE, name="mnist", type="dataset")
    monkeypatch.setenv("ASYNCREF_MANIFESTS", str(tmp_path_factory.mktemp("elsewhere")))
    with pytest.raises(RegistryUnavailableError, match="ASYNCREF_MANIFESTS"):
        Registry.open(url).manifests(version)


def test_every_way_of_naming_a_version_finds_it(registry: Registry):
    registry.log(ONE, name="mnist", type="dataset", aliases=["first"])
    registry.log(TWO, name="mnist", type="dataset", aliases="best")
    for text in ("mnist:v0", "mnist:first", "here/mnist:v0", "me/here/mnist:v0", ONE.digest, ONE.identity):
        assert registry.resolve(text).version == "v0", text
    for text in ("mnist", "mnist:latest", "mnist:best", "mnist:v1", "me/here/mnist"):
        assert registry.resolve(text, type="dataset").version == "v1", text


def test_a_digest_means_its_newest_version_and_this_project_before_others(registry: Registry):
    for manifest in (ONE, TWO, ONE):
        registry.log(manifest, name="mnist", type="dataset")
    registry.log(ONE, name="copy", type="dataset", project="elsewhere")
    assert registry.resolve(ONE.digest).qualified == "me/here/mnist:v2"
    assert registry.resolve(ONE.digest, project="elsewhere").qualified == "me/elsewhere/copy:v0"


def test_an_alias_names_one_version_and_moves(registry: Registry):
    first = registry.log(ONE, name="mnist", type="dataset", aliases=["best"])
    registry.log(TWO, name="mnist", type="dataset", aliases=["best"])
    assert registry.resolve("mnist:best").version == "v1"
    back = registry.alias(first, add=["best", "checked"])
    assert back.aliases == ("best", "checked")
    assert registry.alias(back, remove=["best"]).aliases == ("checked",)
    with pytest.raises(UnknownArtifactError, match=r"v1 \(latest\), v0 \(checked\)"):
        registry.resolve("mnist:best")


def test_aliases_are_given_to_a_version_that_was_logged_before(registry: Registry):
    registry.log(ONE, name="mnist", type="dataset")
    assert registry.log(ONE, name="mnist", type="dataset", aliases=["best", "latest"]).aliases == ("latest", "best")


def test_unknown_names_and_versions_say_what_there_is(registry: Registry):
    with pytest.raises(UnknownArtifactError, match="this registry is empty"):
        registry.resolve("mnist")
    registry.log(ONE, name="mnist", type="dataset", aliases=["best"])
    with pytest.raises(UnknownArtifactError, match="there are mnist"):
        registry.resolve("cifar")
    with pytest.raises(UnknownArtifactError, match=r"'mnist' has no v7; there are v0 \(latest, best\)"):
        registry.resolve("mnist:v7")
    with pytest.raises(UnknownArtifactError, match="it is in me/here: write entity/project/mnist"):
        registry.resolve("mnist", project="other")
    with pytest.raises(UnknownArtifactError, match="there are me/here"):
        registry.resolve("cifar", project="other")
    with pytest.raises(UnknownArtifactError):
        registry.resolve("f" * 32)
    with pytest.raises(UnknownArtifactError, match="there are mnist"):
        registry.versions("cifar")


def test_another_type_is_refused_when_logging_and_when_looking_up(registry: Registry):
    registry.log(ONE, name="mnist", type="dataset")
    with pytest.raises(UsageError, match="has type 'dataset', not 'model'"):
        registry.log(TWO, name="mnist", type="model")
    with pytest.raises(UsageError, match="has type 'dataset', not 'model'"):
        registry.resolve("mnist", type="model")
    assert [version.version for version in registry.versions("mnist")] == ["v0"]


@pytest.mark.parametrize("names", [{"name": "a b"}, {"type": "a/b"}, {"project": "a:b"}, {"aliases": ["v1"]}])
def test_bad_names_are_refused_before_anything_is_written(registry: Registry, names: dict[str, str]):
    with pytest.raises(InvalidNameError):
        registry.log(ONE, **{"name": "mnist", "type": "dataset", **names})
    assert registry.artifacts() == []


def test_a_partial_scan_is_logged_only_if_asked_for_and_never_becomes_latest(registry: Registry):
    partial = manifest_of({"a": "1"}, complete=False)
    with pytest.raises(PartialScanError, match="allow_partial"):
        registry.log(partial, name="mnist", type="dataset")
    version = registry.log(partial, name="mnist", type="dataset", allow_partial=True)
    assert (version.partial, version.aliases) == (True, ())
    with pytest.raises(UnknownArtifactError, match="'mnist' has no complete version; there are v0"):
        registry.resolve("mnist")
    assert registry.log(ONE, name="mnist", type="dataset").label == "mnist:v1"
    assert registry.log(partial, name="mnist", type="dataset", allow_partial=True).label == "mnist:v2"
    assert registry.resolve("mnist").label == "mnist:v1"


def test_description_and_metadata_are_kept_and_can_be_changed(registry: Registry):
    version = registry.log(ONE, name="mnist", type="dataset", description="digits", metadata={"classes": 10})
    assert (version.description, version.metadata) == ("digits", {"classes": 10})
    changed = registry.update(version, description=None, metadata={"classes": [1, 2]})
    assert (changed.description, changed.metadata) == (None, {"classes": [1, 2]})
    with pytest.raises(UsageError, match="metadata"):
        registry.log(TWO, name="mnist", type="dataset", metadata={"bad": object()})


def test_artifacts_are_listed_with_their_newest_version(registry: Registry):
    registry.log(ONE, name="mnist", type="dataset")
    registry.log(TWO, name="mnist", type="dataset")
    registry.log(ONE, name="cnn", type="model", project="other")
    found = {one.newest.qualified: one.versions for one in registry.artifacts()}
    assert found == {"me/here/mnist:v1": 2, "me/other/cnn:v0": 1}
    assert [one.newest.name for one in registry.artifacts(type="model")] == ["cnn"]
    assert [one.newest.name for one in registry.artifacts(project="here")] == ["mnist"]


def test_lineage_goes_one_step_back_and_one_step_forward(registry: Registry):
    make, train = registry.start_run(job_type="make"), registry.start_run(job_type="train", config={"lr": 0.1})
    data = registry.log(ONE, name="mnist", type="dataset", run_id=make.id)
    registry.use(train.id, data)
    registry.use(train.id, data)
    model = registry.log(TWO, name="cnn", type="model", run_id=train.id)
    forward, back = registry.lineage(data), registry.lineage(model)
    assert [run.id for run in forward.made_by] == [make.id]
    assert [run.id for run in forward.used_by] == [train.id]
    assert [version.label for version in forward.outputs] == ["cnn:v0"]
    assert [version.label for version in back.inputs] == ["mnist:v0"]
    assert back.to_json()["made_by"][0]["config"] == {"lr": 0.1}


def test_a_run_ends_once_and_stays_as_it_ended(registry: Registry):
    run = registry.start_run(name="one", run_id="mine")
    assert (run.state, run.ended) == ("running", None)
    registry.finish_run("mine", state="crashed", config={"epochs": 3})
    registry.finish_run("mine", state="finished")
    ended = registry.run("mine")
    assert (ended.state, ended.config) == ("crashed", {"epochs": 3})
    assert ended.ended is not None
    assert [one.id for one in registry.runs(state="crashed")] == ["mine"]
    with pytest.raises(RegistryError, match="there is a run 'mine' already"):
        registry.start_run(run_id="mine")
    with pytest.raises(UnknownArtifactError):
        registry.run("nobody")
