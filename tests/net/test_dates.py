"""Retry-After in every form that a server may send."""

from __future__ import annotations

import math
import time
from email.utils import formatdate

import pytest

from asyncref import errors
from asyncref.backends.azure import answers as azure
from asyncref.backends.gcs import answers as gcs
from asyncref.backends.http import answers as web
from asyncref.backends.s3 import answers as s3
from asyncref.net.dates import date_s, pause_s

_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
_LATER = "Sun, 06 Nov 1994 08:50:37 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("86400", 86_400.0),
        ("9" * 400, 1e9),
        (_LATER, 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
        ("²", None),
        ("٣", None),
        ("-1", None),
        ("1.5", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
        ("", None),
    ],
)
def test_a_pause_is_a_number_or_a_date_and_all_else_is_none(value: str, seconds: float | None) -> None:
    headers = {"Retry-After": value, "Date": _DATE}
    assert pause_s(headers) == seconds
    assert pause_s({}) is None
    about = (503, headers, b"")
    found: list[Exception] = [
        s3.failure(*about, s3.Asked("u", "b", "a")),
        azure.failure(*about, azure.Asked("u", "b", "a")),
        gcs.failure(*about, gcs.Asked("u", "b", "a"), anon=False),
        web.failure(503, headers, uri="u", folder=False),
    ]
    for error in found:
        assert isinstance(error, errors.ThrottledError)
        assert error.retry_after_s == seconds


def test_without_the_servers_clock_a_date_is_measured_by_ours() -> None:
    pause = pause_s({"Retry-After": formatdate(time.time() + 3600, usegmt=True)})
    assert pause is not None
    assert math.isclose(pause, 3600, abs_tol=60)


@pytest.mark.parametrize("text", [_DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
def test_the_three_forms_of_a_date_are_one_moment(text: str) -> None:
    assert date_s(text) == 784_111_777
