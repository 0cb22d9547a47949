"""Scripts written for W&B run as processes of their own, with the import line and the place changed."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from asyncref.registry import Registry
from tests.artifacts import contents, run_script, run_well
from tests.servers import S3Server

LOG = """
    import asyncref as wandb

    run = wandb.init()
    artifact = wandb.Artifact(name="mnist", type="dataset")
    artifact.add_reference(uri="{uri}")
    run.log_artifact(artifact)
    run.finish()
"""
USE = """
    import asyncref as wandb

    run = wandb.init()
    artifact = run.use_artifact("{name}", type="dataset")
    artifact_dir = artifact.download()
    print(artifact_dir)
"""
FILES = {"train/0.png": b"zero", "train/1.png": b"one", "empty": b"", "labels.csv": b"0,1"}


@pytest.fixture(params=["versioned", "unversioned"])
def bucket(request: pytest.FixtureRequest, moto: S3Server) -> str:
    """A bucket with `datasets/mnist/...`, and neighbours that are not meant."""
    name, client = f"scripts-{uuid4().hex[:12]}", moto.client()
    client.create_bucket(Bucket=name)
    if request.param == "versioned":
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for path, body in FILES.items():
        client.put_object(Bucket=name, Key=f"datasets/mnist/{path}", Body=body)
    client.put_object(Bucket=name, Key="datasets/mnist2/other", Body=b"not meant")
    return name


def is_versioned(moto: S3Server, bucket: str) -> bool:
    return moto.client().get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"


def states(folder: Path) -> list[str]:
    return [run.state for run in Registry.open(f"sqlite:///{folder / 'home' / 'registry.db'}").runs()]


def test_a_bucket_is_logged_by_one_process_and_used_by_another(moto: S3Server, bucket: str, tmp_path: Path):
    run_well(LOG.format(uri=f"s3://{bucket}/datasets/mnist"), tmp_path, **moto.environment)
    (folder,) = run_well(USE.format(name="mnist:latest"), tmp_path, **moto.environment)
    assert Path(folder) == tmp_path / "artifacts" / "mnist:v0"
    assert contents(Path(folder)) == FILES
    assert states(tmp_path) == ["finished", "finished"]


def test_an_artifact_is_found_by_entity_project_and_name(moto: S3Server, bucket: str, tmp_path: Path):
    logged = {"WANDB_ENTITY": "entity", "WANDB_PROJECT": "project"}
    run_well(LOG.format(uri=f"s3://{bucket}/datasets/mnist"), tmp_path, **moto.environment, **logged)
    (folder,) = run_well(USE.format(name="entity/project/mnist:latest"), tmp_path, **moto.environment)
    assert contents(Path(folder)) == FILES


def test_logging_again_unchanged_stays_v0_and_changed_makes_v1(moto: S3Server, bucket: str, tmp_path: Path):
    script = LOG.format(uri=f"s3://{bucket}/datasets/mnist") + "    print(artifact.version)\n"
    versions = [run_well(script, tmp_path, **moto.environment) for _ in range(2)]
    moto.client().put_object(Bucket=bucket, Key="datasets/mnist/labels.csv", Body=b"other")
    versions.append(run_well(script, tmp_path, **moto.environment))
    assert versions == [["v0"], ["v0"], ["v1"]]


def test_old_bytes_come_back_if_the_bucket_keeps_versions_and_are_named_if_not(
    moto: S3Server, bucket: str, tmp_path: Path
):
    run_well(LOG.format(uri=f"s3://{bucket}/datasets/mnist"), tmp_path, **moto.environment)
    client = moto.client()
    client.put_object(Bucket=bucket, Key="datasets/mnist/labels.csv", Body=b"overwritten")
    client.delete_object(Bucket=bucket, Key="datasets/mnist/train/0.png")
    done = run_script(USE.format(name="mnist:v0"), tmp_path, **moto.environment)
    if is_versioned(moto, bucket):
        assert done.returncode == 0, done.stderr
        assert contents(Path(done.stdout.strip())) == FILES
    else:
        assert done.returncode == 1
        assert "labels.csv" in done.stderr
        assert "train/0.png" in done.stderr
        assert not (tmp_path / "artifacts" / "mnist:v0").exists()
        assert states(tmp_path) == ["finished", "crashed"]


def test_a_model_that_boto3_uploads_is_logged_without_finish_and_used_by_its_bare_name(
    moto: S3Server, bucket: str, tmp_path: Path
):
    (tmp_path / "my_model.h5").write_bytes(b"weights")
    run_well(
        f"""
        import boto3
        import asyncref as wandb

        run = wandb.init()
        s3_client = boto3.client("s3")
        s3_client.upload_file("my_model.h5", "{bucket}", "models/cnn/my_model.h5")
        model_artifact = wandb.Artifact("cnn", type="model")
        model_artifact.add_reference("s3://{bucket}/models/cnn/")
        run.log_artifact(model_artifact)
        """,
        tmp_path,
        **moto.environment,
    )
    (folder,) = run_well(
        """
        import asyncref as wandb

        run = wandb.init()
        artifact = run.use_artifact(artifact_or_name = "cnn", type="model")
        datadir = artifact.download()
        print(datadir)
        """,
        tmp_path,
        **moto.environment,
    )
    assert contents(Path(folder)) == {"my_model.h5": b"weights"}
    assert states(tmp_path) == ["finished", "finished"]


def test_a_bucket_without_checksums_is_one_entry_for_its_uri_and_asks_nothing(tmp_path: Path):
    lines = run_well(
        """
        import asyncref as wandb

        run = wandb.init()
        artifact = wandb.Artifact("mnist", type="dataset")
        artifact.add_reference("s3://nobody-asks-this-bucket/datasets/mnist", checksum=False)
        artifact.add_reference("s3://nobody-asks-this-bucket/more", checksum=False, name="named")
        run.log_artifact(artifact)
        for entry in artifact.manifest:
            print(entry.path, entry.ref, entry.digest)
        """,
        tmp_path,
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ACCESS_KEY_ID="nobody",
        AWS_SECRET_ACCESS_KEY="nothing",
    )
    first, second = "s3://nobody-asks-this-bucket/datasets/mnist", "s3://nobody-asks-this-bucket/more"
    assert lines == [f"datasets/mnist {first} {first}", f"named {second} {second}"]


def test_a_file_tree_is_logged_and_used_in_one_call_and_changes_only_with_its_files(tmp_path: Path):
    mount = tmp_path / "mount" / "datasets" / "mnist"
    for path, body in FILES.items():
        (mount / path).parent.mkdir(parents=True, exist_ok=True)
        (mount / path).write_bytes(body)
    script = f"""
        import asyncref as wandb

        run = wandb.init()
        artifact = wandb.Artifact("mnist", type="dataset")
        artifact.add_reference("file://{mount}/")
        run.use_artifact(artifact)
        artifact_dir = artifact.download()
        print(artifact.version, artifact_dir, len(artifact.used_by()))
    """
    assert run_well(script, tmp_path) == [f"v0 {tmp_path}/artifacts/mnist:v0 1"]
    assert run_well(script, tmp_path) == [f"v0 {tmp_path}/artifacts/mnist:v0 2"]
    (mount / "labels.csv").write_bytes(b"other")
    assert run_well(script, tmp_path) == [f"v1 {tmp_path}/artifacts/mnist:v1 1"]
    assert contents(tmp_path / "artifacts" / "mnist:v0") == FILES
    assert contents(tmp_path / "artifacts" / "mnist:v1") == {**FILES, "labels.csv": b"other"}


def test_a_single_file_is_logged_under_its_own_name(tmp_path: Path):
    model = tmp_path / "mount" / "cnn" / "my_model.h5"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    lines = run_well(
        f"""
        import asyncref as wandb

        run = wandb.init()
        artifact = wandb.Artifact("cnn", type="model")
        artifact.add_reference("file://{model}")
        run.log_artifact(artifact)
        print([entry.path for entry in artifact.manifest])
        """,
        tmp_path,
    )
    assert lines == ["['my_model.h5']"]
