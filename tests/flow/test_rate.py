"""The learnt rate follows what a server allows, on a simulated clock."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.flow import Controller
from asyncref.model import Limits
from tests.flow.simulated import TokenServer, simulate

PHASE_S = 12.0
SETTLED = 0.4  # of a phase, as in `python -m benchmarks throttle`


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("allowed", [50, 200, 1000])
@pytest.mark.parametrize("depth_s", [0.1, 1.0])
def test_nine_tenths_of_the_allowed_rate_are_used_with_few_refusals_and_a_doubling_is_followed(
    allowed: int, depth_s: float, seed: int
) -> None:
    server = TokenServer(lambda at: allowed if at < PHASE_S else 2 * allowed, depth_s=depth_s)
    seen = simulate(Controller(Limits(), most=64), server, seconds=2 * PHASE_S, seed=seed, late_s=0.002)
    for start_s, limit in ((0.0, allowed), (PHASE_S, 2 * allowed)):
        served, refused = seen.between(start_s + SETTLED * PHASE_S, start_s + PHASE_S)
        assert served >= 0.9 * limit
        assert refused < 0.05
    assert seen.most_tries <= Limits().attempts


@settings(max_examples=30, deadline=None)
@given(
    allowed=st.integers(20, 2000),
    latency_s=st.floats(0.002, 0.1),
    depth_s=st.floats(0.05, 2.0),
    late_s=st.floats(0.0, 0.01),
    seed=st.integers(0, 2**32),
)
def test_no_server_is_left_unused_or_pelted(
    allowed: int, latency_s: float, depth_s: float, late_s: float, seed: int
) -> None:
    server = TokenServer(lambda _: allowed, depth_s=max(depth_s, 3 / allowed), latency_s=latency_s)
    most = max(64, int(2 * allowed * latency_s))
    seen = simulate(Controller(Limits(), most=most), server, seconds=25, workers=most, seed=seed, late_s=late_s)
    served, refused = seen.between(10, 25)
    assert served >= 0.8 * allowed
    assert refused < 0.12


def test_a_rate_that_halves_is_followed_at_once() -> None:
    server = TokenServer(lambda at: 1000 if at < 10 else 100)
    seen = simulate(Controller(Limits(), most=64), server, seconds=20)
    served, refused = seen.between(12, 20)
    assert served >= 90
    assert refused < 0.05
    assert seen.between(10, 12)[1] < 0.4


def test_a_server_without_a_limit_is_never_held_back() -> None:
    controller = Controller(Limits(), most=64)
    seen = simulate(controller, TokenServer(lambda _: math.inf), seconds=5)
    assert seen.between(0, 5)[0] > 0.98 * 64 / 0.02
    assert controller.statistics()["per_second"] == 0


def test_a_limit_that_is_lifted_is_forgotten_within_seconds() -> None:
    server = TokenServer(lambda at: 100 if at < 10 else math.inf)
    seen = simulate(Controller(Limits(), most=64), server, seconds=20)
    assert seen.between(16, 20)[0] > 0.8 * 64 / 0.02


def test_one_refusal_in_a_thousand_at_any_rate_holds_nothing_back() -> None:
    server = TokenServer(lambda _: math.inf, stray=0.001)
    seen = simulate(Controller(Limits(), most=64), server, seconds=20)
    assert seen.between(8, 20)[0] > 0.75 * 64 / 0.02


def test_a_server_that_counts_requests_in_flight_is_kept_just_below_its_bound() -> None:
    server = TokenServer(lambda _: math.inf, places=10, latency_s=0.05)
    seen = simulate(Controller(Limits(), most=64), server, seconds=20)
    served, refused = seen.between(8, 20)
    assert served > 0.75 * 10 / 0.05
    assert refused < 0.06


def test_after_an_outage_the_rate_is_back_within_seconds() -> None:
    server = TokenServer(lambda at: 0.0 if 5 <= at < 15 else 1000)
    controller = Controller(Limits(), most=64)
    seen = simulate(controller, server, seconds=30)
    assert len([at for at in seen.sent_s if 6 <= at < 15]) < 100
    assert seen.between(25, 30)[0] > 900


def test_a_pause_that_the_server_names_holds_everyone_back() -> None:
    server = TokenServer(lambda _: 50, retry_after_s=2.0)
    seen = simulate(Controller(Limits(), most=64), server, seconds=30)
    gaps = [after - before for before, after in pairwise(seen.sent_s)]
    assert max(gaps) > 2.0
    first = seen.refused.index(True)
    quiet_from_s = seen.sent_s[first] + 0.02 * 1.2
    assert not [at for at in seen.sent_s if quiet_from_s < at < quiet_from_s + 1.9]
