"""A request that is far slower than its peers gets a second one; where all are slow, or few were seen, none does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncref.backends.base import Body
from asyncref.engine.fetch import fetch, hedging
from asyncref.engine.fetch.hedging import Flight, Hedging, Seat
from asyncref.engine.fetch.plan import Part
from asyncref.engine.scan import Target, scan
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Limits, ReadRequest
from asyncref.testing import MemoryBackend, MemoryStore, mounted
from tests.fetch import noise, pinned, tree
from tests.servers import S3Server, wait_until
from tests.servers.proxy import Delay, Proxy, Stall, Status

LIMITS = Limits(concurrency=8, idle_timeout_s=300)


class FakeJob:
    def __init__(self, *, is_pinned: bool = True) -> None:
        self.is_pinned = is_pinned


def flight(
    sent_s: float | None = 0.0, length: int = 1000, *, stop: int | None = 1000, is_pinned: bool = True
) -> Flight:
    job: Any = FakeJob(is_pinned=is_pinned)
    sink: Any = None
    return Flight(job, Part(0, stop), sink, lambda: None, sent_s=sent_s, length=length)


def seasoned(answers: int = 1000, elapsed_s: float = 0.1) -> Hedging:
    found = Hedging()
    for _ in range(answers):
        found.note(1000, elapsed_s)
    return found


def test_what_is_far_slower_than_its_peers_is_late_once() -> None:
    slow, quick = flight(0.0), flight(9.0)
    watch = seasoned()
    assert watch.late([slow, quick], 10.0) == [slow]
    assert watch.late([slow, quick], 10.5) == []


@pytest.mark.parametrize(
    "one",
    [
        flight(9.0),  # not yet
        flight(None),  # between two tries
        flight(0.0, length=10**7),  # of a length that nobody saw
        flight(0.0, stop=None),  # of a size that nobody knows
        flight(0.0, is_pinned=False),
    ],
)
def test_nothing_else_is_late(one: Flight) -> None:
    assert seasoned().late([one], 10.0) == []


def test_where_all_are_slow_or_few_were_seen_nothing_is_late() -> None:
    assert seasoned(elapsed_s=5.0).late([flight(0.0)], 19.0) == []
    assert seasoned(answers=15).late([flight(0.0)], 100.0) == []


def test_second_requests_are_few_and_the_latest_come_first() -> None:
    watch = seasoned()
    late = [flight(float(number)) for number in range(10, 0, -1)]
    assert [one.sent_s for one in watch.late(late, 100.0)] == [1.0, 2.0, 3.0, 4.0]
    assert watch.late(late, 100.0) == []
    watch.flying = 0
    assert [one.sent_s for one in watch.late(late, 100.0)] == [5.0, 6.0, 7.0, 8.0]
    few = seasoned(answers=40)  # one in twenty
    assert len(few.late([flight(0.0) for _ in range(9)], 100.0)) == 2


@pytest.fixture
def filled(moto: S3Server, bucket: str) -> dict[str, bytes]:
    contents = {f"o{number:02}": noise(200_000 + number, str(number)) for number in range(60)} | {
        "slow": noise(210_000)
    }
    client = moto.client(max_pool_connections=8)
    client.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: client.put_object(Bucket=bucket, Key=item[0], Body=item[1]), contents.items()))
    return contents


async def scanned(moto: S3Server, bucket: str) -> Manifest:
    return await scan([Target(uri=f"s3://{bucket}/")], storage_options=moto.storage_options)


@pytest.mark.parametrize("fault", [Delay(120), Stall(50_000)], ids=["head", "body"])
async def test_one_slow_answer_does_not_hold_up_a_fetch(
    *, fault: Delay | Stall, moto: S3Server, bucket: str, filled: dict[str, bytes], tmp_path: Path,
    proxy_to: Callable[[str], Proxy], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Without a second request this would wait for minutes, and send one request less."""
    monkeypatch.setattr(hedging, "LEAST_S", 0.3)
    proxy = proxy_to(moto.endpoint)
    proxy.inject(fault, kind="get", at=1, match="/slow")
    options = {**moto.storage_options, "endpoint_url": proxy.endpoint}
    report = await fetch(await scanned(moto, bucket), tmp_path, storage_options=options, limits=LIMITS)
    assert tree(tmp_path) == filled
    assert proxy.counts["get"] == len(filled) + report.retries
    assert [request.target for request in proxy.seen if "/slow" in request.target] == [f"/{bucket}/slow"] * 2
    await asyncio.to_thread(wait_until, lambda: proxy.open_connections <= 1, what="the end of the slow connection")


