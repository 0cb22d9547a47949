"""Histories: 1,500 versions of one key in the middle of a prefix, delete markers, keys that came back."""

from __future__ import annotations

import pytest

from asyncref import blocking as ar
from asyncref.errors import NothingFoundError
from tests.endtoend import Bucket


def test_one_current_object_of_1500_versions_is_one_entry_and_its_neighbours_are_there(empty: Bucket) -> None:
    versions = 1500 if empty.server.checks_signatures else 1100  # moto is slow; a page holds 1,000
    empty.keep_versions()
    neighbours = {f"{side}{number}": b"x" for side in ("a", "z") for number in range(20)}
    empty.put(neighbours)
    empty.put_again("middle", (f"edition {number}".encode() for number in range(versions)))
    empty.put({"middle": b"the last edition"})
    manifest = ar.scan(empty.uri, storage_options=empty.options)
    assert {entry.path: (entry.pin.etag, entry.pin.version) for entry in manifest} == empty.current()
    assert {entry.path for entry in manifest} == {*neighbours, "middle"}
    assert manifest["middle"].size == len(b"the last edition")
    with ar.stream(manifest, include="middle", storage_options=empty.secrets) as items:
        assert [item.data for item in items] == [b"the last edition"]
    single = ar.scan(f"{empty.uri}middle", storage_options=empty.options)
    assert [entry.pin for entry in single] == [manifest["middle"].pin]


def test_delete_markers_hide_their_keys_and_nothing_else(empty: Bucket) -> None:
    empty.put({"before versioning": b"1", "hidden/before versioning": b"1"})
    empty.keep_versions()
    keys = ["a", "b", "back", "hidden/c", "hidden/d", "twice"]
    empty.put(dict.fromkeys(keys, b"first"))
    empty.delete(["back", "hidden/before versioning", "hidden/c", "hidden/d", "twice", "twice", "never there"])
    empty.put({"back": b"second"})
    manifest = ar.scan(empty.uri, storage_options=empty.options)
    assert [entry.path for entry in manifest] == ["a", "b", "back", "before versioning"]
    assert {entry.path: (entry.pin.etag, entry.pin.version) for entry in manifest} == empty.current()
    with ar.stream(manifest, include="back", storage_options=empty.secrets) as items:
        assert [item.data for item in items] == [b"second"]


def test_a_prefix_of_delete_markers_alone_holds_nothing(empty: Bucket) -> None:
    empty.keep_versions()
    keys = [f"gone/{number}" for number in range(30)]
    empty.put(dict.fromkeys(keys, b"x"))
    empty.delete(keys)
    with pytest.raises(NothingFoundError):
        ar.scan(f"{empty.uri}gone/", storage_options=empty.options)
