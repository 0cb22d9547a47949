"""W&B's client for the whole session, and a fresh bucket for each test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.wandb import Client

_FOREIGN = ("AWS_", "WANDB_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """W&B's client, offline, with a home and a cache of its own."""
    pytest.importorskip("wandb")
    home = tmp_path_factory.mktemp("wandb-home")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    environment = {
        "HOME": str(home),
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(home),
        "WANDB_CACHE_DIR": str(home / "cache"),
        "WANDB_CONFIG_DIR": str(home / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with (
        (home / "client.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("client.py"))],
            env={**kept, **environment},
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Client(process, {})
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


@pytest.fixture
def filled(bucket: str) -> Callable[..., str]:
    """Make a bucket with these objects: `filled(server, {"key": b"body"}, versioned=True)` gives its name."""

    def fill(server: S3Server, objects: Mapping[str, bytes], *, versioned: bool = False) -> str:
        client = server.client()
        client.create_bucket(Bucket=bucket)
        if versioned:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, body in objects.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)
        return bucket

    return fill
