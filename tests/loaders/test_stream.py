"""Streaming: order, bounds, failures of single entries, and that nothing is left running."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import aiohttp
import anyio
import pytest
from aiohttp import web

import asyncref
from asyncref.engine.fetch import Checksum
from asyncref.engine.scan import Target, scan
from asyncref.errors import ChangedError, ConnectionFailedError, ContainerNotFoundError, OptionError, UsageError
from asyncref.globs import Filter
from asyncref.loaders import Ranges, stream
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryBackend, MemoryStore, mounted
from tests.fetch import noise, pinned, source_of
from tests.servers import S3Server, wait_until
from tests.servers.proxy import Proxy, Stall

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


async def test_ranges_are_items_of_their_own_in_the_manifests_order(store: MemoryStore) -> None:
    contents = filled(store, 5, 10_000) | {"large": noise(LARGE)}
    store.seed("large", contents["large"])
    wanted = {"large": [(LARGE - 20 * 2**20, None), (5, 6)], "0003": [(9000, 9500), (0, 100), (0, None)]}
    async with stream(pinned(store), ranges=wanted, memory_bytes=25 * 2**20) as items:
        came = [(item.path, item.start, item.data) async for item in items]
    pieces = [(path, start, stop) for path in ("0003", "large") for start, stop in wanted[path]]
    assert came == [(path, start, contents[path][start:stop]) for path, start, stop in pieces]
    assert store.requests["get"] == 3 + 2 + 1  # 20 MiB are two parts


async def test_ranges_of_a_server_that_ignores_them_are_cut_out_of_the_whole(store: MemoryStore) -> None:
    contents = filled(store, 2, 300_000)
    store.faults = Faults(ignore_range=True)
    wanted = {"0000": [(100_000, 200_001), (299_999, 300_000)]}
    async with stream(pinned(store), ranges=wanted) as items:
        assert [item.data async for item in items] == [contents["0000"][start:stop] for start, stop in wanted["0000"]]


async def test_a_range_of_an_object_that_changed_is_an_item_with_its_error(store: MemoryStore) -> None:
    filled(store, 2)
    manifest = pinned(store)
    store.overwrite("0001", b"x" * 1001)
    async with stream(manifest, ranges={"0000": [(1, 2)], "0001": [(7, 9)]}) as items:
        first, second = [item async for item in items]
    assert first.data == noise(1000, "0")[1:2]
    assert (second.path, second.start, second.data) == ("0001", 7, None)
    assert isinstance(second.error, ChangedError)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"nothing": [(0, 1)]}, "'nothing'"),
        ({"0000": [(0, 1001)]}, "1000 bytes"),
        ({"0000": [(5, 5)]}, "5 to 5"),
        ({"0000": [(-5, None)]}, "-5"),
    ],
)
async def test_ranges_that_no_object_has_are_refused_before_any_request(
    store: MemoryStore, ranges: Ranges, said: str
) -> None:
    filled(store, 2)
    async with stream(pinned(store), ranges=ranges) as items:
        with pytest.raises(OptionError, match=said):
            await anext(items)
    assert store.requests.total() == 0


async def test_no_ranges_at_all_give_nothing(store: MemoryStore) -> None:
    filled(store, 2)
    async with stream(pinned(store), ranges={}) as items:
        assert [item async for item in items] == []


async def test_a_checksum_is_not_looked_at_if_that_is_asked_for(store: MemoryStore) -> None:
    store.seed("a", b"right")
    (entry,) = pinned(store)
    wrong = replace(entry, pin=replace(entry.pin, checksum=f"md5:{'0' * 32}"))
    manifest = Manifest.from_entries([wrong], sources=[source_of(store)])
    async with stream(manifest) as items:
        assert isinstance((await anext(items)).error, ChangedError)
    async with stream(manifest, checksum="never") as items:
        assert (await anext(items)).data == b"right"


async def test_inside_a_web_server_requests_share_a_loop_and_one_that_is_dropped_leaves_nothing(
    moto: S3Server, bucket: str, proxy_to: Callable[[str], Proxy]
) -> None:
    """An aiohttp application that answers with the objects of a manifest; one client goes away in the middle."""
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    contents = {f"o{number}": noise(200_000, str(number)) for number in range(8)}
    for key, data in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)
    manifest = await asyncref.scan(f"s3://{bucket}/", storage_options=moto.storage_options)
    proxy = proxy_to(moto.endpoint)
    options = {**moto.storage_options, "endpoint_url": proxy.endpoint}
    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            async with asyncref.stream(manifest, storage_options=options, memory_bytes=300_000) as items:
                async for item in items:
                    assert item.data is not None
                    await response.write(item.data)
        finally:
            if request.query.get("drop"):
                ended.set()
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (port,) = [address[1] for address in runner.addresses]
    before = {task for task in asyncio.all_tasks() if task.get_name() == "asyncref.stream"}
    whole = b"".join(contents.values())
    try:
        async with aiohttp.ClientSession() as session:

            async def get() -> bytes:
                async with session.get(f"http://127.0.0.1:{port}/") as came:
                    return await came.read()

            assert await asyncio.gather(get(), get(), get()) == [whole] * 3
            proxy.inject(Stall(1000), kind="get", at=None, match="o6")
            dropped = await session.get(f"http://127.0.0.1:{port}/?drop=1")
            await dropped.content.readexactly(1000)
            dropped.close()
            await asyncio.wait_for(ended.wait(), 30)
        assert {task for task in asyncio.all_tasks() if task.get_name() == "asyncref.stream"} == before
        await asyncio.to_thread(wait_until, lambda: proxy.open_connections == 0, what="the end of all connections")
    finally:
        await runner.cleanup()


async def scanned(folder: Path) -> Manifest:
    return await scan([Target(uri=f"file://{folder}/")])


async def test_a_piece_of_a_file_that_was_overwritten_is_an_error_though_its_size_is_the_same(tmp_path: Path) -> None:
    for key in ("same", "touched", "changed"):
        (tmp_path / key).write_bytes(noise(10_000, key))
    manifest = await scanned(tmp_path)
    os.utime(tmp_path / "touched", (0, 0))
    (tmp_path / "changed").write_bytes(noise(10_000, "other"))
    os.utime(tmp_path / "changed", (1, 1))
    ranges: Ranges = {key: [(10, 20), (5000, None)] for key in ("same", "touched", "changed")}
    async with stream(manifest, ranges=ranges) as items:
        came = [item async for item in items]
    assert {item.path for item in came if item.error} == {"changed"}
    assert [type(item.error) for item in came if item.path == "changed"] == [ChangedError, ChangedError]
    for item in came:
        if item.error is None:
            assert item.data == noise(10_000, item.path)[item.start :][: len(item.data or b"")]
            assert not item.checked


async def test_each_item_says_whether_a_checksum_confirmed_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(noise(1000))
    manifest = await scanned(tmp_path)
    for checksum, checked in (("auto", True), ("never", False)):
        async with stream(manifest, checksum=cast("Checksum", checksum)) as items:
            assert [item.checked async for item in items] == [checked]


async def test_a_stream_that_was_left_says_so(store: MemoryStore) -> None:
    """The run was cancelled, the consumer was not."""
    contents = filled(store, 50)
    items = stream(pinned(store))
    with pytest.raises(UsageError, match="inside"):
        await anext(items)
    async with items:
        assert (await anext(items)).data == contents["0000"]
    for _ in range(2):
        with pytest.raises(UsageError, match="inside"):
            await anext(items)


async def test_who_waits_while_another_task_leaves_is_told(store: MemoryStore) -> None:
    filled(store, 1)
    store.latency_s = 3600
    items = stream(pinned(store))
    async with items:
        waiting = asyncio.create_task(anext(items))
        await anyio.wait_all_tasks_blocked()
    with pytest.raises(UsageError, match="left"):
        await waiting
