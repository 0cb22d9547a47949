"""The contract that every backend passes, as tests to subclass; what is seeded bypasses the backend under test."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from asyncref.backends.base import Backend
from asyncref.errors import ChangedError, ContainerNotFoundError, NotFoundError, UnsupportedError
from asyncref.model import PAGE_SCHEMA, KeyRange, ListRequest, ReadRequest
from asyncref.testing.place import NASTY_KEYS, Abilities, Place, body_of, listed
from asyncref.uri import parse


class BackendContract:
    """Subclass it as `TestMine`, declare `abilities`, and give two fixtures: `place` and `backend`.

    Where the storage has containers, also `lost_backend`: one of a container that is not there.
    """

    abilities: ClassVar[Abilities] = Abilities()

    @pytest.fixture
    def place(self) -> Place:
        """Where to seed; empty at the start of a test."""
        raise NotImplementedError

    @pytest.fixture
    def backend(self, place: Place) -> Backend:
        """The backend under test, over the same place."""
        raise NotImplementedError

    @pytest.fixture
    def lost_backend(self) -> Backend:
        """A backend of a container that does not exist."""
        pytest.skip("this storage has no containers")

    def key_of(self, place: Place, name: str) -> str:
        """The key of an object by its name; another one where keys are escaped, as parts of URLs are."""
        return place.root + name

    @pytest.mark.parametrize("name", NASTY_KEYS, ids=ascii)
    async def test_every_key_is_listed_pinned_and_read_as_it_stands(
        self, name: str, place: Place, backend: Backend
    ) -> None:
        """No escape, decoding or normalisation changes which object is meant."""
        if name in self.abilities.lacks_keys:
            pytest.skip(f"this storage cannot hold {name!r}")
        key, data = self.key_of(place, name), f"the bytes of {name}".encode()
        await place.put(key, data)
        rows = (await listed(backend, ListRequest(prefix=place.root, versions=self.abilities.versions))).rows
        assert list(rows) == [key]
        assert rows[key]["size"] == len(data) or not self.abilities.listed_sizes
        assert (await backend.stat(key)).size == len(data)
        assert (await body_of(backend, ReadRequest(key)))[1] == data
        source = backend.source(parse(backend.reference(place.root)))
        assert source.key_of(backend.reference(key)) == key

    @pytest.mark.parametrize("limit", [1, 7, 1000])
    async def test_pages_are_complete_in_order_and_end_when_the_server_says_so(
        self, limit: int, place: Place, backend: Backend
    ) -> None:
        """Whatever the size of a page, every key comes once."""
        keys = [f"{place.root}{number:02}" for number in range(23)]
        for key in keys:
            await place.put(key, key.encode())
        request = ListRequest(prefix=place.root, limit=limit, versions=self.abilities.versions)
        listing = await listed(backend, request)
        assert list(listing.rows) == listing.keys
        assert listing.keys == keys if backend.traits.ordered else sorted(listing.keys) == keys
        assert all(page.batch.schema.equals(PAGE_SCHEMA) for page in listing.pages)
        assert all(page.batch.num_rows <= limit for page in listing.pages)
        for page in listing.pages:
            page.batch.validate(full=True)
            assert (page.first is None) == (page.last is None) == (page.seen == 0)

    async def test_an_empty_place_gives_one_page_without_rows(self, place: Place, backend: Backend) -> None:
        """Nothing there is an answer, not an error."""
        listing = await listed(backend, ListRequest(prefix=place.root, versions=self.abilities.versions))
        assert [page.batch.num_rows for page in listing.pages] == [0]

    async def test_a_range_starts_after_its_first_bound_and_reaches_its_last(
        self, place: Place, backend: Backend
    ) -> None:
        """`(after, last]`, even where the server's own marker includes its key or is no key at all."""
        if not backend.traits.ranged:
            pytest.skip("this storage lists from the start only")
        keys = [f"{place.root}{number:02}" for number in range(12)]
        for key in keys:
            await place.put(key, b"x")
        bounds = [(None, keys[4]), (keys[4], keys[8]), (keys[8], None), (keys[11], None)]
        if self.abilities.any_marker:
            bounds += [(f"{keys[4]}~", keys[7]), (f"{place.root}0", f"{place.root}02~")]
        for after, last in bounds:
            within = KeyRange(after, last)
            request = ListRequest(prefix=place.root, keys=within, limit=3, versions=self.abilities.versions)
            got = (await listed(backend, request)).rows
            assert [key for key in got if key in within] == [key for key in keys if key in within]
            assert after is None or all(key >= after for key in got)

    async def test_a_folder_is_not_its_siblings(self, place: Place, backend: Backend) -> None:
        """`mnist/` is neither `mnist2/` nor `mnist-old/`."""
        names = [
            "mnist-old/a",
            "mnist/a",
            "mnist/b/c",
            "mnist2/a",
            *(["mnist"] if self.abilities.file_and_folder else []),
        ]
        for name in names:
            await place.put(place.root + name, name.encode())
        request = ListRequest(prefix=f"{place.root}mnist/", versions=self.abilities.versions)
        assert sorted((await listed(backend, request)).rows) == [f"{place.root}mnist/a", f"{place.root}mnist/b/c"]
        whole = await listed(backend, replace(request, prefix=place.root))
        assert sorted(whole.rows) == sorted(place.root + name for name in names)
        if self.abilities.file_and_folder:
            assert (await body_of(backend, ReadRequest(f"{place.root}mnist")))[1] == b"mnist"

    async def test_what_lies_right_under_a_prefix_is_told_where_the_storage_can(
        self, place: Place, backend: Backend
    ) -> None:
        """Objects as rows, folders by their names, and nothing of what is in these."""
        if not backend.traits.delimited:
            pytest.skip("this storage lists no single level")
        for name in ("a/1", "a/2/3", "b", "c/d"):
            await place.put(place.root + name, b"x")
        page = await backend.list_page(ListRequest(prefix=place.root, folders=True))
        assert page.batch.column(0).to_pylist() == [f"{place.root}b"]
        assert page.folders == (f"{place.root}a/", f"{place.root}c/")
        assert page.cursor is None

    async def test_a_listing_and_a_stat_pin_alike(self, place: Place, backend: Backend) -> None:
        """Size and time are the same; where a listing pins, so are ETag and version."""
        key = f"{place.root}object"
        await place.put(key, b"some bytes")
        request = ListRequest(prefix=place.root, versions=self.abilities.versions)
        row, pin = (await listed(backend, request)).rows[key], await backend.stat(key)
        assert (row["size"] if self.abilities.listed_sizes else 10, pin.size) == (10, 10)
        assert pin.etag or pin.checksum or pin.version
        assert row["modified"] is not None
        assert pin.modified is not None
        if backend.traits.listing_pins:
            assert _etag(row) == pin.etag
            assert row["version"] in (pin.version, None if not self.abilities.versions else pin.version)

    async def test_other_bytes_have_another_pin_and_the_same_bytes_the_same(
        self, place: Place, backend: Backend
    ) -> None:
        """A pin without its version names the content."""
        key, pins = f"{place.root}object", []
        for data in (b"one", b"two", b"one"):
            await place.put(key, data)
            pins.append(await backend.stat(key))
        assert pins[0].etag != pins[1].etag or pins[0].checksum != pins[1].checksum
        assert pins[0].checksum == pins[2].checksum
        assert pins[0].etag == pins[2].etag or not self.abilities.etags_of_content
        assert not self.abilities.versions or len({pin.version for pin in pins}) == len(pins)

    @pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (3, 7), (9, 10), (0, 10)])
    async def test_a_ranged_read_gives_that_range_and_says_so(
        self, start: int, stop: int | None, place: Place, backend: Backend
    ) -> None:
        """Half-open byte ranges; the answer's claims fit the bytes."""
        await place.put(f"{place.root}object", b"0123456789")
        answer, data = await body_of(backend, ReadRequest(f"{place.root}object", start=start, stop=stop))
        assert data == b"0123456789"[start:stop]
        assert (answer.start, answer.stop) == (start, 10 if stop is None else stop)
        assert answer.total in (10, None)

    async def test_an_object_of_no_bytes_is_listed_and_read(self, place: Place, backend: Backend) -> None:
        """Size 0 is a size."""
        await place.put(f"{place.root}empty", b"")
        rows = (await listed(backend, ListRequest(prefix=place.root, versions=self.abilities.versions))).rows
        assert rows[f"{place.root}empty"]["size"] == 0 or not self.abilities.listed_sizes
        assert (await backend.stat(f"{place.root}empty")).size == 0
        answer, data = await body_of(backend, ReadRequest(f"{place.root}empty"))
        assert (answer.start, data) == (0, b"")

    async def test_a_large_object_arrives_whole(self, place: Place, backend: Backend) -> None:
        """More than one chunk."""
        data = bytes(range(256)) * 20_000
        await place.put(f"{place.root}large", data)
        assert (await body_of(backend, ReadRequest(f"{place.root}large")))[1] == data

    async def test_a_compressed_object_stays_as_it_is_stored(self, place: Place, backend: Backend) -> None:
        """Content-Encoding is a label; size and bytes are the stored ones."""
        if not self.abilities.encodings:
            pytest.skip("this storage has no Content-Encoding")
        stored = gzip.compress(b"x" * 10_000, mtime=0)
        await place.put(f"{place.root}object", stored, encoding="gzip")
        assert (await backend.stat(f"{place.root}object")).size == len(stored)
        answer, data = await body_of(backend, ReadRequest(f"{place.root}object"))
        assert data == stored
        assert answer.total in (len(stored), None)

    async def test_a_condition_that_fails_never_passes_other_bytes_off(self, place: Place, backend: Backend) -> None:
        """Either the server refuses, or its answer shows another ETag."""
        key = f"{place.root}object"
        await place.put(key, b"old")
        old = (await backend.stat(key)).etag
        if old is None:
            pytest.skip("this storage has no ETags")
        assert (await body_of(backend, ReadRequest(key, if_match=old)))[1] == b"old"
        await place.put(key, b"new")
        try:
            answer, _ = await body_of(backend, ReadRequest(key, if_match=old))
        except ChangedError:
            return
        assert answer.etag not in (None, old)

    async def test_what_is_missing_is_not_found(self, place: Place, backend: Backend) -> None:
        """Never denied, never empty; a folder is no object."""
        await place.put(f"{place.root}folder/object", b"x")
        for name in ("nothing", "folder", "folder/object2", "folder/"):
            with pytest.raises(NotFoundError):
                await backend.stat(place.root + name)
            with pytest.raises(NotFoundError):
                await body_of(backend, ReadRequest(place.root + name))

    async def test_what_was_deleted_is_gone(self, place: Place, backend: Backend) -> None:
        """From listings, too, whatever markers a storage keeps."""
        for name in ("a", "b", "c"):
            await place.put(place.root + name, b"x")
        await place.delete(f"{place.root}b")
        request = ListRequest(prefix=place.root, limit=2, versions=self.abilities.versions)
        assert (await listed(backend, request)).keys == [f"{place.root}a", f"{place.root}c"]
        with pytest.raises(NotFoundError):
            await backend.stat(f"{place.root}b")

    async def test_a_folder_marker_is_no_object(self, place: Place, backend: Backend) -> None:
        """A listing may show it; a stat does not find it."""
        if not backend.traits.folder_markers:
            pytest.skip("this storage has no folder markers")
        await place.put(f"{place.root}foo/", b"")
        await place.put(f"{place.root}foo/object", b"x")
        rows = (await listed(backend, ListRequest(prefix=place.root, versions=self.abilities.versions))).rows
        assert rows.pop(f"{place.root}foo/", {"size": 0})["size"] == 0
        assert list(rows) == [f"{place.root}foo/object"]
        with pytest.raises(NotFoundError):
            await backend.stat(f"{place.root}foo/")

    async def test_a_missing_container_is_called_that(self, place: Place, lost_backend: Backend) -> None:
        """Not an empty listing, and not a missing object."""
        with pytest.raises(ContainerNotFoundError):
            await lost_backend.list_page(ListRequest(prefix=place.root))

    async def test_closing_twice_is_fine(self, backend: Backend) -> None:
        """Idempotent."""
        await backend.aclose()
        await backend.aclose()

    async def test_without_versions_asking_for_them_is_refused(self, place: Place, backend: Backend) -> None:
        """Or answered with the weak version that every such object has."""
        if self.abilities.versions:
            pytest.skip("this place keeps versions")
        await place.put(f"{place.root}object", b"x")
        assert not await backend.versioning()
        try:
            history = await backend.history(f"{place.root}object")
        except UnsupportedError:
            return
        assert history["version"].to_pylist() in ([None], ["null"])


def _etag(row: dict[str, Any]) -> str | None:
    return f'"{row["etag16"].hex()}"' if row["etag16"] is not None else row["etag"]
