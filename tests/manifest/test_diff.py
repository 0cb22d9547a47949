"""Differences are those that a dictionary would show."""

from __future__ import annotations

from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from asyncref.manifest import Manifest, build, diff
from tests.manifest import RECORD, SOURCES, entries, entry, page, runs_of, s3_entry


def content(row):
    mere_url = (pin(row), row.pin.size) if row.digest == row.ref else None
    return (row.ref, row.size, row.digest, mere_url)


def pin(row):
    return (row.pin.etag, row.pin.version, row.pin.checksum)


@st.composite
def two_states(draw):
    """Rows before and after: some kept, some with a new pin, some replaced, some gone, some new."""
    rows = draw(entries(max_size=16))
    after = []
    for row in rows:
        match draw(st.sampled_from(["keep", "keep", "version", "replace", "remove"])):
            case "keep":
                after.append(row)
            case "version":
                after.append(replace(row, pin=replace(row.pin, version=f"{row.pin.version}+")))
            case "replace":
                after.append(draw(entry(row.path)))
    fresh = [row for row in draw(entries(max_size=6)) if row.path not in {old.path for old in rows}]
    return rows, sorted([*after, *fresh], key=lambda row: row.path)


@given(two_states())
def test_a_diff_says_what_a_dictionary_says(states):
    before, after = ({row.path: row for row in rows} for rows in states)
    found = diff(*(Manifest.from_entries(rows, sources=SOURCES) for rows in states))
    both = before.keys() & after.keys()
    changed = {path for path in both if content(before[path]) != content(after[path])}
    pinned = {path for path in both - changed if pin(before[path]) != pin(after[path])}
    kinds = {
        "added": after.keys() - before.keys(),
        "removed": before.keys() - after.keys(),
        "changed": changed,
        "version_only": pinned,
    }
    assert {kind: {change.path for change in found if change.kind == kind} for kind in kinds} == kinds
    for change in found:
        assert (change.old, change.new) == (before.get(change.path), after.get(change.path))
    assert [change.path for change in found] == sorted(change.path for change in found)
    assert found.unchanged == len(both) - len(changed) - len(pinned)
    assert found.same_content == (not kinds["added"] and not kinds["removed"] and not changed)
    assert bool(found) == any(kinds.values())
    assert found.bytes_added == sum(after[path].size or 0 for path in kinds["added"] | changed)
    assert found.bytes_removed == sum(before[path].size or 0 for path in kinds["removed"] | changed)


@given(two_states())
def test_the_json_of_a_diff_can_be_written_and_counts_right(states):
    found = diff(*(Manifest.from_entries(rows, sources=SOURCES) for rows in states))
    values = orjson.loads(orjson.dumps(found.to_json()))
    assert values["schema"] == "asyncref.diff/1"
    assert len(values["changes"]) == len(found) == sum(found.counts.values()) - found.unchanged
    assert values["old"]["entries"] == len(states[0])


def test_the_same_content_from_other_sources_is_compared_by_its_references():
    rows = [s3_entry("a"), s3_entry("b")]
    moved = [replace(row, source=1) for row in rows]
    found = Manifest.from_entries(rows, sources=SOURCES[:1]).diff(
        Manifest.from_entries(moved, sources=[SOURCES[1], SOURCES[0]])
    )
    assert not found


def test_parts_that_both_have_are_not_read(monkeypatch):
    manifest = build(runs_of(page([f"{number:07d}" for number in range(90_000)])), sources=SOURCES, record=RECORD)
    monkeypatch.setattr(Manifest, "open", lambda *_: (_ for _ in ()).throw(AssertionError("read")))
    assert manifest.diff(manifest).unchanged == 90_000


def test_rows_past_the_end_of_the_other_are_found():
    names = [f"{number:06d}" for number in range(100_000)]
    whole = page(names)
    old = build(runs_of(whole[:40_000]), sources=SOURCES, record=RECORD)
    new = build(runs_of(whole), sources=SOURCES, record=RECORD)
    assert old.diff(new).counts == {"added": 60_000, "removed": 0, "changed": 0, "version_only": 0, "unchanged": 40_000}
    assert new.diff(old).counts["removed"] == 60_000
