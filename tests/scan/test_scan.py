"""Scans of a store in memory: what a prefix means, what is refused, what a faulty server cannot hide."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from asyncref.engine.flow import Meter
from asyncref.engine.scan import Pages, Target, scan
from asyncref.errors import (
    AccessDeniedError,
    BadKeyError,
    ConnectionFailedError,
    ContainerNotFoundError,
    DuplicatePathError,
    InvalidURIError,
    NotFoundError,
    NothingFoundError,
    OptionError,
    ProtocolError,
    ServerError,
    TooManyObjectsError,
    UnknownSchemeError,
)
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryStore, mounted

QUICK = Limits(backoff_s=0.0, concurrency=8)


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10)
    with mounted(store):
        yield store


@pytest.fixture
def versioned() -> Iterator[MemoryStore]:
    store = MemoryStore("v", versioned=True, page_rows=10)
    with mounted(store):
        yield store


async def scanned(uri: str, **options: object) -> Manifest:
    return await scan([Target(uri=uri)], limits=QUICK, **options)  # type: ignore[arg-type]


def paths(manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("memory://b/mnist", ["a", "b"]),
        ("memory://b/mnist/", ["a", "b"]),
        ("memory://b/mnist2", ["c"]),
        ("memory://b/single", ["single"]),
        ("memory://b/single/", ["under"]),
    ],
)
async def test_a_prefix_means_what_a_person_means(store: MemoryStore, uri: str, expected: list[str]) -> None:
    for key in ("mnist/a", "mnist/b", "mnist-old/x", "mnist2/c", "single", "single/under"):
        store.seed(key, b"x")
    assert paths(await scanned(uri)) == expected


async def test_the_whole_bucket_has_every_key_as_its_path(store: MemoryStore) -> None:
    keys = ["a", "a b", "a/b", "z#?%"]
    for key in keys:
        store.seed(key, b"x")
    assert paths(await scanned("memory://b/")) == keys


async def test_a_folder_marker_is_no_entry_but_a_key_with_bytes_is(store: MemoryStore) -> None:
    store.seed("p/", b"")
    store.seed("p/sub/", b"")
    store.seed("p/x/", b"bytes")
    store.seed("p/zero", b"")
    manifest = await scanned("memory://b/p")
    assert paths(manifest) == ["x/", "zero"]
    assert manifest.record.skipped == {"folder_marker": 2}


async def test_ten_objects_under_a_prefix_cost_one_list_request(store: MemoryStore) -> None:
    store.page_rows = 1000
    for number in range(10):
        store.seed(f"p/{number}", b"x")
    await scanned("memory://b/p/")
    assert store.requests["list"] == 1


async def test_many_pages_are_complete_and_in_order(store: MemoryStore) -> None:
    keys = sorted(f"p/{number * 7919 % 100_000:05d}" for number in range(2_000))
    for key in keys:
        store.seed(key, key.encode())
    manifest = await scanned("memory://b/p")
    assert paths(manifest) == [key.removeprefix("p/") for key in keys]
    assert store.requests["list"] <= 222


async def test_version_ids_come_from_the_listing(versioned: MemoryStore) -> None:
    for number in range(100):
        versioned.seed(f"p/{number:03d}", b"old")
        latest = versioned.overwrite(f"p/{number:03d}", b"new")
    versioned.delete("p/000")
    manifest = await scanned("memory://v/p")
    assert len(manifest) == 99
    assert manifest["099"].pin.version == latest.version
    assert versioned.requests["stat"] == 0


async def test_one_key_with_many_versions_is_one_entry(versioned: MemoryStore) -> None:
    for key in ("p/a", "p/z"):
        versioned.seed(key, b"x")
    for number in range(250):
        latest = versioned.seed("p/many", str(number).encode())
    manifest = await scanned("memory://v/p")
    assert paths(manifest) == ["a", "many", "z"]
    assert manifest["many"].pin.version == latest.version


async def test_a_typed_version_is_pinned(versioned: MemoryStore) -> None:
    first = versioned.seed("p/a", b"first")
    versioned.seed("p/a", b"second")
    manifest = await scan([Target(uri="memory://v/p/a")], limits=QUICK)
    assert manifest["a"].pin.version != first.version
    assert manifest["a"].ref == "memory://v/p/a"


async def test_where_versions_may_not_be_listed_every_object_is_asked(versioned: MemoryStore) -> None:
    versioned.faults = Faults(denied=frozenset({"versioning", "list_versions"}))
    for number in range(25):
        latest = versioned.seed(f"p/{number:02d}", b"x")
    manifest = await scanned("memory://v/p/")
    assert versioned.requests["stat"] == len(manifest) == 25
    assert manifest["24"].pin.version == latest.version


async def test_names_and_several_references_make_one_manifest(store: MemoryStore) -> None:
    for key in ("p/a", "q/a", "single"):
        store.seed(key, b"x")
    manifest = await scan(
        [
            Target(uri="memory://b/p", name="train"),
            Target(uri="memory://b/q"),
            Target(uri="memory://b/single", name="model.h5"),
        ],
        limits=QUICK,
    )
    assert [(entry.path, entry.ref) for entry in manifest] == [
        ("a", "memory://b/q/a"),
        ("model.h5", "memory://b/single"),
        ("train/a", "memory://b/p/a"),
    ]


async def test_one_path_with_two_pins_is_an_error_that_names_both(store: MemoryStore) -> None:
    store.seed("p/a", b"x")
    store.seed("q/a", b"y")
    with pytest.raises(DuplicatePathError, match=r"memory://b/p/a.*memory://b/q/a"):
        await scan([Target(uri="memory://b/p"), Target(uri="memory://b/q")], limits=QUICK)


async def test_an_unpinned_bucket_reference_is_one_entry_and_no_request(store: MemoryStore) -> None:
    manifest = await scan([Target(uri="memory://b/p", checksum=False)], limits=QUICK)
    assert [(entry.path, entry.ref, entry.digest) for entry in manifest] == [("p", "memory://b/p", "memory://b/p")]
    assert not store.requests


async def test_globs_choose_paths_and_exclude_wins(store: MemoryStore) -> None:
    for key in ("p/a.jpg", "p/deep/b.jpg", "p/deep/c.png", "p/skip/d.jpg"):
        store.seed(key, b"x")
    manifest = await scanned("memory://b/p", filter=Filter.of("*.jpg", "skip/**"))
    assert paths(manifest) == ["a.jpg", "deep/b.jpg"]
    assert manifest.record.skipped == {"filtered": 2}


async def test_bad_keys_raise_by_name_or_are_counted(store: MemoryStore) -> None:
    for key in ("p/a/../b", "p/./c", "p/ok", "p/.hidden", "p/..x"):
        store.seed(key, b"x")
    with pytest.raises(BadKeyError, match=r"\.\./b|\./c") as caught:
        await scanned("memory://b/p")
    assert caught.value.count == 2
    manifest = await scanned("memory://b/p", bad_keys="skip")
    assert paths(manifest) == ["..x", ".hidden", "ok"]
    assert manifest.record.skipped == {"bad_key": 2}


async def test_max_objects_is_an_error_never_a_cut(store: MemoryStore) -> None:
    for number in range(30):
        store.seed(f"p/{number:02d}", b"x")
    assert len(await scanned("memory://b/p", max_objects=30)) == 30
    with pytest.raises(TooManyObjectsError, match="max_objects=29"):
        await scanned("memory://b/p", max_objects=29)


async def test_faults_change_nothing_in_the_manifest(store: MemoryStore) -> None:
    for number in range(500):
        store.seed(f"p/{number:03d}", str(number).encode())
    calm = await scanned("memory://b/p")
    store.faults = Faults(seed=7, throttle=0.1, reset=0.1, error=0.1)
    meter: list[Meter] = []
    shaken = await scan([Target(uri="memory://b/p")], limits=QUICK, progress=meter.append)
    assert (shaken.digest, shaken.identity) == (calm.digest, calm.identity)
    assert meter[0].retries > 0


async def test_a_server_that_never_recovers_is_an_error(store: MemoryStore) -> None:
    store.seed("p/a", b"x")
    store.faults = Faults(reset=1.0)
    with pytest.raises(ConnectionFailedError):
        await scanned("memory://b/p")


async def test_unordered_pages_are_listed_again_serially_and_sorted(store: MemoryStore) -> None:
    for number in range(200):
        store.seed(f"p/{number:03d}", str(number).encode())
    calm = await scanned("memory://b/p")
    store.faults = Faults(seed=3, unordered=True)
    manifest = await scanned("memory://b/p")
    assert manifest.digest == calm.digest
    assert any("serially" in note for note in manifest.record.notes)


async def test_a_marker_that_does_not_advance_is_an_error(store: MemoryStore) -> None:
    for number in range(100):
        store.seed(f"p/{number:03d}", b"x")
    store.faults = Faults(repeat_cursor=True)
    with anyio.fail_after(30), pytest.raises(ProtocolError, match="advance"):
        await scanned("memory://b/p")


@pytest.mark.parametrize("inclusive", [False, True])
async def test_markers_may_include_their_key(inclusive: bool) -> None:
    store = MemoryStore("m", page_rows=10, inclusive_markers=inclusive, versioned=True)
    keys = [f"p/{number:04d}" for number in range(1_000)]
    with mounted(store):
        for key in keys:
            store.seed(key, b"x")
        assert paths(await scanned("memory://m/p")) == [key[2:] for key in keys]


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("memory://b/none", NothingFoundError),
        ("memory://b/none/", NothingFoundError),
        ("memory://nowhere/x", ContainerNotFoundError),
        ("nowhere", InvalidURIError),
        ("ftp://b/x", UnknownSchemeError),
        ("file:///no/such/folder", NotFoundError),
    ],
)
async def test_what_is_not_there_is_named(store: MemoryStore, uri: str, error: type[Exception]) -> None:
    store.seed("p/a", b"x")
    with pytest.raises(error):
        await scanned(uri)


@pytest.mark.parametrize("options", [{"bad_keys": "ignore"}, {"heads": "yes"}, {"max_objects": 0}])
async def test_a_misspelt_option_is_refused_by_name(store: MemoryStore, options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        await scanned("memory://b/p", **options)
    assert not store.requests


async def test_folder_markers_alone_are_nothing(store: MemoryStore) -> None:
    store.seed("p/", b"")
    with pytest.raises(NothingFoundError):
        await scanned("memory://b/p/")


async def test_denied_is_never_called_missing(store: MemoryStore) -> None:
    store.seed("p/a", b"x")
    store.faults = Faults(denied=frozenset({"list"}))
    with pytest.raises(AccessDeniedError):
        await scanned("memory://b/p")


async def test_pages_come_as_logical_batches_and_errors_where_they_are_awaited(store: MemoryStore) -> None:
    keys = [f"p/{number:03d}" for number in range(300)]
    for key in keys:
        store.seed(key, b"x")
    found: list[str] = []
    async with Pages(Target(uri="memory://b/p"), limits=QUICK) as batches:
        async for batch in batches:
            found += batch.column("ref").to_pylist()
    assert sorted(found) == [f"memory://b/{key}" for key in keys]
    async with Pages(Target(uri="memory://b/none"), limits=QUICK) as batches:
        with pytest.raises(NothingFoundError):
            await anext(aiter(batches))


@pytest.mark.parametrize("queue_pages", [0, 3, 40])
async def test_pages_wait_for_their_reader_as_many_as_allowed(store: MemoryStore, queue_pages: int) -> None:
    for number in range(2_000):
        store.seed(f"p/{number:04d}", b"x")
    limits = Limits(queue_pages=queue_pages, concurrency=4)
    async with Pages(Target(uri="memory://b/p"), limits=limits) as batches:
        await anyio.wait_all_tasks_blocked()
        assert queue_pages <= store.requests["list"] <= queue_pages + 4 + 4  # one in each hand, and probes in vain
        assert sum([batch.num_rows async for batch in batches]) == 2_000


async def test_leaving_pages_early_ends_the_listing(store: MemoryStore) -> None:
    for number in range(5_000):
        store.seed(f"p/{number:04d}", b"x")
    async with Pages(Target(uri="memory://b/p"), limits=QUICK) as batches:
        await anext(aiter(batches))
    assert store.requests["list"] < 100


@pytest.mark.parametrize("own", [ValueError("own"), ExceptionGroup("own", [ValueError(), KeyError()])])
async def test_an_error_raised_between_pages_leaves_them_as_it_is(store: MemoryStore, own: Exception) -> None:
    for number in range(500):
        store.seed(f"p/{number:04d}", b"x")

    async def read() -> None:
        async with Pages(Target(uri="memory://b/p"), limits=QUICK) as batches:
            async for _ in batches:
                raise own

    with pytest.raises(type(own)) as caught:
        await read()
    assert caught.value is own


async def test_a_storages_error_leaves_pages_as_it_is(store: MemoryStore) -> None:
    for number in range(500):
        store.seed(f"p/{number:04d}", b"x")
    store.faults = Faults(script={("list", number): "error" for number in range(5, 99)})

    async def read() -> int:
        async with Pages(Target(uri="memory://b/p"), limits=QUICK) as batches:
            return sum([batch.num_rows async for batch in batches])

    with pytest.raises(ServerError, match="the server failed"):
        await read()


async def test_pages_end_with_the_scope_that_is_cancelled_around_them(store: MemoryStore) -> None:
    for number in range(500):
        store.seed(f"p/{number:04d}", b"x")
    with anyio.CancelScope() as scope:
        async with Pages(Target(uri="memory://b/p"), limits=QUICK) as batches:
            async for _ in batches:
                scope.cancel()
    assert scope.cancelled_caught
