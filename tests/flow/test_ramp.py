"""A provider's ramp-up bounds the rate from the first request on, and doubles in its time."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.base import Traits
from asyncref.engine.flow import Controller, Lane, Lanes, Meter
from asyncref.engine.flow.ramp import RampUp
from asyncref.model import Limits, Ramp
from tests.flow.simulated import TokenServer, simulate


@settings(max_examples=20, deadline=None)
@given(per_s=st.integers(5, 300), seed=st.integers(0, 2**32))
def test_no_second_sees_more_requests_than_the_ramp_allows(per_s: int, seed: int) -> None:
    controller = Controller(Limits(), most=100, ramp=RampUp(Ramp(per_s=per_s, doubling_s=1200)))
    seen = simulate(controller, TokenServer(lambda _: math.inf, latency_s=0.01), seconds=5, workers=100, seed=seed)
    first = seen.sent_s[0]
    sent = [sum(first + second <= at < first + second + 1 for at in seen.sent_s) for second in range(4)]
    assert max(sent) <= 2 * per_s  # seconds of the ramp and of this count may lie across each other
    assert 4 * per_s * 0.9 - 1 <= sum(sent) <= 5 * per_s * 1.01 + 1


def spend(ramp: RampUp, now_s: float, most: float = math.inf) -> int:
    """Requests sent in the second that begins now."""
    sent = 0
    while sent < most and not ramp.wait_s(now_s):
        ramp.take()
        sent += 1
    return sent


def test_the_rate_doubles_in_its_time_of_sustained_load_and_falls_with_it() -> None:
    ramp, start_s = RampUp(Ramp(per_s=100, doubling_s=1200)), 50.0
    sent = [spend(ramp, start_s + second) for second in range(1201)]
    assert (sent[0], sent[600], sent[1200]) == (100, 141, 200)
    assert ramp.wait_s(start_s + 1200.25) == pytest.approx(0.75)
    for second in range(1201, 2401):
        assert spend(ramp, start_s + second, most=120) == 120
    assert spend(ramp, start_s + 2401) == pytest.approx(120 / 0.9, abs=2)
    assert spend(ramp, start_s + 9000) == 100


def test_idle_time_and_a_load_far_below_it_never_raise_it() -> None:
    ramp = RampUp(Ramp(per_s=100, doubling_s=10))
    for second in range(100):
        spend(ramp, float(second), most=50)
    assert spend(ramp, 100.0) == 100
    assert spend(ramp, 1000.0) == 100


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer as soon as nothing else is to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        wait = self._selector.select
        self._selector.select = lambda timeout=None: self._jump(wait, timeout)

    def time(self) -> float:
        return self.now_s

    def _jump(self, wait: Any, timeout: float | None) -> Any:
        self.now_s += timeout or 0.0
        return wait(0)


def test_lanes_of_one_bucket_share_one_ramp_whatever_they_ask_and_whoever_made_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Clock()
    monkeypatch.setattr("asyncref.engine.flow.retry.monotonic", loop.time)
    monkeypatch.setattr("asyncref.engine.flow.gate.time", SimpleNamespace(monotonic=loop.time, thread_time=lambda: 0.0))
    monkeypatch.setattr("asyncref.engine.flow.gate._active_s", lambda: 0.0)
    monkeypatch.setattr("asyncref.engine.flow.lanes._RAMPS", {})

    sent: dict[str, list[float]] = {"one": [], "other": []}

    async def run() -> None:
        await load(loop, sent, 60.5)
        await asyncio.sleep(600)
        await load(loop, sent, 1.5)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    for times in sent.values():
        counts = [sum(second <= at - 1000.0 < second + 1 for at in times) for second in range(60)]
        assert counts[0] == 100
        assert all(count <= 100 * 2 ** ((second + 1) / 20) for second, count in enumerate(counts))
        assert counts[40] == pytest.approx(400, rel=0.1)
        assert sum(at > 1600 for at in times) <= 280  # idle since: it begins anew


def bucket(name: str) -> Any:
    traits = Traits(concurrency=16, ramp=Ramp(per_s=100, doubling_s=20))
    return SimpleNamespace(traits=traits, reference=lambda key: f"gs://{name}/{key}")


async def load(clock: Clock, sent: dict[str, list[float]], seconds: float) -> None:
    """Two runs list and stat one bucket, and one reads another, each with all that its lanes let pass."""
    runs = [Lanes(Limits(), Meter("scan")) for _ in range(2)]
    lanes = [(run.of(kind, bucket("one")), sent["one"]) for run in runs for kind in ("list", "stat")]
    lanes.append((runs[0].of("get", bucket("other")), sent["other"]))
    until_s = clock.time() + seconds

    async def work(lane: Lane, times: list[float]) -> None:
        async def send() -> None:
            times.append(clock.time())
            await asyncio.sleep(0.01)

        while clock.time() < until_s:
            await lane.call(send)

    async with asyncio.TaskGroup() as group:
        for lane, times in lanes:
            for _ in range(16):
                group.create_task(work(lane, times))


def test_without_a_ramp_nothing_is_held_back() -> None:
    controller = Controller(Limits(), most=10_000)
    assert not any(controller.admit(1.0) for _ in range(6000))
    ramped = Controller(Limits(), most=10_000, ramp=RampUp(Ramp(per_s=5000, doubling_s=1200)))
    assert sum(not ramped.admit(1.0) for _ in range(6000)) == 5000
