"""A registry of its own for every test, and a file tree to track."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import asyncref
from asyncref.artifacts import Run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test works; the registry lies below it."""
    monkeypatch.setenv("ASYNCREF_REGISTRY", f"sqlite:///{tmp_path / 'home' / 'registry.db'}")
    monkeypatch.setenv("WANDB_ENTITY", "me")
    monkeypatch.setenv("WANDB_PROJECT", "here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Iterator[Run]:
    """The current run."""
    with asyncref.init(config={"lr": 0.1}) as started:
        yield started


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file tree of three files."""
    folder = tmp_path / "mount" / "datasets" / "mnist"
    (folder / "train").mkdir(parents=True)
    for name in ("train/0.png", "train/1.png", "labels.csv"):
        (folder / name).write_bytes(f"bytes of {name}".encode())
    return folder
