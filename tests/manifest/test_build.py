"""However rows are cut into runs and batches, the manifest is the same; what is wrong is named."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncref.errors import BadKeyError, DuplicatePathError, OrderError, ProtocolError
from asyncref.manifest import Manifest, Run, build
from asyncref.manifest.cuts import PART_ROWS_MAX, PART_ROWS_MIN
from asyncref.manifest.merge import _Sorter
from asyncref.manifest.rows import batch_of
from tests.manifest import RECORD, SOURCES, entries, page, reference_digest, run_of, runs_of, s3_entry


def built(runs, **options) -> Manifest:
    return build(runs, sources=SOURCES, record=RECORD, **options)


def uuids(count: int, seed: int = 1) -> list[str]:
    source = random.Random(seed)
    return sorted(str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in range(count))


@given(entries(max_size=20), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_partition_into_runs_and_batches_gives_the_same_manifest(rows, data):
    owner = [data.draw(st.integers(0, 3)) for _ in rows]
    memory = data.draw(st.sampled_from([1, 3000, 2**20]))
    parted = [[row for row, number in zip(rows, owner, strict=True) if number == run] for run in range(4)]
    runs = [run_of(part, batch_rows=data.draw(st.integers(1, 6))) for part in parted if part]
    manifest = built(data.draw(st.permutations(runs)), memory_bytes=memory)
    assert list(manifest) == rows
    assert manifest == Manifest.from_entries(rows, sources=SOURCES)
    assert manifest.digest == reference_digest(rows)
    assert len(manifest) == len(rows)
    assert manifest.size == sum(row.size or 0 for row in rows)


@given(entries(max_size=8), entries(max_size=8))
def test_identity_differs_wherever_a_pin_differs(one, other):
    same = [
        (row.path, row.ref, row.digest, row.size, row.pin.etag, row.pin.version, row.pin.checksum, row.source)
        for row in one
    ]
    others = [
        (row.path, row.ref, row.digest, row.size, row.pin.etag, row.pin.version, row.pin.checksum, row.source)
        for row in other
    ]
    left, right = (Manifest.from_entries(rows, sources=SOURCES) for rows in (one, other))
    assert (left.identity == right.identity) == (same == others)


def test_the_digest_is_wandbs_own():
    pytest.importorskip("wandb")
    from wandb.sdk.artifacts._generated import ArtifactDigestAlgorithm  # noqa: PLC0415
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry  # noqa: PLC0415
    from wandb.sdk.artifacts.artifact_manifests.artifact_manifest_v1 import ArtifactManifestV1  # noqa: PLC0415

    rows = [s3_entry(path) for path in ("a", "a-b", "a/b", "b c", "é", "🎉", "\uffff")]
    theirs = ArtifactManifestV1(digest_algorithm=ArtifactDigestAlgorithm.MANIFEST_MD5)
    for row in rows:
        theirs.add_entry(ArtifactManifestEntry(path=row.path, ref=row.ref, digest=row.digest, size=row.size))
    assert Manifest.from_entries(rows, sources=SOURCES).digest == theirs.digest()


def test_no_rows_make_an_empty_manifest():
    manifest = built([])
    assert (len(manifest), list(manifest), manifest.parts, manifest.size) == (0, [], (), 0)
    assert manifest.to_arrow().num_rows == 0
    assert "a" not in manifest


def test_one_path_with_one_pin_collapses_into_the_first_source():
    rows = [s3_entry("a", content="x", source=1), s3_entry("a", content="x", source=0)]
    manifest = built([run_of([row]) for row in rows])
    assert [entry.ref for entry in manifest] == ["s3://bucket/data/a"]


def test_repeated_rows_collapse_across_batches_of_one_run():
    rows = [s3_entry(path) for path in ("a", "b", "b", "b", "c")]
    assert [entry.path for entry in built([run_of(rows, batch_rows=2)])] == ["a", "b", "c"]


@pytest.mark.parametrize("memory_bytes", [1, 2**26])
def test_one_path_with_two_pins_is_an_error_that_names_both(memory_bytes):
    runs = [
        run_of([s3_entry("a"), s3_entry("k", content="x", version="v1")]),
        run_of([s3_entry("k", source=2, version="v2")]),
    ]
    with pytest.raises(DuplicatePathError) as raised:
        built(runs, memory_bytes=memory_bytes)
    for part in ("path k", "s3://bucket/data/k", "v1", "file:///mount/a/k", "v2"):
        assert part in str(raised.value)


def test_disorder_inside_a_run_is_an_error_even_where_sorting_would_hide_it():
    bad = [s3_entry("b"), s3_entry("a")]
    with pytest.raises(OrderError):
        built([Run("a", "b", 2, lambda: iter([batch_of(bad, SOURCES)]))])
    with pytest.raises(OrderError):
        built([run_of([s3_entry("aa")]), Run("a", "b", 2, lambda: iter([batch_of([row], SOURCES) for row in bad]))])


def test_a_run_that_reaches_beyond_what_it_said_is_an_error():
    with pytest.raises(OrderError):
        built(
            [
                Run("a", "b", 2, lambda: iter([batch_of([s3_entry("a"), s3_entry("z")], SOURCES)])),
                run_of([s3_entry("c")]),
            ]
        )


def test_a_run_that_gives_fewer_rows_than_announced_is_an_error():
    with pytest.raises(ProtocolError, match="3 rows were announced"):
        built([Run("a", "b", 3, lambda: iter([batch_of([s3_entry("a"), s3_entry("b")], SOURCES)]))])


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (s3_entry(""), BadKeyError),
        (s3_entry("a", size=-1), ProtocolError),
    ],
)
def test_rows_that_cannot_be_are_refused(row, error):
    with pytest.raises(error):
        built([run_of([row])])


def test_a_source_that_is_not_there_is_refused():
    batch = page(["a"], source=7)
    with pytest.raises(ProtocolError, match="source 7"):
        built(runs_of(batch))


def test_a_large_manifest_is_cut_into_parts_that_a_change_leaves_alone(tmp_path):
    names = uuids(250_000)
    whole = page(names)
    old = built(runs_of(whole, 50_000), folder=tmp_path)
    assert len(old.parts) > 2
    assert all(PART_ROWS_MIN <= part.rows <= PART_ROWS_MAX for part in old.parts[:-1])
    assert all(part.where.parent == tmp_path for part in old.parts)
    keep = pa.array([number != 120_000 for number in range(len(names))])
    new = built(runs_of(whole.filter(keep), 33_333))
    changed = {part.hash for part in new.parts} - {part.hash for part in old.parts}
    assert 1 <= len(changed) <= 2
    difference = old.diff(new)
    assert difference.counts == {"added": 0, "removed": 1, "changed": 0, "version_only": 0, "unchanged": 249_999}
    assert difference.removed["path"].to_pylist() == [names[120_000]]


def test_interleaved_runs_that_do_not_fit_into_memory_are_merged_from_disk(monkeypatch, tmp_path):
    names = uuids(60_000)
    whole = page(names)
    order = [[*range(start, len(names), 7)] for start in range(7)]
    runs = [run for rows in order for run in runs_of(whole.take(pa.array(rows)), 10_000)]
    merges = []
    narrow = _Sorter._narrow
    monkeypatch.setattr(_Sorter, "_narrow", lambda self: (merges.append(len(self._spills)), narrow(self)))
    manifest = built(runs, memory_bytes=2**18, folder=tmp_path)
    assert merges
    assert merges[0] > 4  # more than are merged at once
    assert manifest == built(runs_of(whole))
    assert {*tmp_path.iterdir()} == {part.where for part in manifest.parts}


def test_many_small_folders_beside_a_wide_one_stay_in_memory(monkeypatch):
    wide = [f"{number:06d}" for number in range(0, 80_000, 2)]
    small = [[f"{start + number:06d}x" for number in range(10)] for start in range(0, 80_000, 40)]
    runs = runs_of(page(wide), 40_000) + [run for names in small for run in runs_of(page(names))]
    monkeypatch.setattr(_Sorter, "_spill", lambda *_: pytest.fail("spilled"))
    manifest = built(runs)
    assert [entry["path"] for entry in manifest.to_arrow().select(["path"]).to_pylist()] == sorted(
        [*wide, *(name for names in small for name in names)]
    )


def test_temporary_parts_go_with_the_manifest():
    manifest = built(runs_of(page(uuids(40_000))))
    folder = manifest.parts[0].where.parent
    assert folder.is_dir()
    selected = manifest.select(prefix=next(iter(manifest)).path)
    del manifest
    assert not folder.exists()
    assert len(selected) == 1


def test_a_forked_child_that_ends_leaves_the_parents_parts_alone():
    script = """
import os, sys
sys.path.insert(0, os.getcwd())
from tests.manifest.test_build import built, page, runs_of, uuids
manifest = built(runs_of(page(uuids(40_000))))
if (child := os.fork()) == 0:
    sys.exit(0)
os.waitpid(child, 0)
manifest.check()
print(len(manifest))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
    )
    assert done.stdout.strip() == "40000", done.stderr
