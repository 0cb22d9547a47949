"""Streaming: order, bounds, failures of single entries, and that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import anyio
import pytest

from asyncref.errors import ChangedError, ConnectionFailedError, ContainerNotFoundError
from asyncref.globs import Filter
from asyncref.loaders import stream
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryBackend, MemoryStore, mounted
from tests.fetch import noise, pinned

QUICK = Limits(backoff_s=0.0, concurrency=8)
LARGE = 40 * 2**20 + 7


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    with mounted(store):
        yield store


def filled(store: MemoryStore, count: int, length: int = 1000) -> dict[str, bytes]:
    contents = {f"{number:04}": noise(length + number, str(number)) for number in range(count)}
    for key, data in contents.items():
        store.seed(key, data)
    return contents


async def test_every_object_comes_in_manifest_order_whatever_its_size(store: MemoryStore) -> None:
    contents = {"0-large": noise(LARGE), "1-zero": b""}
    for key, data in contents.items():
        store.seed(key, data)
    for number in range(50):
        contents[f"2/{number:02}"] = noise(1000 + number)
        store.seed(f"2/{number:02}", contents[f"2/{number:02}"])
    async with stream(pinned(store)) as items:
        came = [(item.path, item.data) async for item in items]
    assert came == list(contents.items())


async def test_as_completed_gives_the_same_set(store: MemoryStore) -> None:
    contents = filled(store, 200)
    store.faults = Faults(throttle=0.2)
    async with stream(pinned(store), ordered=False, limits=replace(QUICK, attempts=30)) as items:
        assert {item.path: item.data async for item in items} == contents


async def test_one_entry_that_changed_is_an_item_with_an_error_and_the_rest_goes_on(store: MemoryStore) -> None:
    contents = filled(store, 20)
    manifest = pinned(store)
    store.overwrite("0007", b"new")
    async with stream(manifest) as items:
        came = [item async for item in items]
    assert [item.path for item in came] == list(contents)
    (failed,) = [item for item in came if item.error]
    assert (failed.path, failed.data) == ("0007", None)
    assert isinstance(failed.error, ChangedError)


async def test_a_slow_consumer_bounds_what_is_asked_for(store: MemoryStore) -> None:
    filled(store, 100, length=100_000)
    async with stream(pinned(store), memory_bytes=1_000_000) as items:
        first = await anext(items)
        await anyio.wait_all_tasks_blocked()
        assert first.path == "0000"
        assert store.requests["get"] <= 1_000_000 // 100_000
        rest = [item.path async for item in items]
    assert len(rest) == 99


async def test_an_object_larger_than_the_bound_is_read_alone(store: MemoryStore) -> None:
    store.seed("a", noise(5_000_000))
    store.seed("b", noise(5_000_000, "b"))
    async with stream(pinned(store), memory_bytes=1000) as items:
        first = await anext(items)
        await anyio.wait_all_tasks_blocked()
        assert (first.data, store.requests["get"]) == (noise(5_000_000), 1)
        assert (await anext(items)).data == noise(5_000_000, "b")


async def test_leaving_early_ends_every_task_and_closes_every_connection(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[MemoryBackend] = []

    async def aclose(self: MemoryBackend) -> None:
        closed.append(self)

    monkeypatch.setattr(MemoryBackend, "aclose", aclose)
    filled(store, 100)
    store.latency_s = 30.0
    before = asyncio.all_tasks()
    async with stream(pinned(store)) as items:
        with anyio.move_on_after(0):
            await anext(items)
    assert asyncio.all_tasks() == before
    assert len(closed) <= 1  # none if the run had not begun to open any
    store.latency_s = 0.0
    closed.clear()
    async with stream(pinned(store)) as items:
        async for _ in items:
            break
    assert asyncio.all_tasks() == before
    assert len(closed) == 1


async def test_a_cancelled_consumer_leaves_nothing_running(store: MemoryStore) -> None:
    filled(store, 10)
    store.latency_s = 30.0
    before = asyncio.all_tasks()
    with anyio.move_on_after(0.05) as scope:
        async with stream(pinned(store)) as items:
            async for _ in items:
                pytest.fail("nothing should come")
    assert scope.cancelled_caught
    assert asyncio.all_tasks() == before


async def test_enter_iterate_and_leave_may_be_calls_of_different_tasks(store: MemoryStore) -> None:
    contents = filled(store, 5)
    opened = stream(pinned(store))
    items = await asyncio.create_task(opened.__aenter__())
    item = await asyncio.create_task(items.__anext__())
    await asyncio.create_task(opened.__aexit__(None, None, None))
    assert (item.path, item.data) == ("0000", contents["0000"])


async def test_what_concerns_every_entry_is_raised_from_the_iteration(store: MemoryStore) -> None:
    filled(store, 100)
    manifest = pinned(store)
    store.exists = False
    with pytest.raises(ContainerNotFoundError):
        async with stream(manifest) as items:
            _ = [item async for item in items]
    store.exists, store.faults = True, Faults(reset=1.0)
    with pytest.raises(ConnectionFailedError):
        async with stream(manifest, limits=replace(QUICK, attempts=2)) as items:
            _ = [item async for item in items]


async def test_an_error_of_the_consumers_own_passes_unchanged(store: MemoryStore) -> None:
    filled(store, 3)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the loop is what raises
        async with stream(pinned(store)) as items:
            async for _ in items:
                raise ZeroDivisionError


async def test_a_filter_chooses(store: MemoryStore) -> None:
    contents = filled(store, 20)
    async with stream(pinned(store), filter=Filter.of("000*", "0003")) as items:
        came = [item.path async for item in items]
    assert came == [key for key in contents if key.startswith("000") and key != "0003"]


async def test_an_empty_manifest_gives_nothing(store: MemoryStore) -> None:
    async with stream(pinned(store)) as items:
        assert [item async for item in items] == []
