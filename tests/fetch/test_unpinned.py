"""Objects that the manifest does not pin: their parts are of one version all the same, that of the first answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.job import Job
from asyncref.errors import ChangedError, FetchError
from asyncref.loaders import stream
from asyncref.manifest import Manifest
from asyncref.model import Answer, Entry, Limits, Pin
from asyncref.testing import Faults, MemoryStore, mounted
from tests.fetch import noise, source_of, tree

ONE_AT_A_TIME = Limits(concurrency=1, backoff_s=0.0)
LARGE = 40 * 2**20


class Changing(MemoryStore):
    """The object is overwritten before its second read."""

    before_second: Callable[[], Any]

    def next_fault(self, kind: str) -> Any:
        if kind == "get" and self.requests["get"] == 1:
            self.before_second()
        return super().next_fault(kind)


def changing(size: int, *, versioned: bool = False, faults: Faults | None = None) -> tuple[Changing, Manifest]:
    store = Changing(versioned=versioned, faults=faults)
    store.seed("a", noise(size, "old"), etag='"old"')
    store.before_second = lambda: store.seed("a", noise(size, "new"), etag='"new"')
    entry = Entry("a", "memory://bucket/a", "memory://bucket/a", Pin(size=size))
    return store, Manifest.from_entries([entry], sources=[source_of(store)])


async def test_parts_of_two_versions_are_no_object(tmp_path: Path) -> None:
    store, manifest = changing(LARGE)
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, limits=ONE_AT_A_TIME)
    (failure,) = caught.value.failures
    assert failure.path == "a"
    assert isinstance(failure.error, ChangedError)
    assert tree(tmp_path) == {}


async def test_where_versions_are_kept_all_parts_are_of_the_first_one(tmp_path: Path) -> None:
    store, manifest = changing(LARGE, versioned=True)
    with mounted(store):
        report = await fetch(manifest, tmp_path, limits=ONE_AT_A_TIME)
    assert tree(tmp_path) == {"a": noise(LARGE, "old")}
    assert report.unpinned == 1


async def test_a_body_that_broke_off_goes_on_with_the_same_version_only(tmp_path: Path) -> None:
    size = 500_000
    store, manifest = changing(size, faults=Faults(script={("get", 1): "truncate"}))
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, limits=ONE_AT_A_TIME)
    assert isinstance(caught.value.failures[0].error, ChangedError)
    store, manifest = changing(size, versioned=True, faults=Faults(script={("get", 1): "truncate"}))
    with mounted(store):
        await fetch(manifest, tmp_path, limits=ONE_AT_A_TIME)
    assert tree(tmp_path) == {"a": noise(size, "old")}


async def test_parts_that_were_asked_for_at_once_are_compared_too() -> None:
    store, manifest = changing(LARGE, versioned=True)
    with mounted(store):
        async with stream(manifest, limits=Limits(concurrency=3, backoff_s=0.0)) as items:
            found = [item async for item in items]
    assert [item.data for item in found] in ([noise(LARGE, "old")], [noise(LARGE, "new")])


async def test_a_time_of_change_tells_two_versions_apart_where_there_is_no_etag() -> None:
    place: Any = type("P", (), {"versioned": False})
    store, manifest = changing(LARGE)
    job = Job.of(manifest["a"], source_of(store), place)
    assert job.adopt(Answer(0, 1, LARGE, version="Sat, 28 Nov 2026 04:00:00 GMT"))
    assert job.attempt.version == "Sat, 28 Nov 2026 04:00:00 GMT"
    assert job.adopt(Answer(0, 1, LARGE, version="Sat, 28 Nov 2026 04:00:00 GMT"))
    assert not job.adopt(Answer(0, 1, LARGE, version="Sat, 28 Nov 2026 04:00:01 GMT"))
