"""Where ranges join: what one saw beyond its end, the other has, or is asked for once more."""

from __future__ import annotations

from typing import ClassVar

from asyncref.engine.scan.seams import Seams


def _two(first_row: str | None, beyond: str | None, *, certain: bool = True) -> Seams:
    seams = Seams()
    seams.ended(0, None, "m", beyond, certain=certain)
    if first_row is not None:
        seams.began(1, "m", first_row)
    seams.ended(1, "m", None, None)
    return seams


def test_a_key_that_its_range_does_not_begin_with_is_missing() -> None:
    assert _two("p", "n").missing() == [("m", "n", True)]
    assert _two(None, "n").missing() == [("m", "n", True)]
    assert _two("n", "n").missing() == []
    assert _two("mm", "n").missing() == []


def test_a_key_that_may_have_come_meanwhile_is_told_apart() -> None:
    assert _two("p", "n", certain=False).missing() == [("m", "n", False)]
    assert _two("n", "n", certain=False).missing() == []


def test_what_lies_between_ranges_that_are_to_be_listed_belongs_to_nobody() -> None:
    seams = Seams()
    seams.ended(0, None, "b", "c")
    seams.began(1, "d", "dd")
    seams.ended(1, "d", None, None)
    assert seams.missing() == []


def test_ranges_without_a_row_lie_between_a_key_and_the_one_it_belongs_to() -> None:
    seams = Seams()
    seams.ended(0, None, "b", "k")
    for number, (after, last) in enumerate([("b", "d"), ("d", "f"), ("f", "m"), ("m", None)], start=1):
        seams.ended(number, after, last, None)
    assert seams.missing() == [("f", "k", True)]


def test_what_was_seen_behind_a_place_is_asked_of_the_range_that_starts_there() -> None:
    seams = Seams()
    seams.ended("seen", "b", "b", "c")
    seams.began(0, "b", "d")
    seams.ended(0, "b", "m", None)
    assert seams.missing() == [("b", "c", True)]
    assert seams.proved() == {"b"}


class Counted(str):
    """A key that counts how often keys are compared."""

    __slots__ = ()
    compared: ClassVar[int] = 0

    def __lt__(self, other: str) -> bool:
        Counted.compared += 1
        return str.__lt__(self, other)

    def __le__(self, other: str) -> bool:
        Counted.compared += 1
        return str.__le__(self, other)


def test_many_ranges_are_held_to_each_other_in_a_few_steps_each() -> None:
    seams, count = Seams(), 10_000
    for number in range(count):  # each saw a key of the last range, over all the others, which are empty
        after = Counted(f"{number:06d}") if number else None
        seams.ended(number, after, Counted(f"{number + 1:06d}"), Counted("z"))
    seams.began(count, Counted(f"{count:06d}"), "z")
    seams.ended(count, Counted(f"{count:06d}"), None, None)
    Counted.compared = 0
    assert seams.missing() == []
    assert Counted.compared < 40 * count
