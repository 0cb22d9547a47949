"""How many requests a busy client has in flight."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.flow import Controller
from asyncref.engine.flow.need import FIRST, LEAST, Need
from asyncref.model import Limits


def settled(*, latency_s: float, page_s: float, most: int = 64, ticks: int = 400, tick_s: float = 0.02) -> int:
    """What is wanted in the end of a client that computes `page_s` for each answer, one after the other."""
    need = Need(most)
    for _ in range(ticks):
        rate = min(need.wanted / (latency_s + page_s), 1 / page_s)
        for _ in range(max(1, round(rate * tick_s))):
            need.answered(latency_s + page_s)
        need.judge(rate * page_s, tick_s)
    return need.wanted


def test_a_client_that_waits_asks_for_more() -> None:
    assert settled(latency_s=0.05, page_s=0.0001) == 64


def test_a_client_that_computes_all_the_time_asks_for_few_at_a_time() -> None:
    assert LEAST <= settled(latency_s=0.0001, page_s=0.002) <= FIRST


@given(st.floats(0.0001, 0.2), st.floats(0.0005, 0.01))
def test_the_client_is_kept_busy_where_enough_may_be_in_flight(latency_s: float, page_s: float) -> None:
    wanted = settled(latency_s=latency_s, page_s=page_s, most=1000)
    assert wanted / (latency_s + page_s) * page_s >= 0.6


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.001, 1), st.integers(0, 9)), max_size=60), st.integers(1, 100))
def test_it_stays_within_its_bounds(turns: list[tuple[float, float, int]], most: int) -> None:
    need = Need(most)
    for share, seconds, answers in turns:
        for _ in range(answers):
            need.answered(seconds / 10)
        need.judge(share, seconds)
        assert min(LEAST, most) <= need.wanted <= most


def test_only_costly_answers_are_held_back() -> None:
    held, free = (Controller(Limits(), most=64, is_costly=costly) for costly in (True, False))
    passed = [sum(not one.admit(1.0) for _ in range(64)) for one in (held, free)]
    assert passed == [FIRST, 64]
    held.was_busy(0.0, 0.02)
    assert held.wanted == 2 * FIRST
    assert held.admit(1.0) == 0.0
    assert free.wanted == 64
    assert math.isinf(free.admit(1.0))
