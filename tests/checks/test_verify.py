"""A verdict a file: what lies in a folder, compared with a manifest, without any request."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.checks.verify import VerifyReport, slices, verify
from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.content import Match
from asyncref.engine.flow import Meter
from asyncref.errors import NotFoundError
from asyncref.globs import Filter
from asyncref.model import Limits
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned

PART = 8 * 2**20


def verdicts(report: VerifyReport) -> dict[str, str]:
    return {finding.path: finding.verdict for finding in report.findings}


def composite(data: bytes, part_bytes: int) -> str:
    parts = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


async def test_each_file_has_its_verdict_and_nothing_is_asked_of_the_storage(tmp_path: Path) -> None:
    store = MemoryStore()
    for key in ("right", "deep/right", "flipped", "cut", "gone", "zero", "replaced"):
        store.seed(key, b"" if key == "zero" else noise(1000, key))
    manifest = pinned(store)
    with mounted(store):
        await fetch(manifest, tmp_path)
    store.requests.clear()
    flipped = bytearray(noise(1000, "flipped"))
    flipped[500] ^= 1
    (tmp_path / "flipped").write_bytes(flipped)
    (tmp_path / "cut").write_bytes(noise(1000, "cut")[:-1])
    (tmp_path / "gone").unlink()
    (tmp_path / "replaced").unlink()
    os.mkfifo(tmp_path / "replaced")
    (tmp_path / "deep" / "extra").write_text("mine")
    report = await verify(manifest, tmp_path)
    assert verdicts(report) == {
        "cut": "differs",
        "deep/extra": "extra",
        "flipped": "differs",
        "gone": "missing",
        "replaced": "differs",
    }
    assert report.counts == {"right": 3, "differs": 3, "missing": 1, "extra": 1}
    assert not report.ok
    assert report.to_json()["schema"] == "asyncref.verify/1"
    assert dict(store.requests) == {}


async def test_a_fetched_folder_is_right_also_where_names_were_escaped(tmp_path: Path) -> None:
    store = MemoryStore()
    for key in ("a//b", "x", "x/y", "100%"):
        store.seed(key, noise(100, key))
    meters: list[Meter] = []
    with mounted(store):
        await fetch(pinned(store), tmp_path, escape=True)
    report = await verify(pinned(store), tmp_path, escape=True, progress=meters.append)
    assert report.ok
    assert report.counts == {"right": 4}
    assert (meters[0].objects, meters[0].bytes) == (4, 400)


@pytest.mark.parametrize("part_bytes", [PART, 5 * 2**20, 10 * 10**6, 7 * 2**20])
async def test_the_composite_etag_of_a_multipart_upload_confirms_content(tmp_path: Path, part_bytes: int) -> None:
    data = noise(20 * 2**20 + 1)
    store = MemoryStore()
    store.seed("large", data, etag=composite(data, part_bytes))
    (tmp_path / "large").write_bytes(data)
    assert (await verify(pinned(store), tmp_path)).counts == {"right": 1}


async def test_content_that_no_checksum_tells_is_unchecked_and_not_wrong(tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("a", noise(100), etag='"opaque"')
    (tmp_path / "a").write_bytes(noise(100, "other"))
    report = await verify(pinned(store), tmp_path)
    assert verdicts(report) == {"a": "unchecked-content"}
    assert report.ok
    assert not report.complete


async def test_a_source_whose_etags_are_no_md5s_is_not_called_damaged(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(8):
        store.seed(str(number), noise(10, str(number)), etag=f'"{number:032x}"')
        (tmp_path / str(number)).write_bytes(noise(10, str(number)))
    report = await verify(pinned(store), tmp_path)
    assert report.counts == {"right": 0, "unchecked-content": 8}


async def test_a_filter_chooses_among_entries_and_calls_nothing_extra(tmp_path: Path) -> None:
    store = MemoryStore()
    for key in ("a.jpg", "b.png"):
        store.seed(key, noise(10, key))
    (tmp_path / "a.jpg").write_bytes(noise(10, "a.jpg"))
    (tmp_path / "mine").write_text("mine")
    assert (await verify(pinned(store), tmp_path, filter=Filter.of("*.jpg"))).counts == {"right": 1}


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        await verify(pinned(MemoryStore()), tmp_path / "nowhere")


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**27)), max_size=300))
def test_slices_join_and_none_holds_more_files_than_fill_it(sizes: list[int | None]) -> None:
    cut = list(slices(sizes))
    assert [at for start, stop in cut for at in range(start, stop)] == list(range(len(sizes)))
    for start, stop in cut:
        assert 0 < stop - start <= 64
        assert sum(size or 0 for size in sizes[start : stop - 1]) < 32 * 2**20


async def test_two_large_files_are_read_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, meeting = MemoryStore(), Barrier(2)
    for key in ("a", "b"):
        store.seed(key, bytes(33 * 2**20))
        (tmp_path / key).write_bytes(b"")

    def met(*_: object) -> tuple[Match, int]:
        meeting.wait(10)  # breaks if one waits for the other's end
        return Match.SAME, 0

    monkeypatch.setattr("asyncref.checks.verify._match", met)
    report = await verify(pinned(store), tmp_path, limits=Limits(concurrency=2))
    assert report.counts == {"right": 2}
