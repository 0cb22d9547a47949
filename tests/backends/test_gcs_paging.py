"""Pages of generations, past moments and composed objects on Google Cloud Storage: replayed, see tests.servers.google."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession

from asyncref.backends import open_backend
from asyncref.checks.status import status
from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.errors import FetchError
from asyncref.model import Limits, ListRequest
from asyncref.uri import parse
from tests.servers.google import Stored, replayed

BEFORE, AT, AFTER = (f"2024-05-0{day}T00:00:00.000Z" for day in (1, 2, 3))
MOMENT = datetime(2024, 5, 2, tzinfo=UTC)
QUICK = Limits(attempts=2, backoff_s=0.001)


@pytest.fixture
async def google():
    async with replayed() as google:
        google.most = 7
        yield google


async def scanned(google, uri="gs://bucket/data/", **options):
    return await scan([Target(uri=uri)], storage_options={"endpoint_url": google.url}, **options)


async def test_the_history_of_a_key_is_read_over_as_many_pages_as_it_has(google):
    google.objects = {"data/a": Stored(b"now", 100), "data/a0": Stored(b"another", 7)}
    google.older = [("data/a", Stored(b"x" * number, number, deleted=AFTER)) for number in range(1, 31)]
    google.older.append(("data/a.b", Stored(b"a neighbour", 8, deleted=AFTER)))
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url})
    rows = await backend.history("data/a")
    assert rows["version"].to_pylist() == ["100", *(str(number) for number in range(30, 0, -1))]
    assert rows["size"].to_pylist() == [3, *range(30, 0, -1)]
    tokens = [asked.query.get("pageToken") for asked in google.asked]
    assert len(tokens) == len(set(tokens)) == 5
    assert (await backend.history("data/a", limit=3))["version"].to_pylist() == ["100", "30", "29"]
    assert (await backend.history("data/lost")).num_rows == 0
    await backend.aclose()


async def test_every_key_comes_once_over_many_short_pages(google):
    google.objects = {f"data/{number:03}/é {number % 7}": Stored(b"x" * number, number + 1) for number in range(300)}
    google.objects["elsewhere"] = Stored(b"", 1)
    manifest = await scanned(google)
    assert {f"data/{entry.path}": entry.size for entry in manifest} == {
        name: len(stored.data) for name, stored in google.objects.items() if name != "elsewhere"
    }
    assert all("endOffset" not in asked.query for asked in google.asked)


async def test_a_past_moment_is_found_where_a_key_s_generations_run_over_pages(google, tmp_path):
    was = {}
    for number in range(60):
        name = f"data/{number:02}"
        versions = [(f"{number}-{count}".encode(), 10 * number + count) for count in range(1 + number % 9)]
        *replaced, (kept, generation) = versions
        google.older += [(name, Stored(data, own, created=BEFORE, deleted=BEFORE)) for data, own in replaced]
        was[f"{number:02}"] = (str(generation), kept)
        if number % 3 == 0:  # overwritten since
            google.older.append((name, Stored(kept, generation, created=BEFORE, deleted=AFTER)))
            google.objects[name] = Stored(b"newer", 10_000 + number, created=AFTER)
        elif number % 3 == 1:  # deleted since
            google.older.append((name, Stored(kept, generation, created=AT, deleted=AFTER)))
        else:
            google.objects[name] = Stored(kept, generation, created=BEFORE)
    google.objects["data/added"] = Stored(b"later", 20_000, created=AFTER)
    google.older.append(("data/gone before", Stored(b"x", 20_001, created=BEFORE, deleted=AT)))
    manifest = await scanned(google, at=MOMENT)
    assert {entry.path: entry.pin.version for entry in manifest} == {path: pin for path, (pin, _) in was.items()}
    assert len([asked for asked in google.asked if asked.query.get("versions")]) > 30
    await fetch(manifest, tmp_path / "out")
    assert {path: (tmp_path / "out" / path).read_bytes() for path in was} == {
        path: data for path, (_, data) in was.items()
    }


async def test_a_composed_object_has_a_crc32c_by_which_metadata_alone_and_its_bytes_are_told(google, tmp_path):
    google.objects = {"data/composed": Stored(b"the parts, joined" * 1000, 5, composed=True)}
    manifest = await scanned(google)
    assert manifest["composed"].pin.checksum.startswith("crc32c:")
    google.objects["data/composed"].metageneration += 1
    assert (await status(manifest)).counts["metadata_only"] == 1
    await fetch(manifest, tmp_path / "out")
    assert (tmp_path / "out/composed").read_bytes() == b"the parts, joined" * 1000
    google.objects["data/composed"] = Stored(b"the parts, joinee" * 1000, 6, composed=True)
    assert (await status(manifest)).counts["changed"] == 1


@pytest.mark.parametrize("composed", [True, False])
async def test_bytes_that_are_not_what_google_s_own_checksum_says_are_refused(google, tmp_path, composed):
    data = b"as it was" * 1000
    google.objects = {"data/a": Stored(data, 5, composed=composed)}
    manifest = await scanned(google)
    google.objects["data/a"].damaged = data[:-1] + b"z"
    with pytest.raises(FetchError, match="CRC32C" if composed else "MD5") as caught:
        await fetch(manifest, tmp_path / "out", limits=QUICK)
    assert [failure.path for failure in caught.value.failures] == ["a"]
    assert not (tmp_path / "out" / "a").exists()


async def test_a_listing_without_its_token_would_end_early_so_the_fields_ask_for_it(google):
    google.objects = {f"data/{number:02}": Stored(b"x", 1) for number in range(20)}
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url})
    page = await backend.list_page(ListRequest(prefix="data/", limit=5))
    assert (page.seen, page.cursor is None) == (5, False)
    await backend.aclose()


async def test_old_generations_are_read_by_their_numbers_over_pages_and_ranges_where_a_condition_would_refuse_them(
    google, tmp_path, monkeypatch
):
    """The documented answers to `ifGenerationMatch` and `generation` are replayed: no server here has them both."""
    monkeypatch.setattr("asyncref.engine.fetch.plan.PART_BYTES", 1 << 16)
    bytes_of = {f"data/{number:02}": bytes([number]) * (1 + number * 20_000) for number in range(20)}
    google.objects = {name: Stored(data, 100 + at) for at, (name, data) in enumerate(bytes_of.items())}
    manifest = await scanned(google)
    assert len(google.asked) >= 3  # seven a page
    google.older = [(name, stored) for name, stored in google.objects.items()]
    google.objects = {name: Stored(b"newer", 1000) for name in bytes_of}
    google.asked.clear()
    await fetch(manifest, tmp_path / "out")
    assert {
        f"data/{path.name}": path.read_bytes() for path in (tmp_path / "out").iterdir() if path.name.isdigit()
    } == bytes_of
    media = [asked for asked in google.asked if asked.query.get("alt") == "media"]
    assert all(asked.query["generation"].startswith("1") for asked in media)
    assert not any("ifGenerationMatch" in asked.query for asked in google.asked)
    async with ClientSession() as session:
        old = f"{google.url}/storage/v1/b/bucket/o/data%2F01?alt=media&generation=101"
        async with session.get(old) as there, session.get(f"{old}&ifGenerationMatch=101") as refused:
            assert (there.status, refused.status) == (200, 412)
