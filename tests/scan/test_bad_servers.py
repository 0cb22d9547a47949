"""Servers that get a listing wrong: a retry that succeeds or one clear error; never a short manifest, never a hang."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pytest

from asyncref.backends import s3 as backend
from asyncref.engine.scan import Target, scan
from asyncref.engine.scan.advance import MOST_EMPTY, MOST_OF_ONE, Advance
from asyncref.errors import AsyncrefError, BrokenBodyError, ConnectionFailedError, ProtocolError, ServerError
from asyncref.manifest import Manifest
from asyncref.model import PAGE_SCHEMA, Cursor, Limits, Page
from tests.servers.crooked import NAME, Answer, Crooked, Lie, crooked_server

HASTY = Limits(backoff_s=0.0, concurrency=4, attempts=3, idle_timeout_s=0.2, connect_timeout_s=2.0)
EMPTY = pa.RecordBatch.from_pylist([], schema=PAGE_SCHEMA)
KEYS = sorted(f"p/{name}{number:02d}" for number in range(23) for name in ("a b+", "é%2F", "n&<"))
MANY = sorted(f"p/{name}{number:02d}" for number in range(100) for name in ("a b+", "é%2F", "n&<"))


def rewritten(pattern: str, by: str | Callable[[re.Match[str]], str], times: int = 0) -> Lie:
    """The page with matches replaced."""

    def lie(answer: Answer) -> None:
        answer.body = re.sub(pattern, by, answer.body.decode(), count=times, flags=re.DOTALL).encode()

    return lie


def changed(change: Callable[[Answer], object]) -> Lie:
    """The page rendered again after a change of its rows or markers."""

    def lie(answer: Answer) -> None:
        change(answer)
        answer.render()

    return lie


def sent(**values: object) -> Lie:
    """The page sent in another way."""

    def lie(answer: Answer) -> None:
        for name, value in values.items():
            setattr(answer, name, value)

    return lie


def _as_asked(answer: Answer) -> None:
    """Go on where this page began."""
    asked = answer.asked
    if answer.versions and answer.following and asked.get("version-id-marker"):
        answer.following = asked["key-marker"], asked["version-id-marker"]
    elif answer.following and asked.get("continuation-token"):
        answer.following = asked["continuation-token"], ""


def _in_circles(answer: Answer) -> None:
    """From the second page back to behind the first one, again and again."""
    if answer.following:
        answer.following = ("p/a b+09", "v0") if answer.versions else ("row 10", "")


def _no_latest(answer: Answer) -> None:
    answer.rows = [(key, version, False) for key, version, _ in answer.rows]


def _all_latest(answer: Answer) -> None:
    answer.rows = [(key, version, True) for key, version, _ in answer.rows]


def _backwards(answer: Answer) -> None:
    answer.rows.reverse()


def _purging(server: Crooked, key: str, *names: str) -> Lie:
    """No lie: versions that a page has shown are removed before the next one."""

    def lie(answer: Answer) -> None:
        if any(row[:2] == (key, names[-1]) for row in answer.rows):
            server.purged |= {(key, name) for name in names}

    return lie


def _again(alone: bool) -> Lie:
    """The first page for ever, or the first key of it, always under new markers."""
    sent_first: list[tuple[str, str, bool]] = []

    def lie(answer: Answer) -> None:
        if not sent_first:
            key = answer.rows[0][0]
            sent_first.extend([(key, f"w{at}", not at) for at in range(10)] if alone else answer.rows)
        if not answer.versions:
            return
        answer.rows = sent_first if not alone else [(*row[:2], row[2] and answer.number == 1) for row in sent_first]
        answer.following = sent_first[-1][0], f"new {answer.number}"
        answer.render()

    return lie


def _without_end(answer: Answer) -> None:
    answer.following = None
    answer.body = re.sub(rb"<IsTruncated>\w+</IsTruncated>", b"<IsTruncated>true</IsTruncated>", answer.body)
    answer.body = re.sub(rb"<Next(\w+)>[^<]*</Next\w+>", b"", answer.body)


ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>"
DOCUMENT = "<!DOCTYPE x [<!ENTITY e 'x'>]>"

UNKNOWABLE = AsyncrefError  # whoever encodes without a word, always, has other keys as far as anybody can tell

# What is wrong; what a scan does if it is wrong once, and always: None is a whole manifest.
LIES: dict[str, tuple[Lie, type[AsyncrefError] | None, type[AsyncrefError] | None]] = {
    "repeats the markers": (changed(_as_asked), None, ProtocolError),
    "goes in circles": (changed(_in_circles), ProtocolError, ProtocolError),
    "truncates the XML": (rewritten(r"</(Contents|Version)>.*", "", 1), None, BrokenBodyError),
    "truncates inside a tag": (rewritten(r"<ETag>.*", "<ETa", 1), None, BrokenBodyError),
    "loses an element": (rewritten(r"<Size>1</Size>", "", 1), None, ProtocolError),
    "loses a closing tag": (rewritten(r"</Key>", "", 1), None, ProtocolError),
    "gives a page backwards": (changed(_backwards), None, None),
    "encodes no keys, and says so": (sent(url=False), None, None),
    "encodes keys, and does not say so": (
        rewritten("<EncodingType>url</EncodingType>", ""),
        ProtocolError,
        UNKNOWABLE,
    ),
    "encodes not all of its keys": (rewritten("<Key>p/a[+]b", "<Key>p/a b", 1), None, ProtocolError),
    "encodes in another way": (rewritten("<EncodingType>url<", "<EncodingType>base64<"), None, ProtocolError),
    "breaks an escape": (rewritten(r"<Key>p/", "<Key>p/%zz", 1), None, ProtocolError),
    "is not UTF-8": (rewritten(r"<Key>p/", "<Key>p/%ff", 1), None, ProtocolError),
    "brings a document type": (rewritten(r"^", DOCUMENT, 1), None, ProtocolError),
    "lies about KeyCount": (rewritten(r"<KeyCount>\d+<", "<KeyCount>999<"), None, None),
    "answers 200 with an error": (sent(body=ERROR), None, ServerError),
    "answers 200 with a web page": (sent(body=b"<html><body>Log in</body></html>"), None, ProtocolError),
    "answers 200 with nothing": (sent(body=b""), None, BrokenBodyError),
    "says that more follows, without a marker": (_without_end, None, ProtocolError),
    "says not whether more follows": (rewritten(r"<IsTruncated>\w+</IsTruncated>", ""), None, ProtocolError),
    "drops the connection": (sent(cut=0), None, BrokenBodyError),
    "drops the connection in mid-page": (sent(cut=600), None, BrokenBodyError),
    "stalls in mid-page": (sent(cut=600, then="stall"), None, BrokenBodyError),
    "never answers": (sent(silent=True), None, BrokenBodyError),
    "is down for a moment": (sent(status=500, body=ERROR), None, ServerError),
}
OBJECT_LIES: dict[str, tuple[Lie, type[AsyncrefError] | None, type[AsyncrefError] | None]] = {
    "loses an entry that it counts": (rewritten(r"<Contents>.*?</Contents>", "", 1), None, UNKNOWABLE),
}
VERSION_LIES: dict[str, tuple[Lie, type[AsyncrefError] | None, type[AsyncrefError] | None]] = {
    "gives every key two latest versions": (changed(_all_latest), None, ProtocolError),
    "gives no key a latest version": (changed(_no_latest), None, ProtocolError),
}
CASES = [
    pytest.param(
        *lie, versions, at, id=f"{name}, {'versions' if versions else 'objects'}, {'always' if at is None else at}"
    )
    for versions in (0, 2)
    for name, lie in {**LIES, **(VERSION_LIES if versions else OBJECT_LIES)}.items()
    for at in (3, None)
    if at or (lie[2] is not UNKNOWABLE and (not versions or name in VERSION_LIES))
]


async def scanned(server: Crooked, *, resume: Path | None = None, at: datetime | None = None) -> Manifest:
    with anyio.fail_after(30):
        return await scan(
            [Target(uri=f"s3://{NAME}/p/")], storage_options=server.storage_options, limits=HASTY, resume=resume, at=at
        )


@pytest.mark.parametrize(("lie", "once", "always", "versions", "at"), CASES)
async def test_what_a_server_gets_wrong_is_made_good_or_named(
    lie: Lie,
    once: type[AsyncrefError] | None,
    always: type[AsyncrefError] | None,
    versions: int,
    at: int | None,
) -> None:
    async with crooked_server(KEYS, versions=versions) as server:
        server.lie, server.lies_at = lie, None if at is None else frozenset({at})
        expected = always if at is None else once
        if expected is None:
            manifest = await scanned(server)
            assert [(entry.path, entry.pin.version) for entry in manifest] == [
                (key[2:], "v0" if versions else None) for key in KEYS
            ]
            assert manifest.record.complete
        else:
            with pytest.raises(expected) as caught:
                await scanned(server)
            assert NAME in str(caught.value)
    assert server.requests["list"] < 100


@pytest.mark.parametrize("lie", [LIES["lies about KeyCount"][0], OBJECT_LIES["loses an entry that it counts"][0]])
async def test_a_server_that_always_counts_more_than_it_sends_is_taken_at_its_rows_and_noted(lie: Lie) -> None:
    async with crooked_server(KEYS) as server:
        honest = await scanned(server)
        asked = server.requests["list"]
        server.lie, server.lies_at = lie, None
        manifest = await scanned(server)
        assert server.requests["list"] <= 2 * asked + 4  # a page was asked for twice, not each
    assert honest.record.notes == ()
    assert ["what it counts is not relied on" in note for note in manifest.record.notes] == [True]


async def test_a_server_that_listens_and_never_speaks_is_an_error_within_the_bounds() -> None:
    async with crooked_server(KEYS) as server:
        server.lie, server.lies_at = sent(silent=True), None
        with pytest.raises((BrokenBodyError, ConnectionFailedError), match=r"0\.2 s"):
            await scanned(server)
        assert server.requests["list"] == 2 < HASTY.attempts  # what never answered is not waited for at length


@pytest.mark.parametrize("versions", [0, 2])
async def test_a_server_that_is_sorted_on_its_first_page_only_hides_nothing(versions: int) -> None:
    inside = [f"p/{number:02d}" for number in range(30)]
    async with crooked_server([], versions=versions, page_rows=6 * (versions or 1)) as server:
        server.keys = [*inside[20:25], "p2/sibling", *inside[:20], *inside[25:]]
        with anyio.fail_after(30):
            manifest = await scan([Target(uri=f"s3://{NAME}/p")], storage_options=server.storage_options, limits=HASTY)
    assert [entry.path for entry in manifest] == [key[2:] for key in inside]


@pytest.fixture
def ten_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine knows how small these servers' pages are, and splits early."""
    monkeypatch.setattr(backend, "TRAITS", replace(backend.TRAITS, page_rows=10))