async def test_a_second_request_that_fails_leaves_the_first_alone(
    moto: S3Server,
    bucket: str,
    filled: dict[str, bytes],
    proxy_to: Callable[[str], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hedging, "LEAST_S", 0.3)
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Delay(4), kind="get", at=1, match="/slow")
    for number in range(2, 10):
        proxy.inject(Status(404, b""), kind="get", at=number, match="/slow")
    options = {**moto.storage_options, "endpoint_url": proxy.endpoint}
    async with stream(await scanned(moto, bucket), storage_options=options, limits=LIMITS) as items:
        assert {item.path: item.data async for item in items} == filled


class Scripted(MemoryBackend):
    """Reads of `slow`: the first answers once the second was sent, the second as `second` says. `z` comes after `slow`."""

    calls = 0
    sent = anyio.Event()
    ended = False
    ended_in_time: bool | None = None
    final: Path
    error: Exception | None = None

    @asynccontextmanager
    async def read(self, request: ReadRequest) -> AsyncIterator[Body]:
        kind = type(self)
        async with super().read(request) as body:
            kind.calls += request.key == "slow"
            is_second = request.key == "slow" and kind.calls > 1
            if request.key == "slow" and not is_second:
                await kind.sent.wait()
            if request.key == "z":
                await asyncio.to_thread(wait_until, kind.final.exists, what="the file")
                kind.ended_in_time = kind.ended
            yield replace(body, chunks=self._never()) if is_second else body

    async def _never(self) -> AsyncIterator[bytes]:
        kind = type(self)
        kind.sent.set()
        try:
            if kind.error is not None:
                raise kind.error
            await anyio.sleep_forever()
            yield b""
        finally:
            await checkpoint_shielded()
            kind.ended = True


async def checkpoint_shielded() -> None:
    """An end that takes its time, as that of a write in a thread does."""
    with anyio.CancelScope(shield=True):
        await anyio.sleep(0.2)


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, "the disk"), RuntimeError("a slip")])
async def test_a_second_request_ends_before_its_part_counts_as_done(
    error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it goes on to write to a file that has its name, or to another one whose number its descriptor came to be."""
    monkeypatch.setattr(hedging, "LEAST_S", 0.2)
    kind = type("Once", (Scripted,), {"sent": anyio.Event(), "final": tmp_path / "slow", "error": error})
    monkeypatch.setattr("asyncref.testing.memory.MemoryBackend", kind)
    store = MemoryStore()
    for number in range(60):
        store.seed(f"o{number:02}", noise(2000, str(number)))
    store.seed("slow", noise(2000))
    store.seed("z", noise(5000))
    with mounted(store), anyio.fail_after(60):
        await fetch(pinned(store), tmp_path, limits=LIMITS)
    assert tree(tmp_path)["slow"] == noise(2000)
    assert (kind.calls >= 2, kind.ended_in_time) == (True, True)


def test_what_failed_as_a_second_request_may_be_sent_again() -> None:
    one, watch = flight(0.0), seasoned()
    assert watch.late([one], 10.0) == [one]
    watch.landed(one, again=True)
    assert watch.late([one], 10.5) == [one]
    watch.landed(one, again=False)
    assert watch.late([one], 11.0) == []
    assert watch.flying == 0


async def test_a_seat_outlives_the_parts_that_are_ended_in_it() -> None:
    ends = []
    with Seat() as seat:
        for _ in range(3):
            asyncio.get_running_loop().call_soon(seat.end)
            try:
                await anyio.sleep(60)
            except anyio.get_cancelled_exc_class() as error:
                ends.append(seat.renew(error))
        seat.end()
        assert not seat.renew()  # ended between two parts: nothing had to be interrupted, and the next one is not
        await anyio.lowlevel.checkpoint()
        assert not seat.renew()
    assert ends == [True, True, True]


async def test_a_seat_does_not_swallow_who_ends_its_worker() -> None:
    renewed = []

    async def work() -> None:
        with Seat() as seat:
            try:
                await anyio.sleep(60)
            except anyio.get_cancelled_exc_class() as error:
                seat.end()  # at the same time
                renewed.append(seat.renew(error))
                raise

    with anyio.move_on_after(0.01) as outer:
        await work()
    assert outer.cancelled_caught
    assert renewed == [False]
    task = asyncio.ensure_future(work())
    await anyio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
