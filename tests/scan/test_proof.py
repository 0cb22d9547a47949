"""What a scan says of its own completeness: counts that add up, or a manifest that is marked partial."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pyarrow as pa
import pytest

from asyncref.engine.flow import Meter
from asyncref.engine.scan import Target, _miscount, scan
from asyncref.engine.scan.spool import Spool
from asyncref.errors import NothingFoundError, PartialScanError, ServerError, TooManyObjectsError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import ENTRY_SCHEMA, Limits
from asyncref.record import Proof
from asyncref.registry import Registry
from asyncref.testing import Faults, MemoryStore, mounted

QUICK = Limits(backoff_s=0.0, concurrency=8, attempts=2)
BROKEN_FROM_30 = Faults(script={("list", number): "error" for number in range(30, 999)})


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("v", versioned=True, page_rows=10)
    for number in range(500):
        store.seed(f"p/{number:03d}", b"old")
        if number % 5 == 0:
            store.seed(f"p/{number:03d}", b"new")
        if number % 7 == 0:
            store.delete(f"p/{number:03d}")
    store.seed("p/folder/", b"")
    with mounted(store):
        yield store


async def scanned(uri: str = "memory://v/p/", **options: object) -> Manifest:
    return await scan([Target(uri=uri)], limits=QUICK, **options)  # type: ignore[arg-type]


def _rows(store: MemoryStore) -> int:
    return sum(len(store.versions_of(key)) for key in store.keys_from("", inclusive=True))


async def test_every_row_that_was_sent_is_accounted_for(store: MemoryStore) -> None:
    manifest = await scanned(filter=Filter.of(None, "*9"))
    proof = manifest.record.proof
    assert proof is not None
    assert proof.adds_up
    assert proof.kept == len(manifest)
    assert proof.left_out == sum(manifest.record.skipped.values())
    assert proof.other == _rows(store) - (proof.kept + proof.left_out) + (proof.seen - _rows(store) - proof.repeated)
    assert proof.seen >= _rows(store)
    assert proof.pages == manifest.record.requests["list"] >= proof.ranges > 1


async def test_the_counts_travel_with_the_manifest(store: MemoryStore, tmp_path: Path) -> None:
    manifest = await scanned()
    manifest.save(tmp_path / "m.parquet")
    assert Manifest.load(tmp_path / "m.parquet").record == manifest.record
    assert store.requests


async def test_counts_of_a_resumed_scan_are_those_of_both_runs(store: MemoryStore, tmp_path: Path) -> None:
    calm = await scanned()
    store.faults = BROKEN_FROM_30
    store.requests.clear()
    with pytest.raises(ServerError):
        await scanned(resume=tmp_path)
    store.faults = Faults()
    resumed = await scanned(resume=tmp_path)
    assert resumed.digest == calm.digest
    proof = resumed.record.proof
    assert proof is not None
    assert proof.adds_up
    assert proof.kept == len(resumed)
    assert proof.seen >= _rows(store)


async def test_counts_start_again_where_a_source_is_listed_again(store: MemoryStore) -> None:
    store.faults = Faults(seed=3, unordered=True)
    manifest = await scanned()
    assert manifest.record.proof is not None
    assert manifest.record.proof.seen == _rows(store)


@pytest.mark.parametrize("change", [{"seen": 1}, {"kept": 1, "seen": 1}])
async def test_counts_that_do_not_add_up_are_an_error(store: MemoryStore, change: dict[str, int]) -> None:
    manifest = await scanned()
    proof = manifest.record.proof
    assert proof is not None
    wrong = Proof(**{name: getattr(proof, name) + change.get(name, 0) for name in Proof.__slots__})
    manifest.record = replace(manifest.record, proof=wrong)
    assert "add up" in str(_miscount(manifest, exact=True))
    assert store.requests


@pytest.mark.parametrize("ended", ["an error", "a cancelled task", "a cancelled scope"])
@pytest.mark.parametrize("serially", [False, True])
async def test_rows_set_aside_on_disk_are_all_in_a_partial_scan(store: MemoryStore, ended: str, serially: bool) -> None:
    store.faults = replace(BROKEN_FROM_30 if ended == "an error" else Faults(), unordered=serially)
    limits = replace(QUICK, memory_bytes=1)  # every page is a flush of its own
    with anyio.CancelScope() as scope:
        task = asyncio.current_task()
        assert task is not None
        stop = {"an error": lambda: None, "a cancelled task": task.cancel, "a cancelled scope": scope.cancel}[ended]
        partial = await scan(
            [Target(uri="memory://v/p/")], limits=limits, allow_partial=True, progress=_calling_at(store, 30, stop)
        )
    assert not partial.record.complete
    assert partial.record.proof is not None
    assert len(partial) == partial.record.proof.kept > 0
    assert (task.cancelling(), scope.cancelled_caught) == (0, False)
    await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("turns", range(6))
async def test_a_flush_cancelled_at_any_turn_of_the_loop_loses_no_row(tmp_path: Path, turns: int) -> None:
    spool = Spool(tmp_path)
    rows = pa.RecordBatch.from_pylist([{"path": "a"}, {"path": "b"}], schema=ENTRY_SCHEMA)
    await spool.append(0, rows)
    async with anyio.create_task_group() as group:
        group.start_soon(spool.flush)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert [run.rows for run in spool.runs()] == [2]
    spool.close()


async def test_a_scan_that_errs_may_be_kept_as_a_partial_one(store: MemoryStore, tmp_path: Path) -> None:
    whole = {entry.path: entry.pin for entry in await scanned()}
    store.faults = BROKEN_FROM_30
    store.requests.clear()
    with pytest.raises(ServerError):
        await scanned()
    store.requests.clear()
    partial = await scanned(allow_partial=True)
    assert not partial.record.complete
    assert partial.record.notes[-1].startswith("incomplete: memory://v/p/: the server failed")
    assert 0 < len(partial) < len(whole)
    assert all(whole[entry.path] == entry.pin for entry in partial)
    assert partial.record.proof is not None
    assert partial.record.proof.adds_up
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    with pytest.raises(PartialScanError):
        registry.log(partial, name="data", type="dataset")
    assert registry.log(partial, name="data", type="dataset", allow_partial=True).number == 0


def _calling_at(store: MemoryStore, request: int, call: Callable[[], object]) -> Callable[[Meter], None]:
    """A progress hook that has a call made when the store gets its so-manieth request."""
    real = store.next_fault

    def next_fault(kind: str) -> object:
        if store.requests["list"] == request:
            call()
        return real(kind)

    def hook(_: Meter) -> None:
        store.requests.clear()
        store.next_fault = next_fault  # type: ignore[method-assign]

    return hook


def _cancelled_at(store: MemoryStore, request: int) -> Callable[[Meter], None]:
    """A progress hook that has its own task cancelled then."""

    def hook(meter: Meter) -> None:
        task = asyncio.current_task()
        assert task is not None
        _calling_at(store, request, task.cancel)(meter)

    return hook


async def test_a_cancelled_scan_may_be_kept_as_a_partial_one(store: MemoryStore) -> None:
    partial = await scanned(allow_partial=True, progress=_cancelled_at(store, 30))
    assert 0 < len(partial) < 400
    assert partial.record.notes[-1] == "incomplete: the scan was interrupted"


async def test_without_leave_a_cancelled_scan_is_cancelled(store: MemoryStore) -> None:
    task = asyncio.ensure_future(scanned(progress=_cancelled_at(store, 30)))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_a_scan_gives_what_it_has(store: MemoryStore) -> None:
    async with asyncio.timeout(None) as bound:
        now = asyncio.get_running_loop().time
        partial = await scanned(allow_partial=True, progress=_calling_at(store, 30, lambda: bound.reschedule(now())))
    assert not partial.record.complete


async def test_a_partial_scan_can_be_resumed_to_a_whole_one(store: MemoryStore, tmp_path: Path) -> None:
    calm, undisturbed = await scanned(), store.requests["list"]
    store.faults = BROKEN_FROM_30
    store.requests.clear()
    assert not (await scanned(allow_partial=True, resume=tmp_path)).record.complete
    store.faults = Faults()
    store.requests.clear()
    whole = await scanned(allow_partial=True, resume=tmp_path)
    assert (whole.digest, whole.record.complete) == (calm.digest, True)
    assert store.requests["list"] <= undisturbed - 20  # of the 29 pages that came before


async def test_nothing_at_all_is_never_a_partial_scan(store: MemoryStore) -> None:
    with pytest.raises(NothingFoundError):
        await scanned("memory://v/none/", allow_partial=True)
    store.faults = Faults(error=1.0)
    with pytest.raises(ServerError):
        await scanned(allow_partial=True)
    store.faults = Faults()
    with pytest.raises(TooManyObjectsError):
        await scanned(allow_partial=True, max_objects=100)


async def test_several_references_to_one_bucket_share_what_is_learnt_of_it(store: MemoryStore) -> None:
    meters: list[Meter] = []
    await scan(
        [Target(uri=f"memory://v/p/{number}", name=f"{number}") for number in ("001", "002", "003")],
        limits=QUICK,
        progress=meters.append,
    )
    states = meters[0].statistics()
    assert set(states) == {"list memory://v/", "versioning memory://v/"}
    assert states["list memory://v/"]["accepted"] == store.requests["list"] == 3
