"""Damaged bytes give a whole result or one known error, and a page that was cut is never taken for a shorter one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.damage import damaged
from fuzz.targets import CORPUS, FOUND, TARGETS, seeds

FEW = {"parquet": 15, "urls-parquet": 15}
SEEDS = {name: seeds(name) for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_a_good_input(name: str) -> None:
    assert [TARGETS[name].feed(data) for data in SEEDS[name]] == [True] * len(SEEDS[name])


@pytest.mark.parametrize("name", TARGETS)
def test_damage_gives_a_whole_result_or_one_known_error(name: str) -> None:
    @settings(max_examples=FEW.get(name, 60), deadline=None, derandomize=True)
    @given(st.integers(0, 2**64), st.integers(1, 4))
    def feed(seed: int, most: int) -> None:
        TARGETS[name].feed(damaged(SEEDS[name], random.Random(seed), most=most))

    feed()


@pytest.mark.parametrize(
    "name", ["s3-objects", "s3-versions", "azure", "gcs", "index-json", "wandb", "parquet", "answer", "urls-parquet"]
)
def test_what_is_cut_is_refused_wherever_it_is_cut(name: str) -> None:
    for data in SEEDS[name]:
        whole = len(data.rstrip())
        step = max(1, whole // 200)
        assert not any(TARGETS[name].feed(data[:stop]) for stop in range(0, whole, step))


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_no_surprise_again(path: Path) -> None:
    TARGETS[path.parent.name].feed(path.read_bytes())


def test_the_same_random_numbers_give_the_same_damage() -> None:
    good = SEEDS["gcs"]
    assert damaged(good, random.Random(5)) == damaged(good, random.Random(5))


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.parent.rglob("*") if path.is_file()) < 100_000
