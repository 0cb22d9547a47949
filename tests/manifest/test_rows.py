"""The compact form holds everything, and there is one of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncref.manifest.rows import batch_of, canonical, compact, entries_of, expand
from asyncref.model import ENTRY_SCHEMA
from tests.manifest import SOURCES, entries, s3_entry


@given(entries())
def test_entries_come_back_from_the_compact_form_as_they_went_in(rows):
    assert list(entries_of(batch_of(rows, SOURCES), SOURCES)) == rows


@given(entries())
def test_compacting_the_expanded_form_gives_the_same_columns(rows):
    batch = batch_of(rows, SOURCES)
    again = compact(expand(batch, SOURCES), SOURCES)
    assert again.equals(batch)
    assert again.schema == ENTRY_SCHEMA


@given(entries())
def test_a_row_that_spells_out_what_follows_is_brought_to_the_same_form(rows):
    batch, logical = batch_of(rows, SOURCES), expand(batch_of(rows, SOURCES), SOURCES)
    spelt = batch.set_column(1, ENTRY_SCHEMA.field("ref"), logical["ref"])
    spelt = spelt.set_column(5, ENTRY_SCHEMA.field("digest"), logical["digest"])
    assert canonical(spelt, SOURCES).equals(batch)


@given(entries(), st.data())
def test_a_slice_expands_to_the_slice_of_the_expansion(rows, data):
    batch = batch_of(rows, SOURCES)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    assert expand(batch[start:stop], SOURCES).equals(expand(batch, SOURCES)[start:stop])
    assert list(entries_of(batch[start:stop], SOURCES)) == rows[start:stop]


def test_what_follows_from_other_columns_takes_no_room():
    batch = batch_of([s3_entry("a"), s3_entry("b")], SOURCES)
    for name in ("ref", "etag", "digest", "version", "md5", "checksum"):
        assert batch[name].null_count == 2, name
    assert batch["etag16"].null_count == 0


def test_a_row_without_any_pin_has_its_reference_as_digest():
    row = s3_entry("a")
    bare = batch_of([row], SOURCES).set_column(3, ENTRY_SCHEMA.field("etag16"), batch_of([row], SOURCES)["md5"])
    assert expand(bare, SOURCES)["digest"].to_pylist() == ["s3://bucket/data/a"]