async def _whole_or_refused(server: Crooked, allowed: type[AsyncrefError] | None, **options: Any) -> None:
    """Which of the two, may depend on the range that a lie befalls; what is made good in one is made good in many."""
    found: list[str] = []
    with suppress(*([AsyncrefError] if allowed else [])):
        manifest = await scanned(server, **options)
        found = [f"p/{entry.path} {entry.pin.version}" for entry in manifest]
    whole = [f"{key} {'v0' if server.versions else None}" for key in server.keys]
    assert found == whole or (allowed and not found)
    assert server.requests["list"] < 200


Expected = type[AsyncrefError] | None
ONCE = [pytest.param(*case.values[:2], case.values[3], id=case.id) for case in CASES if case.values[4]]


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize(("lie", "once", "always", "versions", "at"), CASES)
async def test_what_a_server_gets_wrong_of_one_range_among_many_is_made_good_or_named(
    lie: Lie, once: Expected, always: Expected, versions: int, at: int | None
) -> None:
    async with crooked_server(MANY, versions=versions) as server:
        server.lie, server.lies_at = lie, None if at is None else frozenset({7 * at})
        await _whole_or_refused(server, always if at is None else once)


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize(("lie", "once", "versions"), [case for case in ONCE if case.values[2]])
async def test_what_a_server_gets_wrong_of_a_past_moment_is_made_good_or_named(
    lie: Lie, once: Expected, versions: int
) -> None:
    async with crooked_server(MANY, versions=versions) as server:
        server.lie, server.lies_at = lie, frozenset({20})
        await _whole_or_refused(server, once, at=datetime(2025, 1, 1, tzinfo=UTC))


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize(("lie", "once", "versions"), ONCE)
async def test_what_a_server_gets_wrong_of_a_resumed_scan_is_made_good_or_named(
    lie: Lie, once: Expected, versions: int, tmp_path: Path
) -> None:
    async with crooked_server(MANY, versions=versions) as server:
        server.lie, server.lies_at = sent(cut=0), frozenset(range(20, 1000))
        with pytest.raises(BrokenBodyError):
            await scanned(server, resume=tmp_path)
        server.lie, server.lies_at = lie, frozenset({server.requests["list"] + 5})
        await _whole_or_refused(server, once, resume=tmp_path)


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("versions", [0, 1])
@pytest.mark.parametrize("seed", range(4))
async def test_pages_that_are_sorted_only_inside_are_listed_again_serially(versions: int, seed: int) -> None:
    keys, draw = [f"p/{number:03d}" for number in range(300)], random.Random(seed)
    pages = [keys[start : start + 10] for start in range(0, 300, 10)]
    begun = pages[: draw.randrange(28)]  # in order so far
    rest = pages[len(begun) :][::-1]
    async with crooked_server([], versions=versions) as server:
        server.keys = [key for page in [*begun, *rest] for key in page]
        manifest = await scanned(server)
    assert [f"p/{entry.path}" for entry in manifest] == keys
    assert "serially" in manifest.record.notes[0]


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("versions", [0, 1])
async def test_a_server_that_cannot_start_behind_a_key_is_listed_once_more_not_once_a_worker(versions: int) -> None:
    keys = [f"p/{number:03d}" for number in range(300)]
    async with crooked_server(keys, versions=versions) as server:
        server.starts = False
        manifest = await scanned(server)
    assert [f"p/{entry.path}" for entry in manifest] == keys
    assert "serially" in manifest.record.notes[0]
    assert server.requests["list"] < 2 * 30 + 8


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("count", [12, 30, 60])
@pytest.mark.parametrize("at", [0, 5, -1])
async def test_the_key_behind_one_that_was_passed_over_is_never_lost(count: int, at: int) -> None:
    keys = [f"p/{number:03d}" for number in range(count)]
    async with crooked_server(keys, versions=1) as server:
        server.deep = {keys[at]: 41}
        honest = await scanned(server)
        asked, server.drops = server.requests["list"], True
        manifest = await scanned(server)
        assert server.requests["list"] > asked
    assert [f"p/{entry.path}" for entry in manifest] == [f"p/{entry.path}" for entry in honest] == keys
    assert honest.record.notes == ()
    assert manifest.record.complete


