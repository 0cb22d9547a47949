"""The union of all pages is the key set: the whole engine, whatever the keys, versions, pages, markers and turns of its workers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.scan import Target, scan
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import MemoryStore, mounted
from asyncref.testing.memory import MemoryBackend
from tests.scan.test_keyspace import SHAPES

PATHS = SHAPES.filter(lambda path: "\0" not in path and not {".", ".."} & set(path.split("/")))
KEYS = st.dictionaries(PATHS, st.integers(1, 12), min_size=1, max_size=150)
"""Keys and how many versions each has."""


@contextmanager
def answered_in_any_order(choose: random.Random) -> Iterator[None]:
    """Every request takes some turns of the loop, so that workers come to the splitter in an order of the draw's."""
    real = MemoryBackend._request

    async def request(self: MemoryBackend, kind: str, key: str) -> object:
        for _ in range(choose.randrange(8)):
            await anyio.lowlevel.checkpoint()
        return await real(self, kind, key)

    with patch.object(MemoryBackend, "_request", request):
        yield


def filled(versions: dict[str, int], choose: random.Random, **options: object) -> tuple[MemoryStore, dict[str, str]]:
    """A store under `p/`, and what a listing has to show of it: version by path."""
    store = MemoryStore("b", **options)  # type: ignore[arg-type]
    shown = {}
    for path, count in versions.items():
        for number in range(count if store.versioned else 1):
            shown[path] = store.seed(f"p/{path}", b"x" * (number + 1)).version
        if store.versioned and choose.random() < 0.2:
            store.delete(f"p/{path}")
            del shown[path]
    store.seed("p0", b"behind the prefix")
    shown["the last"] = store.seed("p/the last", b"x").version  # never nothing
    return store, shown


STORES = st.fixed_dictionaries(
    {"versioned": st.booleans(), "page_rows": st.integers(1, 9), "inclusive_markers": st.booleans()}
)


@given(KEYS, STORES, st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_every_key_is_listed_once_with_its_latest_version(
    versions: dict[str, int], options: dict[str, object], workers: int, seed: int
) -> None:
    choose = random.Random(seed)
    store, shown = filled(versions, choose, **options)

    async def scanned() -> Manifest:
        return await scan([Target(uri="memory://b/p/")], limits=Limits(concurrency=workers))

    with mounted(store), answered_in_any_order(choose):
        manifest = asyncio.run(scanned())
    assert [entry.path for entry in manifest] == sorted(shown)
    assert {entry.path: entry.pin.version for entry in manifest} == {
        path: version if store.versioned else None for path, version in shown.items()
    }
    assert manifest.record.notes == ()  # split all along, not listed again in one piece
    assert manifest.record.proof is not None
