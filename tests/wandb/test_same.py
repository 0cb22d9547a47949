"""Where W&B's client breaks nothing, asyncref gives its digest, and every field of every entry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import S3Server
from tests.wandb import Client, assert_same, track

NAMES = ["a b", "a+b", "100%", "100%25", "a#b", "a?b", "é", "\U0001f600", ".hidden", "deep/er/x.jpg", "deep/er/y.jpg"]
SIBLINGS = ["mnist", "mnist/inside", "mnist2/x", "mnist-old/x"]


@pytest.fixture(
    scope="module",
    params=[("moto", False), ("radosgw", True)],
    ids=["moto-unversioned", "radosgw-versioned"],
)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[S3Server, str]]:
    """A server and a bucket that has seen overwrites, deletions and a multipart upload."""
    fixture, versioned = request.param
    server: S3Server = request.getfixturevalue(fixture)
    bucket, client = f"same-{os.getpid()}-{versioned}".lower(), server.client()
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="sets/data/old", Body=b"predates versioning, if there is any")
    if versioned:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in [*(f"sets/data/{name}" for name in NAMES), *SIBLINGS, "sets/gone"]:
        client.put_object(Bucket=bucket, Key=key, Body=b"first")
        client.put_object(Bucket=bucket, Key=key, Body=f"bytes of {key}".encode())
    client.delete_object(Bucket=bucket, Key="sets/gone")
    _upload_in_parts(client, bucket, "sets/data/large")
    yield server, bucket
    client.close()


def _upload_in_parts(client: Any, bucket: str, key: str) -> None:
    """S3 then gives an ETag that is no MD5."""
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number, body in enumerate([b"1" * 5 * 2**20, b"2"], start=1):
        sent = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize(
    "references",
    [
        [{"uri": "s3://{}/sets/data"}],
        [{"uri": "s3://{}/sets/data/"}],
        [{"uri": "s3://{}/sets/data", "name": "train"}],
        [{"uri": "s3://{}/sets", "name": "a/b"}],
        [{"uri": "s3://{}/sets/data", "name": "train/"}],
        [{"uri": "s3://{}/sets/data", "name": "./a//b"}],
        [{"uri": "s3://{}", "name": "all"}],
        [{"uri": "s3://{}/mnist"}],
        [{"uri": "s3://{}/mnist/"}],
        [{"uri": "s3://{}/mnist", "name": "digits.bin"}],
        [{"uri": "s3://{}/mnist", "name": "one/digits.bin"}],
        [{"uri": "s3://{}/sets/data/large"}],
        [{"uri": "s3://{}/sets/data/old", "name": "old"}],
        [{"uri": "s3://{}/sets/data"}, {"uri": "s3://{}/mnist"}, {"uri": "s3://{}/mnist2/", "name": "two"}],
        [{"uri": "s3://{}/sets/data"}, {"uri": "s3://{}/sets/data/"}],
        [{"uri": "s3://{}/sets/data/deep", "max_objects": 2}],
        [{"uri": "s3://{}/sets/data", "checksum": False}],
        [{"uri": "s3://{}/sets/data/", "checksum": False}],
        [{"uri": "s3://{}", "checksum": False}],
        [{"uri": "s3://{}/sets/data", "checksum": False, "name": "by name"}, {"uri": "s3://{}/mnist2"}],
    ],
    ids=lambda references: " and ".join(
        one["uri"].removeprefix("s3://{}") + "".join(f" {k}={v}" for k, v in one.items() if k != "uri")
        for one in references
    ),
)
def test_references_to_a_bucket_give_the_entries_and_the_digest_of_wandb(
    place: tuple[S3Server, str], theirs: Client, references: list[dict[str, Any]]
) -> None:
    server, bucket = place
    meant = [{**one, "uri": one["uri"].format(bucket)} for one in references]
    assert_same(track(*meant, server=server), theirs.on(server).track(*meant))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with names and contents of every kind, links to files and to folders."""
    root = tmp_path / "mount" / "data"
    for name in (*NAMES, "empty", "back\\slash", "line\nfeed"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"" if name == "empty" else f"bytes of {name}".encode())
    (root / "large").write_bytes(os.urandom(3 * 2**20))
    (root / "no files").mkdir()
    (root / "to a file").symlink_to("deep/er/x.jpg")
    (root / "to a folder").symlink_to("deep")
    return root


@pytest.mark.parametrize(
    "references",
    [
        [{"uri": "file://{}"}],
        [{"uri": "file://{}/"}],
        [{"uri": "file://{}", "name": "train"}],
        [{"uri": "file://{}", "name": "train/./x//"}],
        [{"uri": "file://{}/large"}],
        [{"uri": "file://{}/a b", "name": "one/file"}],
        [{"uri": "file://{}/to a file"}],
        [{"uri": "file://{}/to a folder"}],
        [{"uri": "file://{}", "checksum": False}],
        [{"uri": "file://{}/", "checksum": False, "name": "n"}],
        [{"uri": "file://{}/to a file", "checksum": False}],
        [{"uri": "file://{}/deep", "name": "d"}, {"uri": "file://{}/large"}, {"uri": "file://{}/deep/er"}],
    ],
    ids=lambda references: " and ".join(
        one["uri"].removeprefix("file://{}") + "".join(f" {k}={v}" for k, v in one.items() if k != "uri")
        for one in references
    ),
)
def test_references_to_files_give_the_entries_and_the_digest_of_wandb(
    tree: Path, theirs: Client, references: list[dict[str, Any]]
) -> None:
    meant = [{**one, "uri": one["uri"].format(tree)} for one in references]
    assert_same(track(*meant), theirs.track(*meant))


def test_a_bucket_and_a_folder_in_one_artifact_give_the_digest_of_wandb(
    place: tuple[S3Server, str], tree: Path, theirs: Client
) -> None:
    server, bucket = place
    meant = [{"uri": f"s3://{bucket}/sets/data", "name": "s3"}, {"uri": f"file://{tree}", "name": "files"}]
    assert_same(track(*meant, server=server), theirs.on(server).track(*meant))
