"""The cache: what it has is not asked for again, and never trusted unchecked; bounded, shared among processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asyncref.engine.fetch import Cache, fetch
from asyncref.engine.fetch import cache as cache_module
from asyncref.engine.fetch.cache import key_of
from asyncref.engine.fetch.target import Target
from asyncref.manifest import Manifest
from asyncref.model import Entry, Pin
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, source_of, tree

LARGE = 17 * 2**20
SIZES = {"a": 10, "b/c": 70_000, "large": LARGE, "zero": 0}


def seeded(container: str = "bucket") -> MemoryStore:
    store = MemoryStore(container)
    for key, size in SIZES.items():
        store.seed(key, noise(size, key))
    return store


CONTENTS = {key: noise(size, key) for key, size in SIZES.items()}


def objects(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file() and path.name != "lock" and not path.suffix]


@pytest.fixture(params=[False, True], ids=["copies", "links"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", links=request.param)


async def test_what_was_fetched_once_is_not_asked_for_again_in_another_folder(cache: Cache, tmp_path: Path) -> None:
    store = seeded()
    with mounted(store):
        first = await fetch(pinned(store), tmp_path / "one", cache=cache)
        asked = store.requests["get"]
        second = await fetch(pinned(store), tmp_path / "two", cache=replace(cache))
    assert (first.cached, first.objects) == (0, 4)
    assert (second.cached, second.objects, second.skipped) == (3, 1, 0)
    assert store.requests["get"] - asked == 1  # the empty one, which is not worth keeping
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == CONTENTS
    same = (tmp_path / "one" / "a").samefile(tmp_path / "two" / "a")
    linked = (tmp_path / "one" / "large").samefile(tmp_path / "two" / "large")
    assert (same, linked) == (False, cache.links)
    assert (tmp_path / "two" / "a").stat().st_mode == (tmp_path / "one" / "a").stat().st_mode


async def test_a_cached_object_that_was_damaged_is_fetched_anew_and_replaced(cache: Cache, tmp_path: Path) -> None:
    store = seeded()
    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache)
        before = len(objects(cache))
        for path in objects(cache):
            with path.open("r+b") as file:
                file.write(b"damage")
        again = await fetch(pinned(store), tmp_path / "two", cache=cache)
        assert (again.cached, tree(tmp_path / "two")) == (0, CONTENTS)
        third = await fetch(pinned(store), tmp_path / "three", cache=cache)
    assert (third.cached, len(objects(cache))) == (3, before)
    assert tree(tmp_path / "three") == CONTENTS


async def test_an_edit_of_a_linked_file_is_noticed(tmp_path: Path) -> None:
    store, cache = seeded(), Cache(tmp_path / "cache", links=True)
    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache)
        with (tmp_path / "one" / "large").open("r+b") as file:
            file.write(b"mine")
        await fetch(pinned(store), tmp_path / "two", cache=cache)
    assert tree(tmp_path / "two") == CONTENTS


async def test_no_more_than_the_bound_is_kept_and_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    store, cache = MemoryStore(), Cache(tmp_path / "cache", most_bytes=5000)
    for number in range(8):
        store.seed(f"{number}", noise(1000, str(number)))
    with mounted(store):
        for number in range(5):
            await fetch(pinned(store, [f"{number}"]), tmp_path / "one", cache=cache)
        await fetch(pinned(store, ["0"]), tmp_path / "two", cache=cache)
        assert cache.hits == 1
        for number in range(5, 8):
            await fetch(pinned(store, [f"{number}"]), tmp_path / "one", cache=cache)
        kept = {key_of(entry) for entry in pinned(store)} & {path.name for path in objects(cache)}
        names = [entry.path for entry in pinned(store) if key_of(entry) in kept]
    assert sum(path.stat().st_size for path in objects(cache)) <= 5000
    assert "0" in names
    assert {"1", "2", "3"}.isdisjoint(names)
    assert {"6", "7"} <= set(names)


async def test_an_object_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    store, cache = seeded(), Cache(tmp_path / "cache", most_bytes=80_000)
    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache)
    assert sorted(path.stat().st_size for path in objects(cache)) == [10, 70_000]


async def test_unchecked_content_is_not_added_for_those_who_want_it_checked(cache: Cache, tmp_path: Path) -> None:
    store = seeded()
    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache, checksum="never")
    assert not cache.folder.exists()


async def test_the_users_own_file_is_kept_whatever_the_cache_holds(cache: Cache, tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("a", b"theirs")
    (entry,) = pinned(store)
    loose = replace(entry, pin=replace(entry.pin, etag='"loose"'))
    manifest = Manifest.from_entries([loose], sources=[source_of(store)])
    store.faults = replace(store.faults, ignore_if_match=True)
    with mounted(store):
        cache.add(key_of(loose) or "", 6, b"theirs", None)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_bytes(b"mine!!")
        with pytest.raises(Exception, match="another file lies there"):
            await fetch(manifest, tmp_path / "out", cache=cache)
        assert tree(tmp_path / "out") == {"a": b"mine!!"}
        report = await fetch(manifest, tmp_path / "out", cache=cache, overwrite=True)
    assert (report.cached, tree(tmp_path / "out")) == (1, {"a": b"theirs"})


async def test_a_cache_that_cannot_be_written_costs_nothing_but_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cache = seeded(), Cache(tmp_path / "cache")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module, "write_at", full)
    with mounted(store):
        report = await fetch(pinned(store), tmp_path / "one", cache=cache)
    assert tree(tmp_path / "one") == CONTENTS
    assert any("no space left" in note for note in report.notes)
    assert objects(cache) == []


def spoilt_bytes(path: Path) -> None:
    """A folder where the bytes were."""
    path.unlink()
    path.mkdir()


def spoilt_sum(path: Path) -> None:
    spoilt_bytes(path.with_name(path.name + ".sum"))


@pytest.mark.parametrize("spoil", [spoilt_bytes, spoilt_sum])
async def test_what_the_cache_cannot_read_is_fetched(
    cache: Cache, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    store = seeded()
    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache)
        for path in objects(cache):
            spoil(path)
        report = await fetch(pinned(store), tmp_path / "two", cache=replace(cache))
    assert (report.cached, report.objects) == (0, 4)
    assert tree(tmp_path / "two") == CONTENTS


async def test_a_disk_error_under_the_cache_is_not_the_targets(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = seeded()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with mounted(store):
        await fetch(pinned(store), tmp_path / "one", cache=cache)
        monkeypatch.setattr(
            "os.pread", lambda fd, length, at: broken() if _lies_in(cache, fd) else PREAD(fd, length, at)
        )
        report = await fetch(pinned(store), tmp_path / "two", cache=replace(cache))
    assert (report.cached, report.objects) == (0, 4)
    assert tree(tmp_path / "two") == CONTENTS


PREAD = os.pread


def _lies_in(cache: Cache, fd: int) -> bool:
    return Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(cache.folder)


def test_a_cached_file_that_grew_is_not_the_object(tmp_path: Path) -> None:
    """Shared blocks are all of a file, however long it has become since it was looked at."""
    cache, target = Cache(tmp_path / "cache"), Target(tmp_path)
    cache.add("ab" * 20, 3, b"abc", None)
    temporary = target.open("f", 0)
    os.write(temporary.fd, b"abcd")  # as FICLONE would leave it
    try:
        assert not cache.take("ab" * 20, 3, temporary)
        assert os.fstat(temporary.fd).st_size == 0
    finally:
        temporary.discard()


def test_buckets_of_one_name_on_two_servers_are_two_places() -> None:
    tag, loose = Pin(size=5, etag=f'"{"a" * 32}"'), Pin(size=5, etag='"x"', version="null")
    for pin in (tag, loose):
        entry = Entry("p", "s3://one/a", "d", pin)
        assert len({key_of(entry), key_of(entry, "http://a"), key_of(entry, "http://b"), key_of(entry, "x 7")}) == 4
    stated = Entry("p", "s3://one/a", "d", Pin(size=5, checksum=f"md5:{'a' * 32}"))
    assert key_of(stated) == key_of(stated, "http://a")


def test_equal_checksums_share_an_entry_and_anything_weaker_belongs_to_its_place() -> None:
    def key(ref: str, **pin: str) -> str | None:
        return key_of(Entry("path", ref, "digest", Pin(size=5, **pin)))

    md5, tag = f"md5:{'a' * 32}", f'"{"a" * 32}"'
    assert key("s3://one/a", checksum=md5) == key("gs://two/b", checksum=md5, etag="x")
    assert key("s3://one/a", etag=tag) == key("s3://one/b", etag=tag) != key("s3://two/a", etag=tag)
    assert key("s3://one/a", etag='"5-1"') != key("s3://one/b", etag='"5-1"')
    assert key("s3://one/a", checksum="crc32c:00000000") != key("s3://one/b", checksum="crc32c:00000000")
    assert key("s3://one/a") is None
    assert key_of(Entry("p", "s3://one/a", "d", Pin(size=0, etag=tag))) is None


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.add("ab" * 20, 3, b"abc", None)
    fresh, old = tmp_path / "ab" / "x.7-1.sum", tmp_path / "ab" / "y.7-1.sum"
    fresh.write_bytes(b"")
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    cache.sweep()
    assert sorted(path.name for path in (tmp_path / "ab").iterdir()) == ["ab" * 20, "ab" * 20 + ".sum", fresh.name]


ADDS = """
import sys
from pathlib import Path
from asyncref.engine.fetch.cache import Cache
from asyncref.engine.fetch.target import Target
from tests.fetch import noise
cache, target = Cache(Path(sys.argv[1]), most_bytes=100_000), Target(Path(sys.argv[2]))
target.make()
wrong = 0
for turn in range(300):
    key = f"{turn % 40:040x}"
    temporary = target.open("f", 0)
    if cache.take(key, 5000, temporary):
        wrong += (Path(temporary.path).read_bytes() != noise(5000, key))
    else:
        cache.add(key, 5000, noise(5000, key), None)
    temporary.discard()
print(wrong, cache.hits, cache.failure)
"""


def test_processes_that_add_take_and_evict_at_once_see_no_wrong_byte(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ADDS, str(tmp_path / "cache"), str(tmp_path / f"{number}")],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for number in range(3)
    ]
    told = [process.communicate()[0].decode().split() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert all((wrong, failure) == ("0", "None") for wrong, _, failure in told)
    cache = Cache(tmp_path / "cache", most_bytes=100_000)
    cache.sweep()
    assert sum(path.stat().st_size for path in objects(cache)) <= 100_000
    temporary = Target(tmp_path).open("f", 0)
    assert not cache.take("f" * 40, 5000, temporary)
    temporary.discard()
