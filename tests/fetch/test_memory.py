"""The bound on memory: fewer requests at once and smaller windows, before a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.memory import LEAST_WINDOW_BYTES, TRANSIT_BYTES, shares, transit_bytes
from asyncref.engine.scan import Target, scan
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Entry, Limits, Pin
from tests.fetch import noise, tree
from tests.servers.proxy import Delay, Proxy
from tests.servers.webservers import Nginx

MIB = 2**20
BOUND = 4 * MIB


@pytest.mark.parametrize("workers", [1, 2, 64, 1000])
@pytest.mark.parametrize("memory", [1, MIB, 2 * MIB, 8 * MIB, 128 * MIB, 2**40])
def test_the_bound_holds_for_all_workers_together_but_for_one_that_there_must_be(memory: int, workers: int) -> None:
    share = shares(memory, workers)
    assert 1 <= share.workers <= workers
    for each in (TRANSIT_BYTES + share.window_bytes, TRANSIT_BYTES // 2 + 2 * share.small_bytes):
        assert share.workers * each <= max(memory, TRANSIT_BYTES + LEAST_WINDOW_BYTES)
    assert LEAST_WINDOW_BYTES <= share.small_bytes <= share.window_bytes <= MIB


def test_the_default_bound_takes_no_worker_from_anyone() -> None:
    assert shares(Limits().memory_bytes, 64).workers == 64
    assert transit_bytes(10_000, 1) == 10_000
    assert transit_bytes(100 * MIB, 7) == 7 * TRANSIT_BYTES


async def filled(nginx: Nginx, name: str, proxy: Proxy, count: int, size: int) -> tuple[Manifest, dict[str, bytes]]:
    folder = nginx.folder / name
    folder.mkdir()
    contents = {f"{number:02}": noise(size + number, str(number)) for number in range(count)}
    for key, data in contents.items():
        (folder / key).write_bytes(data)
    manifest = await scan([Target(uri=f"{proxy.endpoint}/{name}/")])
    proxy.forget()
    return manifest, contents


async def test_a_fetch_has_no_more_requests_in_flight_than_memory_for_their_buffers(
    nginx: Nginx, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    proxy = proxy_to(nginx.url)
    manifest, contents = await filled(nginx, "fetched", proxy, 24, 300_000)
    proxy.inject(Delay(0.05), kind="get", at=None)  # all that may be there at once are
    await fetch(manifest, tmp_path, limits=Limits(memory_bytes=BOUND))
    assert tree(tmp_path) == contents
    assert 1 <= proxy.peak <= BOUND // (TRANSIT_BYTES + LEAST_WINDOW_BYTES)


async def test_a_stream_counts_what_is_on_its_way_besides_what_has_come(
    nginx: Nginx, proxy_to: Callable[[str], Proxy]
) -> None:
    proxy = proxy_to(nginx.url)
    manifest, contents = await filled(nginx, "streamed", proxy, 24, 300_000)
    proxy.inject(Delay(0.05), kind="get", at=None)
    items = stream(manifest, memory_bytes=BOUND)
    async with items:
        assert {item.path: item.data async for item in items} == contents
    assert 1 < proxy.peak <= BOUND // 600_000
    assert items._run.shelf.peak_bytes <= BOUND


@pytest.mark.parametrize("ordered", [True, False])
async def test_objects_of_unknown_size_grow_one_at_a_time(
    nginx: Nginx, proxy_to: Callable[[str], Proxy], *, ordered: bool
) -> None:
    size = 3 * MIB
    proxy = proxy_to(nginx.url)
    manifest, contents = await filled(nginx, f"unknown-{ordered}", proxy, 8, size)
    entries = [Entry(entry.path, entry.ref, entry.digest, Pin(etag=entry.pin.etag)) for entry in manifest]
    unsized = Manifest.from_entries(entries, sources=manifest.sources)
    items = stream(unsized, memory_bytes=BOUND, ordered=ordered)
    async with items:
        assert {item.path: item.data async for item in items} == contents
    shelf = items._run.shelf
    assert size < shelf.peak_bytes <= BOUND + size
    assert shelf._free == BOUND  # all was given back
