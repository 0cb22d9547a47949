"""The order in which parts are handed out: each once, large objects side by side."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.fetch.job import Feed


def parts_in_turn(counts, *, abreast, batch=3):
    """The numbers of the jobs whose parts a feed gives, in its order; jobs have so many parts each."""
    jobs = [SimpleNamespace(number=number, parts=range(count), taken=0) for number, count in enumerate(counts)]
    batches = iter([jobs[at : at + batch] for at in range(0, len(jobs), batch)])

    async def refill():
        return next(batches, [])

    async def run():
        feed = Feed(refill, abreast=abreast)
        given = []
        while (piece := await feed.take()) is not None:
            given.append((piece[0].number, piece[1]))
        return given

    return asyncio.run(run())


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(1, 4))
def test_every_part_is_given_once_and_those_of_an_object_in_order(counts, abreast):
    given_out = parts_in_turn(counts, abreast=abreast)
    assert sorted(given_out) == [(number, part) for number, count in enumerate(counts) for part in range(count)]
    for number, count in enumerate(counts):
        assert [part for of, part in given_out if of == number] == list(range(count))


def test_two_large_objects_come_in_turn_and_small_ones_in_order():
    given_out = parts_in_turn([4, 4, 1, 1], abreast=2)
    assert {number for number, _ in given_out[:4]} == {0, 1}
    assert [number for number, _ in given_out[-2:]] == [2, 3]
    assert [number for number, _ in parts_in_turn([4, 4, 1, 1], abreast=1)] == [0] * 4 + [1] * 4 + [2, 3]
