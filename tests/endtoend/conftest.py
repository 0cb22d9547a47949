"""A registry and a working folder of its own for every test, and buckets of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endtoend import Bucket


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test works; downloads land below it."""
    monkeypatch.setenv("ASYNCREF_REGISTRY", f"sqlite:///{tmp_path / 'registry' / 'registry.db'}")
    monkeypatch.setenv("WANDB_ENTITY", "me")
    monkeypatch.setenv("WANDB_PROJECT", "here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["moto", "radosgw"])
def empty(request: pytest.FixtureRequest, bucket: str) -> Bucket:
    """An empty bucket without versions, on each server."""
    return Bucket(request.getfixturevalue(request.param), bucket).make()
