"""Where ranges join: what one saw beyond its end, the other has, or is asked for once more."""

from __future__ import annotations

from asyncref.engine.scan.seams import Seams


def _two(first_row: str | None, beyond: str | None, *, certain: bool = True) -> Seams:
    seams = Seams()
    seams.ended(0, None, "m", beyond, certain=certain)
    if first_row is not None:
        seams.began(1, "m", first_row)
    seams.ended(1, "m", None, None)
    return seams


def test_a_key_that_its_range_does_not_begin_with_is_a_gap() -> None:
    assert _two("p", "n").gaps() == ["n"]
    assert _two(None, "n").gaps() == ["n"]
    assert _two("n", "n").gaps() == []
    assert _two("mm", "n").gaps() == []


def test_a_key_that_may_have_come_meanwhile_is_a_doubt_and_no_gap() -> None:
    seams = _two("p", "n", certain=False)
    assert (seams.gaps(), seams.doubts()) == ([], [("m", "n")])
    assert _two("n", "n", certain=False).doubts() == []


def test_what_lies_between_ranges_that_are_to_be_listed_belongs_to_nobody() -> None:
    seams = Seams()
    seams.ended(0, None, "b", "c")
    seams.began(1, "d", "dd")
    seams.ended(1, "d", None, None)
    assert seams.gaps() == []
