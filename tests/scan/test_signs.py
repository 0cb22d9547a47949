"""What the splitter expects of characters it has and has not seen, and how much it may ask for in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.scan.alphabet import Alphabet
from asyncref.engine.scan.outlook import look
from asyncref.engine.scan.signs import Place, Signs, legal, likely_beside
from asyncref.engine.scan.waste import (
    FREE_WASTE,
    MOST_PROVEN,
    PROVEN_FROM,
    TRUST,
    TRUST_FIRST,
    WASTE_A_PAGE,
    WASTE_IDLE,
    allowance,
)

TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
COUNTS = st.integers(0, 10**6)


def place_of(came: str, passed: tuple[tuple[str, str], ...] = ()) -> Place:
    place = Place()
    for character in came:
        place.came_to(character)
    for low, high in passed:
        place.went_over(ord(low), ord(high) + 1)
    return place


@given(TEXTS, st.integers(0, 5))
def test_a_character_that_came_is_likelier_for_it_and_others_are_not(came: str, drawn: int) -> None:
    prior = likely_beside(set(came), set())
    place = place_of(came)
    place.drawn = drawn
    weights = place.weights(prior)
    assert list(weights) == list(prior) == sorted(prior)
    for character, weight in weights.items():
        assert weight >= prior[character] if character in came else weight <= prior[character]


def test_digits_make_digits_likely_and_letters_those_between_them() -> None:
    digits, letters = likely_beside(set("37"), set()), likely_beside(set("bf"), set())
    assert all(digits[each] == 1.0 for each in "0123456789")
    assert letters["d"] > letters["z"] > letters.get("7", 0.0)
    assert likely_beside(set("3"), set("a"))["a"] == 1.0  # a hexadecimal number


def test_what_a_listing_went_over_is_expected_less_each_time() -> None:
    prior = likely_beside(set("ah"), set())
    found = [place_of("ah", (("b", "g"),) * times).weights(prior)["d"] for times in range(4)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 4
    once = place_of("ah", (("b", "g"),)).weights(prior)
    assert once["d"] < once["m"] < place_of("ah").weights(prior)["m"]  # outside it is a sign at most


def test_a_digit_that_a_few_keys_do_not_show_is_still_expected() -> None:
    number = set("0123456789abcdef")
    place = place_of("0234589abd")
    place.drawn = 6
    weights = place.weights(likely_beside(number, number))
    assert min(weights[each] for each in "167cef") > 0.3
    place.drawn = 200
    assert max(place.weights(likely_beside(number, number))[each] for each in "167cef") < 0.01


def test_where_most_that_could_be_tested_was_not_there_the_rest_is_not_expected_either() -> None:
    prior = likely_beside(set("aeiou"), set())
    vowels = place_of("aeiou", (("b", "d"), ("f", "h"), ("j", "k"), ("p", "t")))
    assert vowels.weights(prior)["m"] < place_of("aeiou").weights(prior)["m"] / 2


@given(TEXTS, st.lists(st.integers(0xA0, 0x10FFF0).map(lambda point: ord(legal(point))), max_size=12, unique=True))
def test_every_place_of_the_line_belongs_to_one_character(ascii_text: str, marks: list[int]) -> None:
    signs = Signs(place_of(ascii_text).weights(likely_beside(set(ascii_text), set())), sorted(marks), 0.5)
    before = 0.0
    for step in range(101):
        start, share = signs.place(signs.character(step / 100))
        assert 0.0 <= before <= start + 1e-9 <= 1.0 + 1e-9
        assert 0.0 <= share <= 1.0
        before = start
    for point in marks:
        start, share = signs.place(chr(point))
        assert signs.character(start + share / 2) == chr(point)


@given(COUNTS, COUNTS, st.floats(0, 1e6), st.tuples(COUNTS, COUNTS), st.floats(0, 1))
def test_requests_in_vain_are_a_bounded_share(
    pages: int, proven: int, expected: float, cuts: tuple[int, int], idle: float
) -> None:
    hits, misses = cuts
    allowed = allowance(pages, proven=proven, expected=expected, hits=hits, misses=misses, idle=idle)
    counted = pages + min(expected, TRUST_FIRST + TRUST * pages)
    most = FREE_WASTE + (0 if misses else MOST_PROVEN) + 15 + (WASTE_A_PAGE + WASTE_IDLE) * counted
    assert FREE_WASTE <= allowed <= most
    assert allowed <= allowance(pages + 1, proven=proven, expected=expected, hits=hits + 1, misses=misses, idle=idle)
    assert allowance(pages, proven=0, expected=expected, hits=0, misses=misses, idle=idle) == allowance(
        pages, proven=0, expected=0.0, hits=0, misses=0, idle=idle
    )  # where nothing vouches for them, expected pages count nothing


def test_both_sides_of_a_cut_that_go_on_pay_for_one_more_until_a_cut_was_in_vain() -> None:
    def allowed(proven: int, misses: int, pages: int = PROVEN_FROM) -> float:
        return allowance(pages, proven=proven, expected=0.0, hits=1, misses=misses, idle=1.0)

    assert [allowed(proven, 0) for proven in (0, 1, 2, 3)] == [1.0, 1.0, 2.0, 3.0]
    assert allowed(3, 1) == FREE_WASTE
    assert allowed(3, 0, PROVEN_FROM - 1) == FREE_WASTE


@given(st.sampled_from([100.0, 1000.0, 5000.0]))
def test_a_border_is_ahead_and_ends_a_subtree(rows: float) -> None:
    keys = [f"d/{folder:03d}/{number:04d}" for folder in range(40) for number in range(0, 1000, 50)]
    alphabet = Alphabet()
    alphabet.learn(keys, None, None, "")
    ahead = look(
        alphabet, stretch=(keys[0], keys[-1], 40_000), read=(keys[0], 40_000), last=None, beyond=None, prefix=2
    )
    border, exact = ahead.border_after(rows, rows / 4), ahead.key_after(rows, 1.0)
    assert keys[-1] < border
    assert len(border) <= len(exact)


@pytest.mark.parametrize("depth", [2, 3, 9])
def test_a_key_that_ends_there_lies_below_all_that_go_on(depth: int) -> None:
    alphabet = Alphabet()
    alphabet.learn(["abc", "abd", "abe"], None, None, "")
    assert alphabet.fraction("ab", depth) == 0.0
    assert alphabet.fraction("abe", 2) > alphabet.fraction("abd", 2) > 0.0
