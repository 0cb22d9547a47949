"""`wandb_manifest.json` in both directions: W&B's client reads asyncref's, asyncref fetches by W&B's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

import asyncref
from asyncref.manifest.formats import Form, from_wandb, to_wandb
from tests.servers import S3Server
from tests.wandb import Client, contents, track

OBJECTS = {"p/a b": b"first", "p/deep/x": b"second", "p/é": b"third", "p/100%25": b"fourth"}
PATHS = {key.removeprefix("p/"): body for key, body in OBJECTS.items()}


@pytest.fixture(params=[False, True], ids=["unversioned", "versioned"])
def place(request: pytest.FixtureRequest, moto: S3Server, filled: Callable[..., str]) -> str:
    """A bucket's name."""
    return filled(moto, OBJECTS, versioned=request.param)


@pytest.mark.parametrize("form", ["core", "sdk"])
def test_wandb_reads_the_bytes_of_a_manifest_that_asyncref_wrote(
    moto: S3Server, place: str, theirs: Client, form: Form
) -> None:
    ours = track(f"s3://{place}/p", server=moto)
    written = orjson.loads(b"".join(to_wandb(ours, form=form)))
    for path, body in PATHS.items():
        loaded = theirs.on(moto).load(written, read=path)
        assert loaded.data == body
        assert loaded.digest == ours.digest
    assert loaded.contents == contents(ours)


async def test_asyncref_fetches_by_a_manifest_that_wandb_wrote(
    moto: S3Server, place: str, theirs: Client, tmp_path: Path
) -> None:
    wandb = theirs.on(moto).track(f"s3://{place}/p")
    imported = from_wandb(json.dumps(wandb.manifest).encode(), endpoint=moto.endpoint)
    assert imported.digest == wandb.digest
    await asyncref.fetch(imported, tmp_path / "out", storage_options=moto.storage_options)
    assert {path: (tmp_path / "out" / path).read_bytes() for path in PATHS} == PATHS


async def test_asyncref_fetches_old_versions_by_a_manifest_that_wandb_wrote(
    moto: S3Server, filled: Callable[..., str], theirs: Client, tmp_path: Path
) -> None:
    bucket = filled(moto, OBJECTS, versioned=True)
    wandb = theirs.on(moto).track(f"s3://{bucket}/p")
    for key in OBJECTS:
        moto.client().put_object(Bucket=bucket, Key=key, Body=b"overwritten")
    imported = from_wandb(json.dumps(wandb.manifest).encode(), endpoint=moto.endpoint)
    await asyncref.fetch(imported, tmp_path / "out", storage_options=moto.storage_options)
    assert {path: (tmp_path / "out" / path).read_bytes() for path in PATHS} == PATHS


async def test_files_that_wandb_tracked_are_fetched(theirs: Client, tmp_path: Path) -> None:
    for path, body in PATHS.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(body)
    wandb = theirs.track(f"file://{tmp_path}/in")
    imported = from_wandb(json.dumps(wandb.manifest).encode())
    assert imported.digest == wandb.digest == track(f"file://{tmp_path}/in").digest
    await asyncref.fetch(imported, tmp_path / "out")
    assert {path: (tmp_path / "out" / path).read_bytes() for path in PATHS} == PATHS
