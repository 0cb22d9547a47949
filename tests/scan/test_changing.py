"""A bucket that changes while it is listed: what stays is found, and no change passes for a server's fault."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import pytest

from asyncref.engine.scan import Pages, Target, scan
from asyncref.model import Limits, ListRequest, Page
from asyncref.testing import MemoryStore, mounted
from asyncref.testing.memory import MemoryBackend
from tests.scan.test_union import answered_in_any_order

QUICK = Limits(backoff_s=0.0, concurrency=8)
STAYING = [f"p/{number:03d}" for number in range(500)]


@contextmanager
def meanwhile(change: Callable[[int, list[str]], None]) -> Iterator[None]:
    """After every page something happens to the store: told which page that was, and its keys."""
    real, count = MemoryBackend.list_page, iter(range(1, 10**6))

    async def list_page(self: MemoryBackend, request: ListRequest) -> Page:
        page = await real(self, request)
        change(next(count), page.batch.column(0).to_pylist())
        return page

    with patch.object(MemoryBackend, "list_page", list_page):
        yield


@pytest.fixture(params=[False, True], ids=["objects", "versions"])
def store(request: pytest.FixtureRequest) -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10, versioned=request.param)
    for key in STAYING:
        store.seed(key, b"x")
    with mounted(store):
        yield store


def _now(store: MemoryStore) -> None:
    """From here on the store's clock, which goes on by a second with every object, shows our time."""
    store._puts += round((datetime.now(UTC) - store.seed("q", b"").modified).total_seconds())


@pytest.mark.parametrize("comes", [20, 30, 40, 50, 60])
async def test_keys_that_are_seen_once_and_gone_then_are_no_gap(comes: int, store: MemoryStore) -> None:
    _now(store)
    fleeting = {key + tail for key in STAYING for tail in ("!", "~")}

    def change(number: int, keys: list[str]) -> None:
        if number == comes:
            for key in sorted(fleeting):
                store.seed(key, b"new")
        for key in fleeting.intersection(keys):
            store.delete(key)

    with meanwhile(change):
        manifest = await scan([Target(uri="memory://b/p/")], limits=QUICK)
    assert {f"p/{entry.path}" for entry in manifest} >= set(STAYING)
    assert manifest.record.notes == ()


@pytest.mark.parametrize("seed", range(12))
def test_keys_that_go_while_others_are_listed_are_no_gap(seed: int, store: MemoryStore) -> None:
    choose = random.Random(seed)
    gone: set[str] = set()

    def change(_: int, keys: list[str]) -> None:
        for key in keys:
            if choose.random() < 0.3:
                gone.add(key)
                store.delete(key)

    async def listed() -> list[str]:
        async with Pages(Target(uri="memory://b/p/"), limits=QUICK) as batches:
            return [path async for batch in batches for path in batch["path"].to_pylist()]

    with answered_in_any_order(choose), meanwhile(change):
        found = asyncio.run(listed())
    assert {f"p/{path}" for path in found} >= set(STAYING) - gone
    assert len(set(found)) == len(found)
