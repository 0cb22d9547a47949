"""The backend in memory passes the contract, and its faults are what they say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from asyncref.backends import open_backend
from asyncref.backends.base import Backend
from asyncref.errors import (
    AccessDeniedError,
    BrokenBodyError,
    ConnectionFailedError,
    ContainerNotFoundError,
    NotFoundError,
    ThrottledError,
    UnknownSchemeError,
)
from asyncref.model import KeyRange, ListRequest, ReadRequest
from asyncref.testing import (
    Abilities,
    BackendContract,
    Faults,
    MemoryBackend,
    MemoryStore,
    Place,
    VersionContract,
    body_of,
    listed,
    mounted,
)
from asyncref.uri import parse


@dataclass
class MemoryPlace:
    store: MemoryStore
    root: str = "root/"

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        del encoding  # a label; nothing here looks at it
        self.store.seed(key, data)

    async def delete(self, key: str) -> None:
        self.store.delete(key)


class TestMemory(BackendContract):
    abilities = Abilities()

    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace(MemoryStore(versioned=self.abilities.versions))

    @pytest.fixture
    def backend(self, place: MemoryPlace) -> Backend:
        return MemoryBackend(place.store)

    @pytest.fixture
    def lost_backend(self) -> Backend:
        return MemoryBackend(MemoryStore(exists=False))


class TestVersionedMemory(VersionContract, TestMemory):
    abilities = Abilities(versions=True)


class TestMemoryAtTheRoot(TestMemory):
    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace(MemoryStore(inclusive_markers=True), root="")


@pytest.mark.parametrize(
    ("fault", "error"), [("throttle", ThrottledError), ("reset", ConnectionFailedError), ("truncate", BrokenBodyError)]
)
async def test_a_scripted_fault_befalls_that_request_alone(fault, error):
    store = MemoryStore(faults=Faults(script={("get", 2): fault}))
    store.seed("a", b"some bytes")
    request = ReadRequest("a")
    assert (await body_of(MemoryBackend(store), request))[1] == b"some bytes"
    with pytest.raises(error):
        await body_of(MemoryBackend(store), request)
    assert (await body_of(MemoryBackend(store), request))[1] == b"some bytes"
    assert store.requests == {"get": 3}


async def test_the_same_seed_gives_the_same_faults():
    async def outcomes(seed):
        backend = MemoryBackend(MemoryStore(faults=Faults(seed=seed, throttle=0.5)))
        found = []
        for _ in range(50):
            try:
                await backend.stat("a")
            except ThrottledError:
                found.append("throttled")
            except NotFoundError:
                found.append("missing")
        return found

    assert await outcomes(1) == await outcomes(1)
    assert await outcomes(1) != await outcomes(2)
    assert set(await outcomes(1)) == {"throttled", "missing"}


async def test_conditions_ranges_and_versions_can_be_ignored():
    store = MemoryStore(versioned=True, faults=Faults(ignore_if_match=True, ignore_range=True, ignore_version=True))
    old = store.seed("a", b"old bytes")
    new = store.overwrite("a", b"new bytes")
    answer, data = await body_of(MemoryBackend(store), ReadRequest("a", 2, 4, old.version, old.etag))
    assert (data, answer.etag, answer.version, answer.start) == (b"new bytes", new.etag, new.version, 0)


async def test_keys_out_of_order_are_all_there_and_a_cursor_can_repeat():
    store = MemoryStore(faults=Faults(unordered=True))
    for number in range(50):
        store.seed(f"k/{number:02}", b"")
    keys = (await listed(MemoryBackend(store), ListRequest(prefix="k/", limit=7))).keys
    assert sorted(keys) == sorted(set(keys)) == [f"k/{number:02}" for number in range(50)] != keys
    store.faults = Faults(repeat_cursor=True)
    with pytest.raises(AssertionError, match="does not advance"):
        await listed(MemoryBackend(store), ListRequest(prefix="k/", limit=7))


async def test_a_marker_may_include_its_key_as_on_ceph():
    store = MemoryStore(inclusive_markers=True)
    for key in ("a", "b", "c"):
        store.seed(key, b"")
    listing = await listed(MemoryBackend(store), ListRequest(keys=KeyRange(after="b")))
    assert listing.keys == ["b", "c"]


async def test_what_predates_versioning_is_the_version_null():
    store = MemoryStore()
    store.seed("a", b"before")
    store.enable_versioning()
    store.overwrite("a", b"after")
    backend = MemoryBackend(store)
    assert (await backend.history("a"))["version"].to_pylist()[1] == "null"
    assert (await body_of(backend, ReadRequest("a", version="null")))[1] == b"before"


async def test_a_denied_kind_is_denied_and_versioning_then_unknown():
    store = MemoryStore(versioned=True, faults=Faults(denied=frozenset({"versioning", "get_version"})))
    version = store.seed("a", b"x").version
    backend = MemoryBackend(store)
    assert await backend.versioning() is None
    with pytest.raises(AccessDeniedError):
        await body_of(backend, ReadRequest("a", version=version))
    assert (await body_of(backend, ReadRequest("a")))[1] == b"x"


async def test_a_mounted_store_is_reached_by_its_uri_and_only_then():
    store = MemoryStore("shelf")
    store.seed("a/b", b"x")
    with mounted(store):
        assert (await open_backend(parse("memory://shelf/a/")).stat("a/b")).size == 1
        with pytest.raises(ContainerNotFoundError):
            await open_backend(parse("memory://other/a/")).stat("a/b")
    with pytest.raises(UnknownSchemeError):
        open_backend(parse("memory://shelf/a/"))
