"""The ledger: whatever is cut off it, what it covers and what is left to list are every key once."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.flow import Tally
from asyncref.engine.scan.keyspace import KeySpace
from asyncref.engine.scan.ledger import Block, Coverage, Covered, Ledger, chains, header, line, remaining
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.span import Span
from asyncref.model import Cursor, KeyRange, Page
from tests.scan.test_keyspace import SHAPES

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Store:
    """A modelled listing of versions, newest first; a deleted key's newest version is a delete marker."""

    versions: list[tuple[str, int]]
    page_rows: int
    deleted: frozenset[str] = frozenset()
    inclusive: bool = False

    @property
    def current(self) -> list[str]:
        return [key for key, version in self.versions if version == 0 and key not in self.deleted]

    def page(self, after: str | None, place: int | None) -> tuple[Page, int]:
        if place is None:
            low = (after, -1) if self.inclusive else (after, len(self.versions))
            place = 0 if after is None else bisect_right(self.versions, low)
        stop = place + self.page_rows
        rows = self.versions[place:stop]
        keys = [key for key, version in rows if version == 0 and key not in self.deleted]
        more = Cursor(str(stop)) if stop < len(self.versions) else None
        return Page(batch(keys), rows[0][0] if rows else None, rows[-1][0] if rows else None, more), stop


def batch(keys: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(keys, pa.string())], names=["key"])


@dataclass
class Session:
    """The pipeline's decisions without its requests: pages in any order, flushes at any moment."""

    store: Store
    choose: random.Random
    rows: dict[int, list[str]]
    text: bytes
    gathered: dict[int, tuple[list[Covered], list[str]]] = field(default_factory=dict)

    def run(self, ranges: list[KeyRange], steps: int) -> bool:
        """Take so many pages; whether the listing ended."""
        space = KeySpace(page_rows=self.store.page_rows, repeats=True)
        waiting = [(span, Coverage(span.after, repeats=True), None) for span in space.start_from(ranges)]
        for _ in range(steps):
            if not waiting:
                self.flush()
                return True
            span, coverage, place = waiting.pop(self.choose.randrange(len(waiting)))
            place, going_on = self.take(space, span, coverage, place)
            if going_on:
                waiting.append((span, coverage, place))
            waiting += [(new, Coverage(new.after, repeats=True), None) for new in space.steal(8 - space.active)]
            if self.choose.random() < 0.3:
                self.flush()
        return False

    def take(self, space: KeySpace, span: Span, coverage: Coverage, place: int | None) -> tuple[int, bool]:
        page, place = self.store.page(span.after, place)
        keys = [key for key in page.batch.column(0).to_pylist() if key in KeyRange(span.after, span.last)]
        going_on = space.saw(span, page, kept=len(keys), keys=keys)
        covered = coverage.saw(page, batch(keys), last=span.last, ended=not going_on)
        known, rows = self.gathered.setdefault(span.run, ([], []))
        rows += keys
        if covered is not None:
            known.append(covered)
        else:
            assert not keys, "rows that nothing covers"
        return place, going_on

    def flush(self) -> None:
        blocks = []
        for covered, keys in self.gathered.values():
            if covered:
                offset = len(self.rows)
                self.rows[offset] = keys
                span = KeyRange(covered[0].keys.after, covered[-1].keys.last)
                blocks.append(Block(span, keys[0] if keys else None, None, "rows", offset, (), len(keys)))
        self.gathered = {}
        self.text += line({"blocks": [block.to_json() for block in blocks]})


