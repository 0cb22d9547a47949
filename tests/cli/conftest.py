"""Fixtures for the command line: a runner with a registry and a folder of its own, and a small file tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers import S3Server


@dataclass(frozen=True)
class Cli:
    """Runs `asyncref` as a process of its own."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "asyncref", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
            **options,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self(*arguments, "--json", code=code).stdout)
        assert document["schema"].startswith("asyncref.")
        return document

    def refused(self, *arguments: str, code: int = 1, **options: Any) -> str:
        """The one line of an error; nothing else was said."""
        done = self(*arguments, code=code, **options)
        assert done.stdout == ""
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("asyncref: error: ")
        return lines[0]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "asyncref", *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def having(self, **environment: str | None) -> Cli:
        """The same with other environment variables; None takes one away."""
        merged = {**self.environment, **environment}
        return replace(self, environment={name: value for name, value in merged.items() if value is not None})


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    folder = tmp_path / "cwd"
    folder.mkdir()
    home = {"ASYNCREF_HOME": str(tmp_path / "home"), "ASYNCREF_REGISTRY": f"sqlite:///{tmp_path / 'registry.db'}"}
    return Cli(folder, {**os.environ, **home, "COLUMNS": "200"})


@pytest.fixture
def s3_cli(cli: Cli, moto: S3Server) -> Cli:
    """The runner, with moto as its S3."""
    return cli.having(**moto.environment)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with three files in two levels."""
    folder = tmp_path / "tree"
    for name, body in {"a.txt": b"a", "sub/b.txt": b"bb", "sub/c.bin": b"c" * 3000}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
def filled(moto: S3Server, bucket: str) -> Callable[..., str]:
    """Make a bucket with objects in it: `filled({"key": b"body"}, versioned=True)` gives its name."""

    def fill(objects: dict[str, bytes], *, versioned: bool = True) -> str:
        client = moto.client()
        client.create_bucket(Bucket=bucket)
        if versioned:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, body in objects.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)
        return bucket

    return fill
