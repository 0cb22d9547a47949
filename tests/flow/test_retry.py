"""One request through a lane: sent again, in turn, counted, and never lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from asyncref.engine.flow import Lane, Meter
from asyncref.engine.flow.gate import Gate
from asyncref.errors import (
    BrokenBodyError,
    ConnectionFailedError,
    NotFoundError,
    OrderError,
    ProtocolError,
    RetryableError,
    ServerError,
    SilentError,
    ThrottledError,
)
from asyncref.model import Limits

QUICK = Limits(attempts=4, backoff_s=0.001, backoff_max_s=0.002)


def made(limits: Limits = QUICK, *, most: int = 64) -> tuple[Lane, Meter]:
    meter = Meter()
    return Lane("get", limits=limits, meter=meter, most=most), meter


def answering(*answers: Exception | int) -> Callable[[], Awaitable[int]]:
    """A request that gives these answers one after another."""
    left = iter(answers)

    async def send() -> int:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send


@pytest.mark.parametrize(
    "error", [ServerError("500"), ThrottledError("503"), ThrottledError("503", retry_after_s=0.01)]
)
async def test_a_request_is_sent_until_it_succeeds(error: RetryableError) -> None:
    lane, meter = made()
    assert await lane.call(answering(error, error, 7)) == 7
    assert meter.requests == {"get": 3}
    assert meter.retries == 2
    assert meter.throttled == 2 * isinstance(error, ThrottledError)
    assert lane.controller.in_flight == 0


@pytest.mark.parametrize("error", [ServerError("500"), ThrottledError("503")])
async def test_the_last_error_is_raised_when_the_attempts_are_used_up(error: RetryableError) -> None:
    lane, meter = made()
    last = type(error)("the last")
    with pytest.raises(type(error), match="the last"):
        await lane.call(answering(error, error, error, last, 7))
    assert meter.requests == {"get": 4}


async def test_an_outage_of_a_server_that_had_answered_is_waited_for() -> None:
    lane, meter = made(Limits(attempts=4, backoff_s=0.001, backoff_max_s=0.002))
    began_s = 0.0

    async def send() -> float:
        if time.monotonic() - began_s < 0.3:
            raise ConnectionFailedError("nobody there")
        return time.monotonic()

    await lane.call(answering(7))
    began_s = time.monotonic()
    assert await lane.call(send) - began_s >= 0.3
    assert meter.requests["get"] > 5


@pytest.mark.parametrize("attempts", [1, 4])
async def test_an_outage_without_an_end_is_an_error(attempts: int) -> None:
    lane, meter = made(Limits(attempts=attempts, backoff_s=0.0001, backoff_max_s=0.0002))
    await lane.call(answering(7))
    began_s = time.monotonic()
    with pytest.raises(ServerError):
        await lane.call(answering(*[ServerError("500")] * 10_000))
    assert (time.monotonic() - began_s >= 0.06) == (attempts > 1)
    assert (meter.requests["get"] == 2) == (attempts == 1)


@pytest.mark.parametrize(("answered", "tries"), [(False, 2), (True, 3)])
async def test_silence_ends_a_request_before_its_tries_are_used_up_and_is_told_of(
    answered: bool, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    lane, meter = made(Limits(attempts=8, backoff_s=0.0001, idle_timeout_s=0.02))
    troubles: list[str] = []

    async def send() -> int:
        troubles.append(meter.trouble)
        await asyncio.sleep(0.02)
        raise SilentError("no answer", uri="http://h/")

    if answered:
        await lane.call(answering(7))
    with caplog.at_level("INFO", logger="asyncref.flow"), pytest.raises(SilentError):
        await lane.call(send)
    assert meter.requests["get"] == tries + answered
    assert [record.message for record in caplog.records] == [
        f"get http://h/: no answer; try {number} of it, after 0 s" for number in range(1, tries)
    ]
    assert troubles == ["", *["asked again, after 0 s: no answer"] * (tries - 1)]
    assert not meter.trouble


async def test_an_error_that_took_long_is_no_silence() -> None:
    lane, meter = made(Limits(attempts=8, backoff_s=0.0001, idle_timeout_s=0.002))

    async def send() -> int:
        await asyncio.sleep(0.002)
        raise ServerError("504")

    with pytest.raises(ServerError):
        await lane.call(send)
    assert meter.requests["get"] == 8


async def test_trouble_is_over_once_an_answer_comes() -> None:
    lane, meter = made(Limits(backoff_s=0.0001, idle_timeout_s=0.001))
    answers = iter([ConnectionFailedError("gone")])

    async def send() -> int:
        await asyncio.sleep(0.002)
        for answer in answers:
            raise answer
        assert meter.trouble
        return 7

    assert await lane.call(send) == 7
    assert not meter.trouble


async def test_a_try_that_brought_bytes_is_not_counted() -> None:
    lane, meter = made()
    came = 0

    async def send() -> int:
        nonlocal came
        came += 2**16
        if came < 50 * 2**16:
            raise BrokenBodyError("cut")
        return came

    assert await lane.call(send, came=lambda: came) == 50 * 2**16
    came = 0
    with pytest.raises(BrokenBodyError):
        await made()[0].call(send)
    assert meter.requests == {"get": 50}


async def test_a_page_that_cannot_be_read_is_asked_for_twice_more_and_no_refusal_is() -> None:
    def lane() -> Lane:
        return Lane("list", limits=Limits(backoff_s=0.001), meter=Meter(), most=8)

    odd = ProtocolError("a web page")
    assert await lane().call(answering(odd, odd, 7)) == 7
    for last in (
        odd,
        ProtocolError("refused", code="status 400"),
        OrderError("keys out of order"),
        NotFoundError("404"),
    ):
        with pytest.raises(type(last)) as caught:
            await lane().call(answering(odd, odd, last, 7))
        assert caught.value is last


async def test_a_final_answer_is_raised_at_once() -> None:
    lane, meter = made()
    with pytest.raises(NotFoundError):
        await lane.call(answering(NotFoundError("404"), 7))
    assert meter.requests == {"get": 1}
    assert lane.controller.in_flight == 0


async def test_a_named_pause_holds_back_requests_that_were_not_refused() -> None:
    lane, _ = made()
    began_s = time.monotonic()
    sent_s: list[float] = []

    async def other() -> None:
        sent_s.append(time.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(lane.call(answering(ThrottledError("503", retry_after_s=0.1), 1)))
        await asyncio.sleep(0)
        group.create_task(lane.call(other))
    assert sent_s[0] - began_s >= 0.1


@pytest.mark.parametrize("pause_s", [86_400.0, 1e9, float("inf"), float("nan")])
async def test_a_pause_beyond_the_bound_is_an_error_at_once_and_holds_nobody_back(pause_s: float) -> None:
    lane, meter = made()
    refusal = ThrottledError("slow down", uri="s3://b/", code="503", retry_after_s=pause_s)
    with pytest.raises(ThrottledError, match=r"s3://b/: slow down, for .* s \(503\); .*retry_after_max_s"):
        await lane.call(answering(refusal, 7))
    assert await asyncio.wait_for(lane.call(answering(7)), 30) == 7
    assert (meter.requests["get"], meter.throttled) == (2, 1)


async def test_a_longer_pause_may_be_allowed() -> None:
    lane, _ = made(Limits(retry_after_max_s=0.02))
    assert await lane.call(answering(ThrottledError("503", retry_after_s=0.02), 7)) == 7
    with pytest.raises(ThrottledError):
        await lane.call(answering(ThrottledError("503", retry_after_s=0.03), 7))


async def test_a_server_that_refuses_everything_ends_the_run_long_before_every_request_had_its_tries() -> None:
    lane, meter = made(Limits(attempts=8, backoff_s=0.001), most=200)

    async def refuse() -> None:
        await asyncio.sleep(0.01)
        raise ThrottledError("503")

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(lane.call(refuse))

    with pytest.raises(ExceptionGroup) as caught:
        await all_of_them()
    assert caught.group_contains(ThrottledError)
    assert meter.requests["get"] < 200 * 8 // 2
    assert lane.controller.in_flight == lane.statistics()["waiting"] == 0


async def test_nothing_is_lost_at_a_server_that_refuses_above_a_rate() -> None:
    lane, meter = made(Limits(), most=32)
    tokens, filled_s = 1.0, time.monotonic()

    async def send(number: int) -> int:
        nonlocal tokens, filled_s
        now_s = time.monotonic()
        tokens, filled_s = min(20.0, tokens + (now_s - filled_s) * 400), now_s
        await asyncio.sleep(0.001)
        if tokens < 1:
            raise ThrottledError("503")
        tokens -= 1
        return number

    async def worker(numbers: range) -> list[int]:
        return [await lane.call(partial(send, number)) for number in numbers]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker(range(start, start + 10))) for start in range(0, 320, 10)]
    assert sorted(number for task in tasks for number in task.result()) == list(range(320))
    assert meter.throttled > 0
    assert meter.requests["get"] == 320 + meter.throttled


async def test_requests_pass_in_the_order_in_which_they_came() -> None:
    lane, _ = made(Limits(concurrency=1))
    order: list[int] = []

    async def send(number: int) -> None:
        order.append(number)
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(lane.call(partial(send, number)))
    assert order == list(range(20))


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_request_gives_its_place_to_the_next(turns: int) -> None:
    lane, _ = made(Limits(concurrency=1))
    door = asyncio.Event()
    holding = asyncio.create_task(lane.call(door.wait))
    await asyncio.sleep(0)
    cancelled = [asyncio.create_task(lane.call(answering(1))) for _ in range(5)]
    after = asyncio.create_task(lane.call(answering(2)))
    await asyncio.sleep(0)
    assert lane.statistics()["waiting"] == 6
    door.set()
    for _ in range(turns):  # before, while and after the first of them is let pass
        await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    assert await after == 2
    await holding
    await asyncio.gather(*cancelled, return_exceptions=True)
    assert lane.statistics()["in_flight"] == lane.statistics()["waiting"] == 0


async def test_the_cap_holds_over_many_requests() -> None:
    lane, _ = made(Limits(requests_per_second=500))
    began_s = time.monotonic()

    async def nothing() -> None:
        return

    async with asyncio.TaskGroup() as group:
        for _ in range(101):
            group.create_task(lane.call(nothing))
    assert time.monotonic() - began_s >= 100 / 500


async def test_a_request_that_nothing_holds_back_does_not_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Gate) -> None:
        raise AssertionError("queued")

    monkeypatch.setattr(Gate, "enter", never)
    lane, _ = made()
    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(lane.call(answering(1)))
    assert lane.statistics()["accepted"] == 64


async def test_a_loop_that_is_blocked_shows_as_lag() -> None:
    lane, meter = made()

    async def send() -> None:
        time.sleep(0.25)  # noqa: ASYNC251  the very fault
        await asyncio.sleep(0.01)

    await lane.call(send)
    assert meter.states["get"]()["most_lag_s"] > 0.1
