"""A provider's ramp-up bounds the rate from the first request on, and doubles in its time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.flow import Controller
from asyncref.engine.flow.ramp import RampUp
from asyncref.model import Limits, Ramp
from tests.flow.simulated import TokenServer, simulate


@settings(max_examples=20, deadline=None)
@given(per_s=st.integers(5, 300), seed=st.integers(0, 2**32))
def test_no_second_sees_more_requests_than_the_ramp_allows(per_s: int, seed: int) -> None:
    controller = Controller(Limits(), most=100, ramp=Ramp(per_s=per_s, doubling_s=1200))
    seen = simulate(controller, TokenServer(lambda _: math.inf, latency_s=0.01), seconds=5, workers=100, seed=seed)
    first = seen.sent_s[0]
    sent = [sum(first + second <= at < first + second + 1 for at in seen.sent_s) for second in range(4)]
    assert max(sent) <= 2 * per_s  # seconds of the ramp and of this count may lie across each other
    assert 4 * per_s * 0.9 - 1 <= sum(sent) <= 5 * per_s * 1.01 + 1


def test_the_rate_doubles_in_its_time_and_idle_time_is_not_saved_up() -> None:
    ramp = RampUp(Ramp(per_s=100, doubling_s=1200))
    assert ramp.wait_s(50.0) == 0.0
    for seconds, allowed in ((0, 100), (600, 141), (1200, 200), (2400, 400)):
        sent = 0
        while not ramp.wait_s(50.0 + seconds):
            ramp.take()
            sent += 1
        assert sent == allowed
        assert ramp.wait_s(50.25 + seconds) == pytest.approx(0.75)


def test_without_a_ramp_nothing_is_held_back() -> None:
    controller = Controller(Limits(), most=10_000)
    assert not any(controller.admit(1.0) for _ in range(6000))
    ramped = Controller(Limits(), most=10_000, ramp=Ramp(per_s=5000, doubling_s=1200))
    assert sum(not ramped.admit(1.0) for _ in range(6000)) == 5000
