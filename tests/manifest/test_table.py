"""A manifest in use: look-ups, selections, files, and files that are not what they should be."""

from __future__ import annotations

import errno
import os
import random
import string
import uuid

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.errors import ManifestError, ManifestFormatError, ManifestVersionError, NotFoundError
from asyncref.globs import Filter
from asyncref.manifest import Manifest, build
from asyncref.manifest.parts import Writer
from asyncref.manifest.rows import batch_of
from asyncref.model import ENTRY_SCHEMA
from tests.manifest import RECORD, SOURCES, entries, page, paths, runs_of, s3_entry


@pytest.fixture(scope="module")
def large() -> Manifest:
    names = [f"{number // 1000:03d}/{number:06d}" for number in range(120_000)]
    return build(runs_of(page(names)), sources=SOURCES[:1], record=RECORD)


@given(entries(), paths)
def test_look_ups_find_what_is_there_and_nothing_else(rows, other):
    manifest = Manifest.from_entries(rows, sources=SOURCES)
    for row in rows:
        assert manifest[row.path] == row
    assert (other in manifest) == (other in {row.path for row in rows})
    if other not in manifest:
        with pytest.raises(KeyError):
            manifest[other]


def test_look_ups_reach_every_row_group_and_part(large):
    for number in random.Random(3).sample(range(120_000), 40):
        path = f"{number // 1000:03d}/{number:06d}"
        assert large[path].ref == f"s3://bucket/data/{path}"
    assert "050/050000x" not in large
    assert "" not in large
    assert "zzz" not in large


def test_batches_are_read_between_bounds_only(large):
    seen = list(large.batches("050/", "051/"))
    assert sum(map(len, seen)) < 100_000
    assert any("050/050500" in batch["path"].to_pylist() for batch in seen)


def test_a_prefix_is_a_path_and_never_the_beginning_of_another_name():
    names = ["mnist", "mnist-old/a", "mnist.txt", "mnist/a", "mnist/b/c", "mnist0", "mnist2/a"]
    manifest = Manifest.from_entries([s3_entry(name) for name in names], sources=SOURCES)
    assert [entry.path for entry in manifest.select(prefix="mnist")] == ["mnist", "mnist/a", "mnist/b/c"]
    assert [entry.path for entry in manifest.select(prefix="mnist/")] == ["mnist/a", "mnist/b/c"]
    assert [entry.path for entry in manifest.select(prefix="none")] == []


@given(entries(), st.sampled_from([None, "a", "*.b", "a/**", "**/x", "[a-é]*"]), st.sampled_from([None, "a", "é"]))
def test_globs_choose_as_they_choose_single_paths(rows, include, exclude):
    rows = [row for row in rows if not {"\n", "\r"} & set(row.path)]
    chosen = Filter.of(include, exclude)
    selected = Manifest.from_entries(rows, sources=SOURCES).select(include=include, exclude=exclude)
    kept = [row for row in rows if chosen.matches(row.path)]
    assert list(selected) == kept
    assert selected == Manifest.from_entries(kept, sources=SOURCES)


def test_a_selection_of_a_large_manifest_has_its_own_size_and_the_same_record(large):
    selected = large.select(prefix="077", exclude="*5")
    assert len(selected) == 900
    assert selected.size < large.size
    assert selected.record == large.record


@given(rows=entries())
def test_an_exported_file_gives_the_manifest_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("export") / "m.parquet"
    manifest = Manifest.from_entries(rows, sources=SOURCES, record=RECORD)
    manifest.save(file)
    loaded = Manifest.load(file)
    assert loaded == manifest
    assert list(loaded) == rows
    assert (loaded.record, loaded.sources, loaded.digest) == (RECORD, SOURCES, manifest.digest)
    assert [path.name for path in file.parent.iterdir()] == ["m.parquet"]


def test_an_exported_large_manifest_can_be_looked_into(large, tmp_path):
    large.save(tmp_path / "m.parquet")
    assert Manifest.load(tmp_path / "m.parquet")["100/100007"].ref.endswith("/100007")


@pytest.mark.parametrize(
    ("kind", "versions", "most"), [("counter", 0, 25), ("uuid", 0, 45), ("counter", 1, 60), ("uuid", 1, 80)]
)
def test_an_object_takes_few_bytes_on_disk(kind, versions, most):
    source = random.Random(5)
    names = [f"{number:010d}" for number in range(70_000)]
    if kind == "uuid":
        names = sorted(str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in names)
    batch = page(names)
    if versions:
        signs = string.ascii_letters + string.digits + "._"
        ids = pa.array(["".join(source.choices(signs, k=32)) for _ in names])
        batch = batch.set_column(6, ENTRY_SCHEMA.field("version"), ids)
    manifest = build(runs_of(batch), sources=SOURCES, record=RECORD)
    assert sum(part.bytes for part in manifest.parts) / len(manifest) <= most


