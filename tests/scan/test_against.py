"""Scans that know a former manifest: split at its keys from the start, and never otherwise different."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import asyncref
from asyncref.engine.scan import Target, scan
from asyncref.engine.scan.hints import hints_of
from asyncref.errors import OptionError
from asyncref.manifest import Manifest
from asyncref.model import Limits, Source
from asyncref.testing import MemoryStore, mounted

QUICK = Limits(backoff_s=0.0, concurrency=8)
KEYS = [f"p/{number:05d}" for number in range(4_000)]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10)
    for key in KEYS:
        store.seed(key, b"x")
    with mounted(store):
        yield store


async def scanned(uri: str, **options: object) -> Manifest:
    return await scan([Target(uri=uri)], limits=QUICK, **options)  # type: ignore[arg-type]


async def test_a_former_manifest_splits_the_listing_and_changes_nothing(store: MemoryStore) -> None:
    former = await scanned("memory://b/p")
    for number in range(500):
        store.seed(f"p/0{number:03d}-new", b"y")
        store.delete(KEYS[3 * number])
    alone = await scanned("memory://b/p")
    store.requests.clear()
    with_former = await scanned("memory://b/p", against=former)
    assert (with_former.digest, with_former.identity) == (alone.digest, alone.identity)
    assert store.requests["list"] <= 1.1 * len(alone) / 10


@pytest.mark.usefixtures("store")
async def test_hints_part_the_keys_evenly_whatever_the_name_of_the_paths() -> None:
    former = await scan([Target(uri="memory://b/p", name="train")], limits=QUICK)
    hints = hints_of(former, former.sources[0], page_rows=10)
    assert len(hints) == len(KEYS) / 40
    places = [KEYS.index(hint) for hint in hints]
    steps = {after - before for before, after in pairwise(places)}
    assert steps <= {39, 40}
    under = Source(uri="", scheme="memory", container="b", prefix="p/01")
    assert hints_of(former, under, page_rows=10) == [hint for hint in hints if hint.startswith("p/01")]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("place", [{"container": "other"}, {"prefix": "q/"}, {"endpoint": "http://elsewhere"}])
async def test_a_manifest_of_another_place_gives_no_hints(place: dict[str, str]) -> None:
    former = await scanned("memory://b/p/")
    source = Source(**{"uri": "", "scheme": "memory", "container": "b", "prefix": "p/", **place})
    assert hints_of(former, source, page_rows=10) == []


async def test_a_small_manifest_gives_no_hints_and_costs_no_request(store: MemoryStore) -> None:
    store.page_rows = 1000
    former = await scanned("memory://b/p/")
    store.requests.clear()
    await scanned("memory://b/p/", against=former)
    assert store.requests["list"] <= 5


@pytest.mark.usefixtures("store")
async def test_the_former_manifest_may_be_a_file_and_never_a_uri(tmp_path: Path) -> None:
    file = tmp_path / "former.parquet"
    former = await asyncref.scan("memory://b/p")
    former.save(file)
    for against in (file, str(file), former):
        assert (await asyncref.scan("memory://b/p", against=against)).identity == former.identity
    with pytest.raises(OptionError, match="against="):
        await asyncref.scan("memory://b/p", against="memory://b/p")
