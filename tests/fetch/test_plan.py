"""What a fetch asks for, and which answers it takes: the pure part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.fetch.plan import (
    PART_BYTES,
    Attempt,
    Part,
    Parts,
    Step,
    after,
    check,
    first,
    found,
    outcome,
    parts_of,
    request_for,
)
from asyncref.errors import (
    AccessDeniedError,
    ArchivedError,
    ChangedError,
    NotFoundError,
    ProtocolError,
    StorageError,
)
from asyncref.model import Answer, Pin, ReadRequest

ETAG = '"0123456789abcdef0123456789abcdef"'
OTHER = '"ffffffffffffffffffffffffffffffff"'
GONE, CHANGED, DENIED = NotFoundError("gone"), ChangedError("changed"), AccessDeniedError("denied")


@settings(deadline=None)
@given(st.integers(0, 2**36))
def test_parts_cover_an_object_once_and_are_neither_small_nor_large(size_bytes: int) -> None:
    parts = list(parts_of(size_bytes))
    assert parts[0].start == 0
    assert parts[-1].stop == size_bytes
    assert all(one.stop == following.start for one, following in pairwise(parts))
    lengths = [part.stop - part.start for part in parts if part.stop is not None]
    assert max(lengths) <= PART_BYTES
    if len(parts) > 1:
        assert min(lengths[:-1]) >= PART_BYTES // 2
        assert lengths[-1] > PART_BYTES // 2 - 4096 * len(parts)


def test_an_object_of_unknown_size_is_one_part_without_an_end() -> None:
    assert parts_of(None) == Parts(None, PART_BYTES)
    assert list(parts_of(None)) == [Part(0, None)]


def walk(pin: Pin, *refusals: StorageError) -> list[Attempt | None]:
    attempts: list[Attempt | None] = [first(pin, versioned=True)]
    for refusal in refusals:
        last = attempts[-1]
        assert last is not None
        attempts.append(after(last, refusal, pin, versioned=True))
    return attempts


def test_a_version_is_asked_for_with_its_etag_and_nothing_follows_when_it_is_gone() -> None:
    pin = Pin(size=1, etag=ETAG, version="v1")
    assert walk(pin, GONE) == [Attempt(Step.VERSION, "v1", ETAG), None]


def test_a_denied_version_is_asked_for_once_more_without_it() -> None:
    pin = Pin(size=1, etag=ETAG, version="v1")
    assert walk(pin, DENIED, CHANGED)[1:] == [Attempt(Step.UNVERSIONED, None, ETAG), None]


@pytest.mark.parametrize("version", ["null", None])
@pytest.mark.parametrize("refusal", [GONE, CHANGED, DENIED])
def test_a_weak_version_is_current_then_null_then_searched_for(version: str | None, refusal: StorageError) -> None:
    pin = Pin(size=1, etag=ETAG, version=version)
    assert walk(pin, refusal, CHANGED) == [
        Attempt(Step.CURRENT, None, ETAG),
        Attempt(Step.NULL, "null", ETAG),
        Attempt(Step.SEARCH),
    ]


def test_what_no_other_request_can_cure_has_no_next_attempt() -> None:
    pin = Pin(size=1, etag=ETAG, version="null")
    assert walk(pin, ArchivedError("archived"))[-1] is None
    attempt = first(pin, versioned=False)
    assert after(attempt, CHANGED, pin, versioned=False) is None


@settings(deadline=None)
@given(version=st.sampled_from([None, "null", "v1"]), refusals=st.lists(st.sampled_from([GONE, CHANGED, DENIED])))
def test_a_weak_etag_is_never_sent_and_every_sequence_ends(version: str | None, refusals: list[StorageError]) -> None:
    pin = Pin(size=1, etag=f"W/{ETAG}", version=version)
    attempt: Attempt | None = first(pin, versioned=True)
    for count, refusal in enumerate(refusals):
        if attempt is None:
            break
        assert attempt.if_match is None
        assert count < 4
        attempt = after(attempt, refusal, pin, versioned=True)


def test_a_search_finds_the_newest_version_with_the_pinned_etag_and_size() -> None:
    history = [("v3", OTHER, 5), ("v2", ETAG, 4), ("v1", ETAG, 5), ("null", ETAG, 5)]
    assert found(history, Pin(size=5, etag=ETAG)) == Attempt(Step.FOUND, "v1", ETAG)
    assert found(history[:2], Pin(size=5, etag=ETAG)) is None


def test_a_whole_object_is_asked_for_without_a_range_and_the_rest_of_one_with_it() -> None:
    pin, attempt = Pin(size=10, etag=ETAG), Attempt(Step.CURRENT, None, ETAG)
    assert request_for("k", attempt, Part(0, 10), pin) == ReadRequest("k", 0, None, None, ETAG)
    assert request_for("k", attempt, Part(4, 10), pin) == ReadRequest("k", 4, 10, None, ETAG)
    assert request_for("k", attempt, Part(0, 5), pin) == ReadRequest("k", 0, 5, None, ETAG)
    assert request_for("k", attempt, Part(0, 0), Pin(size=0, etag=ETAG)).stop is None


PIN = Pin(size=100, etag=ETAG, version="v1")
RANGE = ReadRequest("k", 10, 20, "v1", ETAG)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(10, 20, 100, ETAG, "v1"),
        Answer(10, 20, None, ETAG, None),
        Answer(10, None, 100, None, "v1"),
        Answer(10, 20, 100, f"W/{ETAG}", "v1"),
        Answer(10, 20, 100, ETAG.strip('"'), "v1"),
    ],
)
def test_the_pinned_range_is_taken(answer: Answer) -> None:
    assert check(answer, RANGE, PIN, uri="u")


@pytest.mark.parametrize(
    "answer",
    [Answer(10, 20, 100, OTHER, "v1"), Answer(10, 20, 100, ETAG, "v2"), Answer(10, 20, 101, ETAG, "v1")],
)
def test_another_object_is_refused_although_the_server_granted_it(answer: Answer) -> None:
    with pytest.raises(ChangedError, match="another object came"):
        check(answer, RANGE, PIN, uri="u")


@pytest.mark.parametrize("answer", [Answer(11, 20, 100, ETAG), Answer(10, 21, 100, ETAG), Answer(0, 10, 100, ETAG)])
def test_another_range_is_refused(answer: Answer) -> None:
    with pytest.raises(ProtocolError, match="asked for"):
        check(answer, RANGE, PIN, uri="u")


def test_a_whole_object_in_place_of_a_range_is_told_apart() -> None:
    assert check(Answer(0, 100, 100, ETAG), RANGE, PIN, uri="u") is False
    assert check(Answer(0, 100, 100, ETAG), ReadRequest("k", 0, 20, None, ETAG), PIN, uri="u") is False


def test_an_answer_that_names_nothing_is_not_believed() -> None:
    with pytest.raises(ProtocolError, match="neither ETag nor version"):
        check(Answer(10, 20, 100), RANGE, PIN, uri="u")


def test_a_file_needs_no_etag_because_its_md5_is_checked_later() -> None:
    pin = Pin(size=100, checksum="md5:" + "0" * 32)
    assert check(Answer(0, 100, 100), ReadRequest("k"), pin, uri="u")


def test_a_denial_outranks_whatever_else_was_answered() -> None:
    assert isinstance(outcome([CHANGED, DENIED], "u"), AccessDeniedError)
    assert "s3:GetObjectVersion" in str(outcome([CHANGED, DENIED], "u"))
    assert "overwritten" in str(outcome([CHANGED, GONE], "u"))
    assert "gone" in str(outcome([GONE, CHANGED], "u"))
