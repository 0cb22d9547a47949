"""Tests of fetch, verify and stream: what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from asyncref.manifest import Manifest
from asyncref.model import Entry, Pin, Source
from asyncref.testing import MemoryStore


def source_of(store: MemoryStore) -> Source:
    return Source(uri=f"memory://{store.container}/", scheme="memory", container=store.container)


def pinned(store: MemoryStore, keys: Iterable[str] | None = None) -> Manifest:
    """A manifest of what a store holds now, as a scan would pin it."""
    entries = []
    for key in keys if keys is not None else store.keys_from("", inclusive=True):
        stored = store.find(key, None)
        assert stored is not None, key
        version = stored.version if store.versioned else None
        pin = Pin(size=stored.size, etag=stored.etag, version=version)
        etag = stored.etag.removeprefix("W/").strip('"')
        entries.append(Entry(key, f"memory://{store.container}/{key}", etag, pin))
    return Manifest.from_entries(entries, sources=[source_of(store)])


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, temporaries and markers included."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def noise(length: int, seed: str = "") -> bytes:
    """Bytes that differ everywhere, the same for the same arguments."""
    return hashlib.shake_128(f"{seed}/{length}".encode()).digest(length)


def listed(root: Path) -> list[str]:
    """Everything below a folder, folders included."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))