@given(
    st.dictionaries(SHAPES, st.integers(1, 9), max_size=120),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_after_any_cuts_what_is_covered_and_what_is_left_are_every_key_once(
    versions: dict[str, int], page_rows: int, inclusive: bool, seed: int, runs: list[tuple[int, float]]
) -> None:
    choose = random.Random(seed)
    deleted = frozenset(key for key in sorted(versions) if choose.random() < 0.2)
    store = Store(
        [(key, version) for key in sorted(versions) for version in range(versions[key])], page_rows, deleted, inclusive
    )
    session = Session(store, choose, {}, header({"prefix": ""}, STARTED))
    for steps, cut in [*runs, (10**6, 1.0)]:
        ledger = Ledger.load(session.text)
        blocks = ledger.blocks if ledger else []
        left = remaining(block.keys for block in blocks)
        kept = sorted(key for block in blocks for key in session.rows[block.offset])
        assert kept == [key for key in store.current if not any(key in keys for keys in left)]
        before = session.text if ledger else header({"prefix": ""}, STARTED)
        session = Session(store, choose, session.rows, before)
        ended = session.run(left, steps)
        session.text = session.text[: round(len(session.text) * cut)]
    assert ended
    blocks = Ledger.load(session.text).blocks  # type: ignore[union-attr]
    assert remaining(block.keys for block in blocks) == []
    assert sorted(key for block in blocks for key in session.rows[block.offset]) == store.current


RANGES = st.lists(st.text("abc", min_size=1, max_size=3), unique=True).map(sorted)


@given(RANGES, st.sets(st.integers(0, 9)))
def test_what_is_left_is_the_complement(bounds: list[str], taken: set[int]) -> None:
    ends = [None, *bounds, None]
    ranges = [KeyRange(after, last) for after, last in pairwise(ends)]
    covered = [keys for index, keys in enumerate(ranges) if index in taken]
    left = remaining(reversed(covered))
    for key in (*bounds, "", "b", "zz"):
        assert any(key in keys for keys in left) != any(key in keys for keys in covered)
    assert all(left[index].last != left[index + 1].after for index in range(len(left) - 1))


def test_a_line_that_was_damaged_is_as_if_it_had_never_been_written() -> None:
    first, second = (
        Block(KeyRange(after, last), None, None, "rows", 0, (), 0) for after, last in ((None, "b"), ("b", "d"))
    )
    text = header({}, STARTED) + line({"blocks": [first.to_json()]})
    whole = text + line({"blocks": [second.to_json()]})
    assert Ledger.load(whole).blocks == [first, second]  # type: ignore[union-attr]
    for place in range(len(text) + 1, len(whole) - 1):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert Ledger.load(damaged).blocks == [first]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"garbage", header({}, STARTED)[:-2], line({"format": "asyncref.ledger/9"})]
)
def test_without_its_first_line_there_is_no_ledger(text: bytes) -> None:
    assert Ledger.load(text + line({"blocks": []})) is None


def test_counts_are_the_sum_of_the_lines() -> None:
    told = {"skipped": {"filtered": 2}, "requests": {"list": 3}, "size": 10, "listed": {"seen": 5, "kept": 3}}
    ledger = Ledger.load(header({"a": 1}, STARTED) + line(told) + line({"resumed": 1}) + line(told))
    assert ledger is not None
    assert (ledger.request, ledger.started, ledger.resumes) == ({"a": 1}, STARTED, 1)
    assert (ledger.skipped["filtered"], ledger.requests["list"], ledger.size) == (4, 6, 20)
    assert ledger.listed == Tally(seen=10, kept=6)


def test_a_key_whose_row_has_not_come_is_not_settled_until_its_versions_end() -> None:
    coverage = Coverage(None, repeats=True)
    saw = [
        coverage.saw(Page(batch(["a", "b"]), "a", "c", Cursor("1")), batch(["a", "b"]), last=None, ended=False),
        coverage.saw(Page(batch([]), "c", "c", Cursor("2")), batch([]), last=None, ended=False),
        coverage.saw(Page(batch(["c", "d"]), "c", "d", Cursor("3")), batch(["c", "d"]), last=None, ended=False),
        coverage.saw(Page(batch([]), "d", "d", None), batch([]), last=None, ended=True),
    ]
    assert [covered and covered.keys for covered in saw] == [
        KeyRange(None, "b"),
        None,
        KeyRange("b", "d"),
        KeyRange("d", None),
    ]


def test_a_gap_between_a_range_of_an_earlier_run_and_one_of_this_is_found() -> None:
    def block(after: str | None, last: str | None, first: str | None, beyond: str | None) -> Block:
        return Block(KeyRange(after, last), first, beyond, "rows", 0, (), 0)

    blocks = [block(None, "c", "a", None), block("c", "m", "d", "n")]
    assert len(chains(blocks)) == 1
    for first, gaps in (("n", []), ("o", ["n"])):
        seams = Seams.of(blocks)
        seams.began(0, "m", first)
        seams.ended(0, "m", None, None)
        assert [key for _, key, _ in seams.missing()] == gaps
