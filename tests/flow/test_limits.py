"""The controller's other bounds: the user's cap, the window, the loop's own lag."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.flow import Controller
from asyncref.errors import OptionError
from asyncref.model import Limits
from tests.flow.simulated import TokenServer, simulate


@settings(max_examples=40, deadline=None)
@given(
    cap=st.floats(0.5, 300),
    latency_s=st.floats(0.001, 0.5),
    late_s=st.floats(0.0, 0.3),
    workers=st.integers(1, 200),
    seed=st.integers(0, 2**32),
)
def test_the_users_cap_is_exact(cap: float, latency_s: float, late_s: float, workers: int, seed: int) -> None:
    controller = Controller(Limits(requests_per_second=cap), most=workers)
    server = TokenServer(lambda _: math.inf, latency_s=latency_s)
    seen = simulate(controller, server, seconds=5, workers=workers, seed=seed, late_s=late_s)
    for number, at in enumerate(seen.sent_s):  # never ahead of its schedule
        assert number <= (at - seen.sent_s[0]) * cap + 1e-3
    for number, at in enumerate(seen.sent_s):  # nor, in any second, beyond what a late timer may make up for
        assert bisect_left(seen.sent_s, at + 1) - number <= cap * 1.05 + 2
    if late_s <= 0.04 and latency_s + late_s < workers / cap / 1.5:
        assert len(seen.sent_s) >= 0.9 * 5 * cap - 1


def test_idle_time_is_not_saved_up() -> None:
    controller = Controller(Limits(requests_per_second=10), most=64)
    assert controller.admit(100.0) == 0.0
    assert controller.admit(160.0) == 0.0
    assert controller.admit(160.0) == pytest.approx(0.1)
    assert controller.admit(160.0, queued=True) == pytest.approx(0.1)


def test_a_cap_below_what_the_server_allows_lets_the_learnt_rate_be() -> None:
    controller = Controller(Limits(requests_per_second=20), most=64)
    controller.throttled(0.02 * controller.admit(0.0) + 0.02, 0.0, None)
    learnt = controller.statistics()["per_second"]
    seen = simulate(controller, TokenServer(lambda _: 100), seconds=20)
    assert seen.between(5, 20)[0] == pytest.approx(20, rel=0.05)
    assert controller.statistics()["per_second"] == learnt


def test_the_window_starts_at_the_backends_and_grows_to_the_users_while_latency_holds() -> None:
    controller = Controller(Limits(concurrency=500), most=64)
    seen = simulate(controller, TokenServer(lambda _: math.inf), seconds=2, workers=1000)
    assert controller.statistics()["window"] == 500
    assert seen.most_in_flight == 500


def test_the_users_concurrency_below_the_backends_is_the_window() -> None:
    controller = Controller(Limits(concurrency=3), most=64)
    assert simulate(controller, TokenServer(lambda _: math.inf), seconds=1, workers=64).most_in_flight == 3


def _answers(controller: Controller, *, rounds: int, latency_s: float, now_s: float) -> float:
    """A full window each round; everything takes `latency_s`."""
    for _ in range(rounds):
        count = 0
        while controller.admit(now_s, queued=True) == 0.0:
            count += 1
        for _ in range(count):
            controller.succeeded(now_s + latency_s, now_s)
        now_s += latency_s
    return now_s


def test_the_window_does_not_grow_into_a_server_that_slows_down() -> None:
    controller = Controller(Limits(concurrency=500), most=64)
    now_s = _answers(controller, rounds=1, latency_s=0.02, now_s=0.0)
    held = controller.statistics()["window"]
    _answers(controller, rounds=20, latency_s=0.2, now_s=now_s)
    assert controller.statistics()["window"] == held


def test_a_busy_client_is_not_read_as_a_slow_server() -> None:
    controller = Controller(Limits(concurrency=500), most=64)
    now_s = _answers(controller, rounds=1, latency_s=0.02, now_s=0.0)
    for _ in range(50):
        controller.lagged(0.06)  # the same answers as above, but now the loop itself is late
    _answers(controller, rounds=20, latency_s=0.2, now_s=now_s)
    assert controller.statistics()["window"] == 500
    assert controller.statistics()["lag_s"] == pytest.approx(0.06, rel=0.01)


@pytest.mark.parametrize("lag_s", [0.05, 0.15, 0.3])
def test_a_moment_in_which_the_client_was_busy_does_not_hold_the_window_for_good(lag_s: float) -> None:
    controller = Controller(Limits(concurrency=1000), most=8)
    server = TokenServer(lambda _: math.inf, latency_s=0.1)
    simulate(controller, server, seconds=6, workers=1000, lag_s=lambda now_s: lag_s * (0.15 < now_s < 0.25))
    assert controller.statistics()["window"] == 1000


def test_statistics_show_the_state() -> None:
    controller = Controller(Limits(), most=64)
    simulate(controller, TokenServer(lambda _: 100), seconds=10)
    state = controller.statistics()
    assert state["per_second"] == pytest.approx(100, rel=0.2)
    assert 0 < state["refused_share"] < 0.1
    assert state["cuts"] > 0
    assert state["window"] == state["most"] == 64
    assert state["latency_s"] == pytest.approx(0.02, rel=0.2)
    assert state["accepted"] > 900


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": -1},
        {"requests_per_second": 0},
        {"attempts": 0},
        {"queue_pages": -1},
        {"idle_timeout_s": math.nan},
        {"memory_bytes": 0},
        {"backoff_s": -1},
    ],
)
def test_a_limit_that_nothing_can_keep_to_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]
