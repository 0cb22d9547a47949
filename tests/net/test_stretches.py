"""What answers to ranged GETs say of themselves, and bodies that do not keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.errors import BrokenBodyError, ProtocolError
from asyncref.model import Answer
from asyncref.net.stretches import Stretch, counted, stretch_of
from asyncref.net.wire.head import Headers

NUMBERS = st.integers(0, 2**62)


def said(**headers: str) -> Headers:
    return Headers([(name.replace("_", "-"), value) for name, value in headers.items()])


@given(NUMBERS, st.integers(1, 2**40), NUMBERS | st.none())
def test_a_part_is_where_it_says(start: int, length: int, total: int | None) -> None:
    of = "*" if total is None else str(total)
    headers = said(content_range=f"bytes {start}-{start + length - 1}/{of}", content_length=str(length))
    assert stretch_of(206, headers, uri="u") == Stretch(start, start + length, total)


@given(NUMBERS)
def test_a_whole_answer_is_as_long_as_it_says(length: int) -> None:
    assert stretch_of(200, said(content_length=str(length)), uri="u") == Stretch(0, length, length)


@pytest.mark.parametrize("length", ["", "-1", "1e3", "\u0661", "9" * 5000])
def test_a_length_that_is_no_number_is_none(length: str) -> None:
    assert stretch_of(200, said(content_length=length), uri="u") == Stretch(0, None, None)


@pytest.mark.parametrize(
    ("given_range", "length"),
    [
        ("", "3"),
        ("bytes */9", "3"),
        ("bytes 0-2", "3"),
        ("octets 0-2/9", "3"),
        ("bytes 0-2/9", "4"),
        (f"bytes 0-2/{'9' * 5000}", "3"),
    ],
)
def test_a_part_without_its_range_or_of_another_length_is_refused(given_range: str, length: str) -> None:
    with pytest.raises(ProtocolError, match="a part"):
        stretch_of(206, said(content_range=given_range, content_length=length), uri="u")


@pytest.mark.parametrize(("stop", "chunks", "whole"), [(5, 2, True), (6, 2, False), (4, 2, False), (None, 2, True)])
async def test_a_body_that_ends_elsewhere_is_broken(stop: int | None, chunks: int, whole: bool) -> None:
    async def body() -> AsyncIterator[bytes]:
        for at in range(chunks):
            yield b"abc"[: 3 - at]

    async def read() -> bytes:
        return b"".join([chunk async for chunk in counted(body(), Answer(0, stop, stop), uri="u")])

    if whole:
        assert await read() == b"abcab"
        return
    with pytest.raises(BrokenBodyError, match="are missing"):
        await read()
