"""A registry of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncref.registry import Registry


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the test's registry is."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The test's registry, for `me/here`."""
    monkeypatch.setenv("WANDB_ENTITY", "me")
    monkeypatch.setenv("WANDB_PROJECT", "here")
    return Registry.open(url)