@pytest.mark.parametrize("names", [["v0"], ["v0", "v1", "v2"]])
@pytest.mark.parametrize("keys", [KEYS, KEYS[:12]])
async def test_a_latest_version_that_is_purged_between_two_pages_is_no_fault(names: list[str], keys: list[str]) -> None:
    key = keys[10 - len(names)]  # so that a page ends with the last of those versions
    async with crooked_server(keys, versions=1) as server:
        server.deep = {key: 7}
        server.lie, server.lies_at = _purging(server, key, *names), None
        manifest = await scanned(server)
    assert server.purged
    assert [f"p/{entry.path}" for entry in manifest] == keys
    assert {entry.path: entry.pin.version for entry in manifest}[key[2:]] == "v0"
    assert manifest.record.notes == ()


def _no_objects(answer: Answer) -> None:
    if not answer.versions:
        answer.status, answer.body = 403, b"<Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


@pytest.mark.usefixtures("ten_rows")
async def test_nothing_is_passed_over_where_the_key_behind_it_cannot_be_asked_for() -> None:
    keys = [f"p/{number:03d}" for number in range(12)]
    async with crooked_server(keys, versions=1) as server:
        server.deep, server.drops, server.lie, server.lies_at = {keys[5]: 41}, True, _no_objects, None
        manifest = await scanned(server)
    assert [f"p/{entry.path}" for entry in manifest] == keys
    assert "unproved" in manifest.record.notes[0]


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("cut", range(3, 36, 4))
async def test_a_scan_that_goes_on_behind_a_key_does_not_lose_the_next_one(cut: int, tmp_path: Path) -> None:
    keys = [f"p/{number:03d}" for number in range(300)]
    async with crooked_server(keys, versions=1) as server:
        server.deep = {keys[150]: 41}
        server.lie, server.lies_at = sent(cut=0), frozenset(range(cut, 1000))
        with pytest.raises(BrokenBodyError):
            await scanned(server, resume=tmp_path)
        server.lie, server.drops = None, True
        manifest = await scanned(server, resume=tmp_path)
    assert [f"p/{entry.path}" for entry in manifest] == keys


