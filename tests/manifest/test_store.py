"""The store: written whole or not at all, shared parts once, damage noticed."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asyncref.errors import ManifestError, ManifestFormatError, ManifestVersionError
from asyncref.manifest import Manifest, ManifestStore, build
from tests.manifest import RECORD, SOURCES, page, runs_of, s3_entry


@pytest.fixture
def store(tmp_path) -> ManifestStore:
    return ManifestStore(tmp_path / "manifests")


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.from_entries([s3_entry(f"{number:03d}") for number in range(100)], sources=SOURCES, record=RECORD)


def test_a_stored_manifest_comes_back(store, manifest):
    store.put(manifest)
    store.put(manifest)
    found = store.get(manifest.identity)
    assert found == manifest
    assert list(found) == list(manifest)
    assert (found.record, found.sources, found.size, len(found)) == (RECORD, SOURCES, 100, 100)
    assert store.identities() == [manifest.identity]
    assert manifest.identity in store


def test_an_empty_manifest_can_be_stored(store):
    empty = Manifest.from_entries([], sources=SOURCES)
    store.put(empty)
    assert list(store.get(empty.identity)) == []


def test_an_unknown_identity_is_a_key_error(store):
    with pytest.raises(KeyError):
        store.get("0" * 64)
    assert store.identities() == []


def test_parts_that_two_versions_share_are_stored_once(store):
    names = [f"{number:07d}" for number in range(300_000)]
    whole = page(names)
    old = build(runs_of(whole), sources=SOURCES, record=RECORD)
    new = build(
        runs_of(pa.Table.from_batches([whole[:-1]]).combine_chunks().to_batches()[0]), sources=SOURCES, record=RECORD
    )
    store.put(old)
    store.put(new)
    assert len(old.parts) > 2
    assert len([*(store.folder / "parts").iterdir()]) == len(old.parts) + 1
    assert store.get(old.identity).diff(store.get(new.identity)).counts["removed"] == 1


def test_an_exported_file_is_stored_in_the_parts_it_came_from(store, tmp_path):
    names = [f"{number:07d}" for number in range(200_000)]
    manifest = build(runs_of(page(names)), sources=SOURCES, record=RECORD)
    manifest.save(tmp_path / "m.parquet")
    store.put(Manifest.load(tmp_path / "m.parquet"))
    assert [part.hash for part in store.get(manifest.identity).parts] == [part.hash for part in manifest.parts]


def test_writers_at_once_do_not_disturb_each_other(store, manifest):
    others = [Manifest.from_entries([s3_entry(f"x{number}")], sources=SOURCES) for number in range(5)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(store.put, [manifest, *others] * 6))
    assert store.identities() == sorted(m.identity for m in [manifest, *others])
    for identity in store.identities():
        store.get(identity).check()
    assert not [path for path in store.folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_a_full_disk_leaves_no_root_and_no_rest(store, manifest, monkeypatch, fails_at):
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ManifestError, match="No space left"):
        store.put(manifest)
    for path in (store.folder / "roots").iterdir():
        assert not path.name.startswith(".")
    for path in (store.folder / "parts").iterdir():
        assert not path.name.startswith(".")
    monkeypatch.undo()
    store.put(manifest)
    store.get(manifest.identity).check()


def test_a_damaged_part_is_noticed_before_a_row_of_it_is_used(store, manifest):
    store.put(manifest)
    part = next((store.folder / "parts").iterdir())
    raw = bytearray(part.read_bytes())
    raw[len(raw) // 2] ^= 1
    part.write_bytes(raw)
    found = store.get(manifest.identity)
    for read in (list, lambda m: m["001"], lambda m: m.select(exclude="x"), lambda m: m.check()):
        with pytest.raises(ManifestFormatError, match="hash differs"):
            read(found)


def test_a_missing_or_cut_part_is_noticed_when_the_manifest_is_opened(store, manifest):
    store.put(manifest)
    part = next((store.folder / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ManifestFormatError, match="missing or cut"):
        store.get(manifest.identity)
    part.unlink()
    with pytest.raises(ManifestFormatError, match="missing or cut"):
        store.get(manifest.identity)


def test_an_edited_or_newer_root_is_noticed(store, manifest):
    store.put(manifest)
    root = store.folder / "roots" / f"{manifest.identity}.json"
    values = orjson.loads(root.read_bytes())
    root.write_bytes(orjson.dumps({**values, "rows": 99}))
    with pytest.raises(ManifestFormatError, match="checksum"):
        store.get(manifest.identity)
    root.write_bytes(orjson.dumps({**values, "format": 99}))
    with pytest.raises(ManifestVersionError):
        store.get(manifest.identity)
    root.write_bytes(b"{")
    with pytest.raises(ManifestFormatError):
        store.get(manifest.identity)


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path, manifest):
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match="cannot be written"):
        ManifestStore(tmp_path / "file" / "manifests").put(manifest)


def many(rows: int) -> pa.RecordBatch:
    return page([f"{number:07d}" for number in range(rows)])


def test_parts_that_this_process_wrote_are_linked_and_others_copied(tmp_path):
    manifest = build(runs_of(many(200_000)), sources=SOURCES, record=RECORD)
    one, other = ManifestStore(tmp_path / "one"), ManifestStore(tmp_path / "other")
    one.put(manifest)
    stored = one.get(manifest.identity).parts[0].where
    assert stored.samefile(manifest.parts[0].where)
    other.put(one.get(manifest.identity))
    copied = other.get(manifest.identity).parts[0].where
    assert not copied.samefile(stored)
    assert copied.read_bytes() == stored.read_bytes()


@pytest.mark.parametrize("late", [None, 40_000, 199_999])
def test_a_part_leaves_out_empty_columns_until_a_row_has_a_value(tmp_path, late):
    batch = many(200_000)
    if late is not None:
        batch = batch.set_column(
            batch.schema.get_field_index("etag"),
            "etag",
            pa.array(['"multipart-2"' if row == late else None for row in range(len(batch))], pa.string()),
        )
    manifest = build(runs_of(batch), sources=SOURCES, record=RECORD)
    store = ManifestStore(tmp_path)
    store.put(manifest)
    again = store.get(manifest.identity)
    again.check()
    assert pa.Table.from_batches(again.batches()).combine_chunks().to_batches()[0].equals(batch)
    names = [pq.read_schema(part.where).names for part in again.parts]
    assert sum("etag" in columns for columns in names) == (late is not None)
    assert not any("checksum" in columns for columns in names)


@pytest.mark.parametrize("of", ["roots", "parts"])
def test_what_is_stored_and_cut_is_written_again(store, manifest, of):
    store.put(manifest)
    for file in (store.folder / of).iterdir():
        os.truncate(file, 50)
    store.put(manifest)
    again = store.get(manifest.identity)
    again.check()
    assert list(again) == list(manifest)
