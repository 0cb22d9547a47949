"""A listing parted at its folders from the start: every key once all the same, side by side at once, and few requests more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.scan import Target, scan
from asyncref.engine.scan.outline import parting, shown_in
from asyncref.manifest import Manifest
from asyncref.model import Limits
from tests.servers.google import Google, Stored, replayed

FOLDERS = st.sets(st.text("ab-/", min_size=1, max_size=5), max_size=30)
PAGE = 1000  # rows that asyncref asks for


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with replayed() as google:
        yield google


async def scanned(google: Google, uri: str = "gs://bucket/data/", **options: object) -> Manifest:
    return await scan([Target(uri=uri)], storage_options={"endpoint_url": google.url}, **options)  # type: ignore[arg-type]


def fill(google: Google, folders: int, each: int, root: str = "data/") -> None:
    for folder in range(folders):
        for number in range(each):
            google.objects[f"{root}{folder:04}/{number:04}"] = Stored(b"x" * (number % 7), number + 1)


def kinds(google: Google) -> list[str]:
    return ["level" if "delimiter" in asked.query else "page" for asked in google.asked]


@given(FOLDERS, st.integers(1, 40), st.integers(1, 20))
def test_parts_begin_behind_the_first_page_in_order_and_are_no_more_than_there_are_pages_for(
    names: set[str], folders_seen: int, page_rows: int
) -> None:
    keys = sorted(f"p/{name}/{number}" for name in names for number in range(3)) or ["p/x"]
    first = keys[:page_rows]
    folders = list(shown_in(keys, "p/"))
    parts = parting(folders[:folders_seen], first, "p/", page_rows=page_rows)
    assert parts == sorted(set(parts))
    assert all(part > first[-1] and part in folders for part in parts)


def test_small_folders_are_not_worth_a_part_each() -> None:
    folders = [f"p/{number:04}/" for number in range(1000)]
    keys = [f"{folder}{number}" for folder in folders for number in range(10)]
    assert len(parting(folders, keys[:1000], "p/", page_rows=1000)) == 2  # 9 pages follow the first
    assert parting(folders[:300], keys[:1000], "p/", page_rows=1000) == []
    whole = [f"p/0000/{number:04}" for number in range(1000)]
    assert len(parting(folders, whole, "p/", page_rows=1000)) == 249


async def test_a_listing_of_folders_is_parted_by_one_request_and_gives_every_key_once(google: Google) -> None:
    fill(google, folders=60, each=500)
    google.objects["data/loose"] = Stored(b"", 1)
    manifest = await scanned(google)
    assert [f"data/{entry.path}" for entry in manifest] == sorted(google.objects)
    assert kinds(google).count("level") == 1
    starts = {asked.query.get("startOffset") for asked in google.asked if "pageToken" not in asked.query}
    assert any(start and start.endswith("/") for start in starts)  # how many depends on how busy this machine is
    assert kinds(google).count("page") <= 30 + 15


async def test_folders_that_lie_alone_in_theirs_are_looked_into(google: Google) -> None:
    fill(google, folders=40, each=400, root="data/alone/")
    manifest = await scanned(google)
    assert len(manifest) == 16_000
    asked = [asked.query["prefix"] for asked in google.asked if "delimiter" in asked.query]
    assert asked == ["data/", "data/alone/"]


async def test_what_ends_with_its_first_page_or_shows_no_folders_is_not_asked_for_them(google: Google) -> None:
    fill(google, folders=5, each=100)
    assert len(await scanned(google)) == 500
    assert kinds(google) == ["page"]
    google.asked.clear()
    google.objects = {f"data/{number:05}": Stored(b"", 1) for number in range(5000)}
    assert len(await scanned(google)) == 5000
    assert "level" not in kinds(google)


async def test_a_server_that_refuses_to_tell_folders_is_listed_without(google: Google) -> None:
    fill(google, folders=30, each=400)
    google.levels = False
    manifest = await scanned(google, limits=Limits(attempts=2, backoff_s=0.001))
    assert [f"data/{entry.path}" for entry in manifest] == sorted(google.objects)
    assert manifest.record.complete


async def test_folders_that_lie_are_no_harm(google: Google) -> None:
    """They decide only where ranges begin: names that are not there, out of order, or of another prefix."""
    fill(google, folders=30, each=400)
    google.shown = ["zz/", "data/0011x/", "data/0003/", "data/0003/", "a/", "data/0021", "data/zzz/"]
    manifest = await scanned(google)
    assert [f"data/{entry.path}" for entry in manifest] == sorted(google.objects)
