"""The GCS backend passes the contract on fake-gcs-server, with versions kept and without."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
from anyio import to_thread

from asyncref.backends import open_backend
from asyncref.engine.scan import Target, scan
from asyncref.errors import ProtocolError
from asyncref.model import ListRequest
from asyncref.testing import Abilities, BackendContract, Place, VersionContract, listed
from asyncref.uri import Reference
from tests.servers.fake_gcs import GcsServer, fake_gcs_server


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory):
    with fake_gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@dataclass
class Bucket:
    """Seeded by the server's own upload API."""

    server: GcsServer
    name: str
    root: str = "root/"

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        await to_thread.run_sync(partial(self.server.put, self.name, key, data, encoding=encoding))

    async def delete(self, key: str) -> None:
        await to_thread.run_sync(self.server.delete, self.name, key)


class TestFakeGcs(BackendContract):
    # No object's name holds a line feed (Cloud Storage's documentation, "About objects", naming requirements).
    abilities = Abilities(lacks_keys=frozenset({"tab\tline\nend"}))

    @pytest.fixture
    def place(self, fake_gcs, bucket) -> Place:
        fake_gcs.make_bucket(bucket, versioned=self.abilities.versions)
        return Bucket(fake_gcs, bucket)

    @pytest.fixture
    async def backend(self, fake_gcs, place):
        backend = open_backend(Reference("gs", place.name, place.root), fake_gcs.storage_options)
        yield backend
        await backend.aclose()

    @pytest.fixture
    async def lost_backend(self, fake_gcs):
        backend = open_backend(Reference("gs", "no-such-bucket-here", ""), fake_gcs.storage_options)
        yield backend
        await backend.aclose()

    async def test_without_versions_asking_for_them_is_refused(self, place: Place, backend) -> None:
        """Not here: every object has its generation, which is kept or not."""
        if self.abilities.versions:
            pytest.skip("this place keeps versions")
        await place.put(f"{place.root}object", b"x")
        await place.put(f"{place.root}object", b"xy")
        assert not await backend.versioning()
        history = await backend.history(f"{place.root}object")
        assert history["size"].to_pylist() == [2]
        assert history["version"].to_pylist() == [(await backend.stat(f"{place.root}object")).version]


class TestFakeGcsWithVersions(VersionContract, TestFakeGcs):
    abilities = Abilities(lacks_keys=frozenset({"tab\tline\nend"}), versions=True)

    async def test_a_listing_gives_the_latest_version_only(self, place: Place, backend) -> None:
        """Older generations cost no rows of a page, unlike on S3."""
        for name in ("a", "b", "c"):
            for number in range(4):
                await place.put(place.root + name, f"{name}{number}".encode())
        await place.delete(f"{place.root}b")
        listing = await listed(backend, ListRequest(prefix=place.root, limit=3, versions=True))
        assert listing.keys == [f"{place.root}a", f"{place.root}c"]
        for key, row in listing.rows.items():
            assert row["version"] == (await backend.stat(key)).version

    async def test_a_key_whose_versions_span_pages_comes_once(self, place: Place, backend) -> None:
        for name, count in (("a", 1), ("m", 12), ("z", 1)):
            for number in range(count):
                await place.put(place.root + name, str(number).encode())
        listing = await listed(backend, ListRequest(prefix=place.root, limit=2, versions=True))
        assert listing.keys == [place.root + name for name in "amz"]

    async def test_a_history_that_does_not_advance_is_an_error(self, place: Place, backend) -> None:
        """fake-gcs-server gives the same page for ever once generations fill more than one."""
        for data in (b"1", b"22", b"333"):
            await place.put(f"{place.root}object", data)
        with pytest.raises(ProtocolError, match="does not advance"):
            await backend.history(f"{place.root}object", limit=2)

    async def test_what_lay_there_at_a_moment_is_told(self, fake_gcs, place: Place, backend) -> None:
        """Overwritten, deleted, younger, untouched: by the times that the server gives."""
        for key in ("a", "b", "c"):
            await place.put(place.root + key, f"old {key}".encode())
        versions = {key: (await backend.stat(place.root + key)).version for key in ("a", "b", "c")}
        then = max([(await backend.stat(place.root + key)).modified for key in ("a", "b", "c")])
        await place.put(f"{place.root}a", b"new")
        await place.delete(f"{place.root}b")
        await place.put(f"{place.root}d", b"younger")
        await place.put(f"{place.root}d", b"younger still")
        uri = backend.reference(place.root)
        manifest = await scan([Target(uri=uri)], storage_options=fake_gcs.storage_options, at=then)
        assert {entry.path: entry.pin.version for entry in manifest} == versions
        assert [entry.path for entry in await scan([Target(uri=uri)], storage_options=fake_gcs.storage_options)] == [
            "a", "c", "d",
        ]  # fmt: skip
