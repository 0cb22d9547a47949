"""The part of the contract that holds for places which keep versions, as tests to mix in."""

from __future__ import annotations

import pyarrow as pa

from asyncref.backends.base import Backend
from asyncref.errors import StorageError
from asyncref.model import PAGE_SCHEMA, ListRequest, ReadRequest
from asyncref.testing.place import Place, body_of, listed


class VersionContract:
    """For a place that keeps versions: mix into a `BackendContract` whose abilities say so."""

    async def test_versions_are_known_of(self, backend: Backend) -> None:
        """Or not to be learnt; never denied."""
        assert await backend.versioning() in (True, None)

    async def test_a_listing_gives_the_latest_version_only(self, place: Place, backend: Backend) -> None:
        """Older versions and delete markers cost rows of a page, and are none."""
        for name in ("a", "b", "c"):
            for number in range(4):
                await place.put(place.root + name, f"{name}{number}".encode())
        await place.delete(f"{place.root}b")
        listing = await listed(backend, ListRequest(prefix=place.root, limit=3, versions=True))
        assert listing.keys == [f"{place.root}a", f"{place.root}c"]
        assert sum(page.seen for page in listing.pages) == 13  # noqa: PLR2004  three keys, four versions, one marker
        for key, row in listing.rows.items():
            assert row["version"] == (await backend.stat(key)).version

    async def test_a_key_whose_versions_span_pages_comes_once(self, place: Place, backend: Backend) -> None:
        """The server's second marker is followed, so that such a listing ends."""
        for name, count in (("a", 1), ("m", 12), ("z", 1)):
            for number in range(count):
                await place.put(place.root + name, str(number).encode())
        listing = await listed(backend, ListRequest(prefix=place.root, limit=5, versions=True))
        assert listing.keys == [place.root + name for name in "amz"]
        assert sum(page.seen for page in listing.pages) == 14  # noqa: PLR2004

    async def test_an_old_version_is_read_after_overwrite_and_delete(self, place: Place, backend: Backend) -> None:
        """The same bytes, and the answer says which version they are."""
        key = f"{place.root}object"
        await place.put(key, b"old")
        pin = await backend.stat(key)
        await place.put(key, b"newer")
        await place.delete(key)
        answer, data = await body_of(backend, ReadRequest(key, version=pin.version, if_match=pin.etag))
        assert (data, answer.etag) == (b"old", pin.etag)
        assert answer.version in (pin.version, None)
        assert (await backend.stat(key, pin.version)).size == 3  # noqa: PLR2004

    async def test_history_is_newest_first_and_of_exactly_this_key(self, place: Place, backend: Backend) -> None:
        """Neighbours that share the name's start do not take part, nor do delete markers."""
        key = f"{place.root}object"
        for data in (b"1", b"22", b"333"):
            await place.put(key, data)
            await place.put(f"{key}2", data)
        await place.delete(key)
        history: pa.RecordBatch = await backend.history(key)
        assert history.schema.equals(PAGE_SCHEMA)
        assert history["key"].to_pylist() == [key] * 3
        assert history["size"].to_pylist() == [3, 2, 1]
        assert (await backend.history(f"{place.root}nothing")).num_rows == 0

    async def test_a_version_that_never_was_is_not_passed_off(self, place: Place, backend: Backend) -> None:
        """An error, or an answer that names another version."""
        await place.put(f"{place.root}object", b"x")
        never = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        try:
            answer, _ = await body_of(backend, ReadRequest(f"{place.root}object", version=never))
        except StorageError:
            return
        assert answer.version not in (None, never)