def test_the_logical_table_has_every_column(large):
    table = large.select(prefix="001").to_arrow()
    assert table.num_rows == 1000
    assert table.column_names == ["path", "ref", "size", "digest", "etag", "version", "checksum", "modified", "source"]
    assert table["etag"][0].as_py() == f'"{table["digest"][0]}"'


def test_the_representation_of_a_manifest_stays_small(large):
    assert len(repr(large)) < 120
    assert "120,000 entries" in repr(large)


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "m.parquet"
    rows = [s3_entry(f"{number:04d}") for number in range(500)]
    Manifest.from_entries(rows, sources=SOURCES, record=RECORD).save(file)
    return file


def rewritten(file, rows=None, root=None):
    """The same file with other rows or another root, as somebody's own tool would write it."""
    old = Manifest.load(file)
    text = orjson.dumps(root(orjson.loads(old.root().dump()))) if root else old.root().dump()
    batch = batch_of(rows(list(old)) if rows else list(old), SOURCES)
    writer = Writer(pa.OSFile(str(file), "wb"), root=text)
    writer.write(batch)
    writer.close()
    writer._sink.close()


def test_the_rewriting_helper_itself_gives_a_good_file(saved):
    rewritten(saved)
    assert len(Manifest.load(saved)) == 500


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(lambda rows: rows[:-1], id="a row left out"),
        pytest.param(lambda rows: [*rows[:7], s3_entry(rows[7].path, content="other"), *rows[8:]], id="an etag edited"),
        pytest.param(lambda rows: [*rows[:7], s3_entry(rows[7].path, size=-5), *rows[8:]], id="a negative size"),
        pytest.param(lambda rows: [*rows[:7], rows[7], *rows[7:]], id="two rows of one path"),
        pytest.param(lambda rows: [rows[1], rows[0], *rows[2:]], id="out of order"),
        pytest.param(lambda rows: [s3_entry(""), *rows[1:]], id="an empty path"),
    ],
)
def test_edited_rows_are_found_out(saved, rows):
    rewritten(saved, rows=rows)
    with pytest.raises(ManifestFormatError) as raised:
        Manifest.load(saved)
    assert str(saved) in str(raised.value)


def test_an_edited_root_is_found_out(saved):
    rewritten(saved, root=lambda root: {**root, "sources": [{**root["sources"][0], "endpoint": "http://evil"}]})
    with pytest.raises(ManifestFormatError, match="checksum"):
        Manifest.load(saved)


def test_a_newer_format_is_called_newer(saved):
    rewritten(saved, root=lambda root: {**root, "format": 2, "new": True})
    with pytest.raises(ManifestVersionError, match="update asyncref"):
        Manifest.load(saved)


def test_a_cut_file_is_an_error_wherever_it_is_cut(saved):
    whole = saved.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(ManifestFormatError) as raised:
            Manifest.load(saved)
        assert str(saved) in str(raised.value)


@given(st.data())
def test_a_flipped_bit_never_gives_another_manifest(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("bits") / "m.parquet"
    rows = [s3_entry(f"{number:03d}", version="v") for number in range(50)]
    good = Manifest.from_entries(rows, sources=SOURCES, record=RECORD)
    good.save(file)
    raw = bytearray(file.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(raw)
    try:
        loaded = Manifest.load(file)
    except ManifestError:
        return
    assert loaded == good
    assert [entry.pin.version for entry in loaded] == ["v"] * 50


def test_a_foreign_parquet_file_is_no_manifest(tmp_path):
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(ManifestFormatError, match="not a manifest"):
        Manifest.load(tmp_path / "x.parquet")


def test_a_missing_file_is_an_error_with_its_name(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.parquet: no such file"):
        Manifest.load(tmp_path / "none.parquet")


def test_a_file_that_changes_after_it_was_loaded_is_noticed(saved):
    manifest = Manifest.load(saved)
    whole = saved.read_bytes()
    saved.write_bytes(whole + b"x")
    with pytest.raises(ManifestFormatError, match="changed after it was loaded"):
        list(manifest)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(ManifestError, match="No space left"):
        Manifest.from_entries([s3_entry("z")], sources=SOURCES).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_saving_into_no_folder_is_one_error(tmp_path):
    with pytest.raises(ManifestError, match="cannot be written"):
        Manifest.from_entries([], sources=SOURCES).save(tmp_path / "none" / "m.parquet")


def test_a_save_whose_rows_cannot_be_read_leaves_nothing(saved):
    manifest = Manifest.load(saved)
    saved.write_bytes(saved.read_bytes() + b"x")
    with pytest.raises(ManifestFormatError):
        manifest.save(saved.parent / "copy.parquet")
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
