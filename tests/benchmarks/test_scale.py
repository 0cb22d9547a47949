"""The modelled bucket of the benchmark scale: its keys, its store, and that its listings are whole and repeatable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.model.clock import IncompleteError, Listing, Seen
from benchmarks.model.keys import LAYOUTS, Keys
from benchmarks.model.splitters import HEX_256, Fixed, Splitter, Stealing
from benchmarks.model.store import Store, Traits

BUSY = Traits(partition_per_s=60.0, split_after_s=1.0)


def listed(keys: Keys, splitter: Splitter, workers: int, traits: Traits = BUSY) -> tuple[list[str], Seen]:
    found: list[str] = []

    def take(start: int, stop: int) -> None:
        found.extend(map(keys.at, range(start, stop)))

    store = Store(traits, seed=7)
    return found, Listing(keys, store, splitter, workers=workers, took=take).run()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 999, 10_000_019, 10**9])
def test_keys_ascend_and_a_keys_rank_leads_back_to_it(layout: str, count: int) -> None:
    keys = Keys(layout, count)
    places = range(count) if count < 1000 else range(0, count, count // 997)
    for place in places:
        key = keys.at(place)
        assert keys.rank_after(key) == place + 1
        assert keys.rank_after(key[:-1]) == place
        if place + 1 < count:
            assert key < keys.at(place + 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", ["stealing", "fixed", "serial"])
def test_every_key_is_listed_once_though_the_store_refuses_and_splits(layout: str, way: str) -> None:
    keys = Keys(layout, 40_000)
    workers = 1 if way == "serial" else 16
    splitter = Stealing(workers, 100) if way == "stealing" else Fixed(workers, HEX_256 if way == "fixed" else ())
    found, seen = listed(keys, splitter, workers, replace(BUSY, page_rows=100))
    assert sorted(found) == [keys.at(place) for place in range(keys.count)]
    assert seen.requests == seen.pages + seen.refused
    assert sum(seen.worker_pages) == seen.pages
    assert way == "serial" or seen.refused or seen.ranges > 200


@settings(max_examples=25, deadline=None)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    count=st.integers(1, 5000),
    page_rows=st.integers(1, 300),
    workers=st.integers(1, 40),
)
def test_any_bucket_is_listed_whole_by_any_number_of_workers(
    layout: str, count: int, page_rows: int, workers: int
) -> None:
    keys = Keys(layout, count)
    found, _ = listed(keys, Stealing(workers, page_rows), workers, Traits(page_rows=page_rows))
    assert len(found) == len(set(found)) == count


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_depends_on_its_seed_alone(layout: str) -> None:
    def once(seed: int) -> Seen:
        store = Store(BUSY, seed)
        seen = Listing(Keys(layout, 200_000), store, Stealing(64, 1000), workers=64, seed=seed).run()
        return replace(seen, own_cpu_s=0.0)

    assert once(3) == once(3)
    assert once(3).wall_s != once(4).wall_s


def test_a_full_partition_refuses_and_is_split_and_then_serves_twice_as_much() -> None:
    store = Store(Traits(partition_per_s=100.0, split_after_s=5.0), seed=0)
    served: list[int] = []
    for second in range(12):
        moments = [second + place / 400 for place in range(400)]
        served.append(sum(not store.refuses(place * 389 % 1000, at_s) for place, at_s in enumerate(moments)))
    assert served[1] == pytest.approx(100, abs=2)
    assert store.partitions >= 2
    assert served[-1] >= 2 * served[1] - 4


def test_the_clients_own_time_is_spent_one_page_after_the_other() -> None:
    listing = Listing(
        Keys("uuid", 100_000), Store(Traits(), 1), Stealing(64, 1000), workers=64, client_s=1.0, tick_s=0.1
    )
    seen = listing.run()
    assert seen.wall_s == pytest.approx(seen.pages * 1.0, rel=0.01)


def test_a_splitter_that_leaves_a_range_out_is_found_out() -> None:
    class Forgetful(Fixed):
        def more(self):
            return [span for span in super().more() if span.run != 5]

    with pytest.raises(IncompleteError, match="the ledger leaves"):
        listed(Keys("uuid", 5000), Forgetful(300, HEX_256), 300)
