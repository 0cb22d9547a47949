"""Several targets in one scan: one backend a bucket, the next ones met while one is listed, all in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncref.engine.scan import Target, meeting, scan
from asyncref.errors import NotFoundError
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryStore, mounted
from asyncref.testing.memory import MemoryBackend

QUICK = Limits(backoff_s=0.0, concurrency=64)


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10)
    for folder in range(20):
        for number in range(5):
            store.seed(f"{folder:02}/{number}", b"x" * folder)
    for number in range(100):
        store.seed(f"large/{number:03}", b"y")
    with mounted(store):
        yield store


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[MemoryBackend]:
    """Every backend that is opened."""
    found = []
    really = meeting.open_backend

    def noted(*arguments):
        found.append(really(*arguments))
        return found[-1]

    monkeypatch.setattr(meeting, "open_backend", noted)
    return found


async def scanned(*uris: str, **options) -> Manifest:
    return await scan([Target(uri=uri, name=uri.rpartition("//")[2]) for uri in uris], limits=QUICK, **options)


FOLDERS = [f"memory://b/{folder:02}/" for folder in range(20)]


async def test_targets_of_one_bucket_share_a_backend_which_is_closed_at_the_end(store, opened):
    manifest = await scanned(*FOLDERS, "memory://b/large/")
    assert len(manifest) == 200
    assert [source.uri for source in manifest.sources] == [*FOLDERS, "memory://b/large/"]
    assert len(opened) == 1
    assert opened[0].closed
    assert store.requests["list"] <= 20 + 13


async def test_buckets_and_schemes_have_backends_of_their_own(tmp_path: Path, opened):
    (tmp_path / "a").write_bytes(b"a")
    stores = MemoryStore("b"), MemoryStore("c")
    for store in stores:
        store.seed("k/x", b"x")
    with mounted(*stores):
        await scanned("memory://b/k/", "memory://c/k/", f"file://{tmp_path}/", f"file://{tmp_path}/a", "memory://b/k/x")
    assert len(opened) == 4
    assert all(one.closed for one in opened if isinstance(one, MemoryBackend))


async def test_small_targets_are_met_while_others_are(store, monkeypatch):
    in_flight = most = 0
    really = MemoryBackend.list_page

    async def watched(self, request):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        try:
            return await really(self, request)
        finally:
            in_flight -= 1

    store.latency_s = 0.005
    monkeypatch.setattr(MemoryBackend, "list_page", watched)
    assert len(await scanned(*FOLDERS)) == 100
    assert 2 <= most <= 9


@pytest.mark.usefixtures("store")
async def test_an_error_of_a_later_target_waits_for_its_turn():
    manifest = await scanned("memory://b/large/", "memory://lost/x/", allow_partial=True)
    assert (len(manifest), manifest.record.complete) == (100, False)
    with pytest.raises(NotFoundError, match="memory://lost/x/"):
        await scanned("memory://b/large/", "memory://lost/x/")
    with pytest.raises(NotFoundError, match="memory://b/nothing/"):
        await scanned("memory://b/nothing/", "memory://lost/x/")


async def test_a_first_page_that_waited_for_long_is_asked_for_again(store, monkeypatch):
    fresh = await scanned(*FOLDERS)
    before = store.requests["list"]
    monkeypatch.setattr(meeting, "_FRESH_S", 0.0)
    again = await scanned(*FOLDERS)
    assert again.digest == fresh.digest
    assert store.requests["list"] - before == 2 * before


async def test_backends_are_closed_where_a_scan_fails(store, opened):
    store.faults = Faults(denied=frozenset({"list"}))
    with pytest.raises(PermissionError):
        await scanned("memory://b/large/", "memory://b/00/")
    assert [one.closed for one in opened] == [True]
