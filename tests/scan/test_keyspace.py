"""The partition of a key space: every key exactly once, whatever the keys, the pages and who answers when."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.scan.keyspace import KeySpace
from asyncref.engine.scan.seams import Seams
from asyncref.engine.scan.signs import is_legal
from asyncref.engine.scan.span import Span
from asyncref.model import Cursor, Page

EMPTY = pa.RecordBatch.from_pylist([], schema=pa.schema([]))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
SHAPES = st.one_of(
    TEXT,
    st.integers(0, 500).map(lambda number: f"obj-{number:06d}"),
    st.tuples(st.integers(2020, 2024), st.integers(1, 12), st.integers(1, 28)).map(
        lambda day: f"logs/{day[0]}/{day[1]:02d}/{day[2]:02d}/part"
    ),
    st.integers(0, 2**64).map(lambda number: f"{number:016x}"),
    st.integers(0x1F300, 0x1F5FF).map(lambda point: f"\U0001f300{chr(point)}"),
)


@dataclass
class Server:
    """A modelled listing: the keys after a marker, so many a page."""

    keys: list[str]
    page_rows: int
    inclusive: bool = False
    drops: bool = False
    requests: int = 0
    markers: list[str] = field(default_factory=list)

    def page(self, after: str | None, *, going_on: bool) -> tuple[list[str], bool]:
        self.requests += 1
        start = 0
        if after is not None:
            inclusive = self.inclusive and not going_on
            start = (bisect_left if inclusive else bisect_right)(self.keys, after)
            if not going_on:
                self.markers.append(after)
                start += self.drops and after not in self.keys  # as moto 5's ListObjectVersions does
        rows = self.keys[start : start + self.page_rows]
        return rows, start + self.page_rows < len(self.keys)


def listed(server: Server, workers: int, choose: random.Random, seams: Seams | None = None) -> dict[int, list[str]]:
    """Drive the real splitter with answers in a random order; the keys that each run kept."""
    seams = seams or Seams()
    space = KeySpace(page_rows=server.page_rows)
    runs: dict[int, list[str]] = {}
    waiting: list[tuple[Span, str | None, bool]] = [(space.start(), None, False)]
    while waiting:
        span, after, going_on = waiting.pop(choose.randrange(len(waiting)))
        rows, more = server.page(after, going_on=going_on)
        low = 0 if span.after is None else bisect_right(rows, span.after)
        high = len(rows) if span.last is None else bisect_right(rows, span.last)
        kept = rows[low:high]
        page = Page(EMPTY, rows[0] if rows else None, rows[-1] if rows else None, Cursor("more") if more else None)
        goes_on = space.saw(span, page, kept=len(kept), keys=rows[1:-1:3])
        runs.setdefault(span.run, []).extend(kept)
        if kept:
            seams.began(span.run, span.after, kept[0])
        if not goes_on:
            seams.ended(span.run, span.after, span.last, rows[high] if high < len(rows) else None)
        if goes_on:
            waiting.append((span, rows[-1], True))
        waiting += [(stolen, stolen.after, False) for stolen in space.steal(workers - space.active)]
    return runs


@given(st.sets(SHAPES, max_size=400), st.integers(1, 40), st.integers(1, 16), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_every_key_is_in_one_run_once_and_in_order(
    keys: set[str], page_rows: int, workers: int, inclusive: bool, seed: int
) -> None:
    server, seams = Server(sorted(keys), page_rows, inclusive), Seams()
    runs = listed(server, workers, random.Random(seed), seams)
    assert seams.missing() == []
    assert sorted(key for run in runs.values() for key in run) == server.keys
    assert all(run == sorted(run) for run in runs.values())


@given(st.sets(SHAPES, min_size=100, max_size=400), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_a_server_that_drops_the_key_after_an_invented_marker_is_found_out(keys: set[str], seed: int) -> None:
    server, seams = Server(sorted(keys), page_rows=5, drops=True), Seams()
    runs = listed(server, 8, random.Random(seed), seams)
    lost = set(server.keys) - {key for run in runs.values() for key in run}
    assert bool(seams.missing()) == bool(lost)


@given(st.sets(SHAPES, min_size=50, max_size=400), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_pivot_is_a_legal_key(keys: set[str], seed: int) -> None:
    server = Server(sorted(keys), page_rows=5)
    listed(server, 8, random.Random(seed))
    seen = {character for key in keys for character in key}
    assert all(is_legal(character) or character in seen for marker in server.markers for character in marker)


def test_a_listing_that_ends_in_its_first_page_costs_one_request() -> None:
    server = Server([f"{number:03d}" for number in range(10)], page_rows=1000)
    listed(server, 64, random.Random(1))
    assert server.requests == 1


@pytest.mark.parametrize(
    "keys",
    [
        [f"obj-{number:09d}" for number in range(20_000)],
        sorted(f"{random.Random(number).getrandbits(128):032x}" for number in range(20_000)),
        [f"images/{number // 200:04d}/{number % 200:03d}.jpg" for number in range(20_000)],
        [f"train/{number % 20:02d}/f{number:05d}" for number in range(20_000)],
        [
            f"train/{number // 500:03d}/{number:05d}.jpg"
            if number % 4
            else f"by hash/{random.Random(number).getrandbits(128):032x}"
            for number in range(20_000)
        ],
    ],
    ids=["counter", "uuid", "folders", "few folders", "hashes beside folders"],
)
def test_twenty_pages_cost_at_most_twenty_two_requests(keys: list[str]) -> None:
    for seed in range(40):
        server = Server(sorted(keys), page_rows=1000)
        listed(server, 64, random.Random(seed))
        assert server.requests <= 22


def test_a_large_listing_is_spread_over_workers() -> None:
    server = Server(sorted(f"{random.Random(number).getrandbits(128):032x}" for number in range(50_000)), page_rows=100)
    runs = listed(server, 16, random.Random(1))
    assert len(runs) >= 16
    assert server.requests <= 550


@pytest.mark.parametrize("vowels", ["aeiou", "aou"])
def test_whether_anything_lies_above_all_keys_is_asked_few_times(vowels: str) -> None:
    words = [f"{one}{two}{end}" for one in "bcdfglmnprstw" for two in vowels for end in ("", "n", "rk")]
    choose = random.Random(3)
    keys = sorted({f"all/{choose.choice(words)}_{choose.getrandbits(32):08x}" for _ in range(20_000)})
    server = Server(keys, page_rows=100)
    runs = listed(server, 64, random.Random(1))
    assert sum(marker >= "all0" for marker in server.markers) <= 2
    assert len(runs) >= 32
    assert server.requests <= 1.1 * len(keys) / 100 + 5


def listed_versions(deep: int, pages: int, seed: int) -> tuple[list[str], list[str]]:
    """300 keys, one of which has so many pages of versions: the rows, and those kept."""
    choose, page_rows, keys = random.Random(seed), 5, [f"k-{number:04d}" for number in range(300)]
    rows = [key for number, key in enumerate(keys) for _ in range(1 + pages * page_rows * (number == deep))]
    space = KeySpace(page_rows=page_rows, repeats=True)
    waiting: list[tuple[Span, int]] = [(space.start(), 0)]
    found: list[str] = []
    while waiting:
        span, at = waiting.pop(choose.randrange(len(waiting)))
        page = rows[at : at + page_rows]
        kept = [key for key in page if (span.after or "") < key and (span.last is None or key <= span.last)]
        more = at + page_rows < len(rows)
        ends = (page[0], page[-1]) if page else (None, None)
        found += kept
        if space.saw(span, Page(EMPTY, *ends, Cursor("more") if more else None), kept=len(kept), keys=page[1:-1:3]):
            waiting.append((span, at + page_rows))
        waiting += [(stolen, bisect_right(rows, stolen.after or "")) for stolen in space.steal(16 - space.active)]
    return rows, sorted(found)


@given(st.integers(0, 299), st.integers(0, 120), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_version_of_a_key_with_pages_of_them_is_in_one_run_once(deep: int, pages: int, seed: int) -> None:
    rows, found = listed_versions(deep, pages, seed)
    assert found == rows
