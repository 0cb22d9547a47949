"""Manifests: sorted tables of pinned entries, their digests, differences and files."""

from __future__ import annotations

from asyncref.manifest.builder import Run, build
from asyncref.manifest.diff import Diff, diff
from asyncref.manifest.store import ManifestStore
from asyncref.manifest.table import Manifest

__all__ = ["Diff", "Manifest", "ManifestStore", "Run", "build", "diff"]
