"""Which digits dates in keys allow, and that the model of keys makes use of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.scan.alphabet import Alphabet
from asyncref.engine.scan.dates import bounds_in

FORMS = (
    "logs/%Y/%m/%d/%H/part",
    "logs/%Y/%m/%d/00ab",
    "%Y-%m-%dT%H-%M-%S.gz",
    "t/year=%Y/month=%m/day=%d/x",
    "app.%Y%m%d.log",
    "dt=%Y-%m/x",
)
MOMENTS = st.datetimes(  # no zone: these are digits
    datetime(2000, 1, 1),  # noqa: DTZ001
    datetime(2098, 12, 31),  # noqa: DTZ001
)


@given(st.sampled_from(FORMS), st.lists(MOMENTS, min_size=1, max_size=8), st.floats(0, 366))
def test_no_moment_of_a_year_from_the_last_key_on_is_left_out(form: str, moments: list[datetime], days: float) -> None:
    keys = sorted(moment.strftime(form) for moment in moments)
    later = (max(moments) + timedelta(days=days)).strftime(form)
    bounds = bounds_in(keys)
    assert bounds
    year = max(moments).strftime("%Y")
    for key in [key for key in keys if year in key] + [later]:
        for depth, most in bounds.items():
            allowed = most.get(key[depth - 1] if depth else "", most.get(""))
            assert allowed is None or key[depth] <= allowed or not key[depth].isdigit()


@given(st.lists(st.text(min_size=1, max_size=30), max_size=5))
def test_any_keys_can_be_looked_at(keys: list[str]) -> None:
    for depth, most in bounds_in(keys).items():
        assert all(len(key) > depth for key in keys)
        assert set(most.values()) <= set("0123456789")


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["img_0000201201.jpg"],
        ["2024/13/01"],
        ["v2024/notes"],
        ["2024/01/02", "readme"],
        ["a/2024/01/02", "bc/2024/01/02"],
    ],
)
def test_what_is_no_date_in_all_keys_bounds_nothing(keys: list[str]) -> None:
    assert bounds_in(keys) == {}


def test_what_follows_a_date_may_look_like_a_part_of_it_in_some_keys() -> None:
    bounds = bounds_in(["2024/01/02/12ab", "2024/01/02/77ab"])
    assert bounds[5] == {"": "1"}
    assert bounds[9] == {"3": "1"}
    assert 11 not in bounds


def test_months_that_no_calendar_has_take_no_room() -> None:
    keys = [f"logs/2024/01/{day:02d}/{part:04d}" for day in range(1, 29) for part in range(20)]
    alphabet = Alphabet()
    alphabet.learn(keys, None, None, "")
    assert alphabet.distance("logs/2024/13", "logs/2024/99", 0) < 0.02 * alphabet.distance(
        "logs/2024/02", "logs/2024/13", 0
    )
    alphabet.learn([key.replace("/01/", "/42/") for key in keys], None, "logs/2024/4", keys[-1])
    assert alphabet.distance("logs/2024/42", "logs/2024/43", 0) > 0.0  # but what came is there