@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("circle", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("before", [0, 1, 7, 50])
def test_every_circle_of_markers_is_left_soon(versions: bool, circle: int, before: int) -> None:
    places = [
        number if number < before else before + (number - before) % circle for number in range(3 * before + 4 * circle)
    ]
    pages = [_page(f"{place:03d}", Cursor(f"{place}")) for place in places]
    with pytest.raises(ProtocolError, match="advance"):
        _see(Advance("", versions), pages)


def test_the_same_rows_under_new_tokens_are_noticed_but_not_many_versions_of_one_key() -> None:
    _see(Advance("", versions=True), [_page("key", Cursor("key", f"{number}")) for number in range(100)])
    with pytest.raises(ProtocolError, match="advance"):
        _see(Advance("", versions=False), [_page("key", Cursor(f"{number}")) for number in range(100)])


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("split", [False, True])
async def test_the_same_versions_under_new_markers_for_ever_are_an_error(alone: bool, split: bool) -> None:
    async with crooked_server(KEYS if split else KEYS[:4], versions=4) as server:
        server.lie, server.lies_at = _again(alone), None
        with pytest.raises(ProtocolError, match="advance"):
            await scanned(server)
    assert server.requests["list"] < 20


def test_versions_of_one_key_for_ever_are_an_error() -> None:
    pages = (_page("key", Cursor("key", f"{number}"), f"{number}") for number in range(2 * MOST_OF_ONE))
    with pytest.raises(ProtocolError, match="'key' alone"):
        _see(Advance("", versions=True), pages)


def test_empty_pages_for_ever_are_an_error() -> None:
    pages = [_page(None, Cursor(f"{number}")) for number in range(MOST_EMPTY + 1)]
    _see(Advance("", versions=False), pages[1:])
    with pytest.raises(ProtocolError, match="without a row"):
        _see(Advance("", versions=False), pages)


def _see(advance: Advance, pages: Iterable[Page]) -> None:
    for page in pages:
        advance.saw(page)


def _page(key: str | None, cursor: Cursor, version: str | None = None) -> Page:
    return Page(EMPTY, key, key, cursor, seen=int(key is not None), first_version=version)
