"""Scans of a past moment: the state of that second, whatever came after, wherever pages end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.s3 import page as pages
from asyncref.engine.scan import Target, scan
from asyncref.engine.scan.moment import Moment, moment_of
from asyncref.errors import NothingFoundError, OptionError, OrderError, UnsupportedError
from asyncref.manifest import Manifest
from asyncref.model import PAGE_SCHEMA, Cursor, Limits, Page
from asyncref.testing import Faults, MemoryStore, mounted

QUICK = Limits(backoff_s=0.0, concurrency=8)
START = datetime(2024, 1, 1, tzinfo=UTC)
Version = tuple[int, bool]  # seconds since the start, whether it is a delete marker


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("v", versioned=True, page_rows=7)
    with mounted(store):
        yield store


async def scanned(uri: str, at: datetime | str, **options: object) -> Manifest:
    return await scan([Target(uri=uri)], limits=QUICK, at=at, **options)  # type: ignore[arg-type]


def _page(rows: list[tuple[str, int, bool, str]], *, more: bool) -> Page:
    batch = pa.RecordBatch.from_pylist(
        [
            {"key": key, "size": None if gone else 1, "version": version, "modified": START + timedelta(seconds=at)}
            for key, at, gone, version in rows
        ],
        schema=PAGE_SCHEMA,
    )
    keys = [key for key, *_ in rows]
    return Page(batch, keys[0] if rows else None, keys[-1] if rows else None, Cursor("more") if more else None)


@given(
    st.dictionaries(
        st.text("ab/\U0001f300", min_size=1, max_size=3),
        st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=9),
        max_size=9,
    ),
    st.integers(-1, 7),
    st.integers(1, 8),
)
@settings(max_examples=120, deadline=None)
def test_of_every_key_the_newest_that_is_not_younger_is_picked(
    keys: dict[str, list[Version]], at_s: int, page_rows: int
) -> None:
    rows = [
        (key, at, gone, f"{number}")
        for key in sorted(keys)
        for number, (at, gone) in enumerate(keys[key])  # in no order of time at all
    ]
    moment = Moment(START + timedelta(seconds=at_s), "memory://v/")
    found: list[tuple[str, str]] = []
    for start in range(0, max(1, len(rows)), page_rows):
        picked = moment(_page(rows[start : start + page_rows], more=start + page_rows < len(rows))).batch
        found += zip(picked["key"].to_pylist(), picked["version"].to_pylist(), strict=True)
    expected = []
    for key in sorted(keys):
        past = [(at, -number, gone) for number, (at, gone) in enumerate(keys[key]) if at <= at_s]
        if past and not max(past)[2]:
            expected.append((key, f"{-max(past)[1]}"))
    assert found == expected


def test_keys_out_of_order_are_noticed() -> None:
    with pytest.raises(OrderError):
        Moment(START, "")(_page([("b", 0, False, "1"), ("a", 0, False, "1")], more=False))


def _state(store: MemoryStore, at: datetime) -> dict[str, str]:
    found = {}
    for key in store.keys_from("", inclusive=True):
        past = [stored for stored in store.versions_of(key) if stored.modified <= at]
        if past and past[0].data is not None:
            found[key.removeprefix("p/")] = past[0].version
    return found


async def test_every_moment_of_a_history_is_scanned_as_it_was(store: MemoryStore) -> None:
    for number in range(120):
        key = f"p/{number * 37 % 41:02d}"
        if number % 5 == 4:
            store.delete(key)
        else:
            store.seed(key, str(number).encode())
    for after_s in (1, 17, 60, 119, 120):
        at = START + timedelta(seconds=after_s)
        manifest = await scanned("memory://v/p/", at)
        assert {entry.path: entry.pin.version for entry in manifest} == _state(store, at)
        assert manifest.sources[0].at == at


async def test_what_comes_while_a_past_moment_is_listed_does_not_show(store: MemoryStore) -> None:
    for number in range(50):
        store.seed(f"p/{number:02d}", b"old")
    at = max(stored.modified for key in store.keys_from("", inclusive=True) for stored in store.versions_of(key))
    before = await scanned("memory://v/p", at)
    for number in range(0, 50, 2):
        store.overwrite(f"p/{number:02d}", b"new")
        store.delete(f"p/{number + 1:02d}")
        store.seed(f"p/{number:02d}-more", b"new")
    after = await scanned("memory://v/p", at.isoformat())
    assert (after.digest, after.identity) == (before.digest, before.identity)


async def test_a_reference_means_what_it_meant_then(store: MemoryStore) -> None:
    first = [store.seed("thing", str(number).encode()) for number in range(30)]
    store.delete("thing")
    store.seed("thing/under", b"x")
    as_object = await scanned("memory://v/thing", first[11].modified)
    assert [(entry.path, entry.pin.version) for entry in as_object] == [("thing", first[11].version)]
    as_folder = await scanned("memory://v/thing", START + timedelta(days=1))
    assert [entry.path for entry in as_folder] == ["under"]
    with pytest.raises(NothingFoundError):
        await scanned("memory://v/thing/", START)


async def test_where_the_past_is_not_kept_it_is_refused() -> None:
    store = MemoryStore("u")
    store.seed("p/a", b"x")
    with mounted(store):
        with pytest.raises(UnsupportedError, match="kept versions"):
            await scanned("memory://u/p", START)
        with pytest.raises(UnsupportedError, match="kept versions"):
            await scanned("file:///tmp", START)


async def test_where_versioning_cannot_be_learnt_the_manifest_says_so(store: MemoryStore) -> None:
    store.seed("p/a", b"x")
    store.faults = Faults(denied=frozenset({"versioning"}))
    manifest = await scanned("memory://v/p", START + timedelta(days=1))
    assert "could not be learnt" in manifest.record.notes[0]


@pytest.mark.parametrize("at", ["yesterday", "2024-01-01", "2024-01-01T00:00:00", "2999-01-01T00:00:00Z"])
def test_a_moment_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(OptionError, match="at="):
        moment_of(at)


async def test_a_moment_and_no_pins_contradict_each_other(store: MemoryStore) -> None:
    with pytest.raises(OptionError, match="checksum=False"):
        await scan([Target(uri="memory://v/p", checksum=False)], at=START)
    assert not store.requests


async def test_another_moment_does_not_go_on_with_an_interrupted_scan(store: MemoryStore, tmp_path) -> None:
    for number in range(40):
        store.seed(f"p/{number:02d}", b"old")
    early = START + timedelta(seconds=20)
    store.faults = Faults(script={("list", number): "error" for number in range(4, 99)})
    with pytest.raises(Exception, match="the server failed"):
        await scanned("memory://v/p/", early, resume=tmp_path)
    store.faults = Faults()
    assert len(await scanned("memory://v/p/", START + timedelta(seconds=30), resume=tmp_path)) == 30
    resumed = await scanned("memory://v/p/", early, resume=tmp_path)
    assert (len(resumed), resumed.record.resumes) == (20, 1)


def _entry(kind: str, key: str, version: str, latest: str, second: int) -> str:
    size = "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>3</Size>" if kind == "Version" else ""
    return (
        f"<{kind}><Key>{key}</Key><VersionId>{version}</VersionId><IsLatest>{latest}</IsLatest>"
        f"<LastModified>2024-01-01T00:00:0{second}.000Z</LastModified>{size}</{kind}>"
    )


@pytest.mark.parametrize("apart", [False, True], ids=["as on AWS", "kinds apart, as moto has them"])
def test_delete_markers_of_an_s3_page_are_rows_without_a_size(apart: bool) -> None:
    entries = [
        _entry("DeleteMarker", "a", "m1", "true", 2),
        _entry("Version", "a", "v1", "false", 1),
        _entry("Version", "b", "v2", "true", 1),
        _entry("DeleteMarker", "c", "m2", "true", 1),
        _entry("Version", "c", "v3", "false", 1),
    ]
    if apart:
        entries.sort(key=lambda entry: entry.startswith("<DeleteMarker>"))
    body = f"<ListVersionsResult><IsTruncated>false</IsTruncated>{''.join(entries)}</ListVersionsResult>"
    rows = pages.read(body.encode(), "all")
    found = [(row["key"], row["version"], row["size"]) for row in rows.batch.to_pylist()]
    assert found == [("a", "m1", None), ("a", "v1", 3), ("b", "v2", 3), ("c", "m2", None), ("c", "v3", 3)]
    rows.batch.validate(full=True)
    assert rows.keys.to_pylist() == ["a", "a", "b", "c", "c"]
