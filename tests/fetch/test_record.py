"""What the record of a folder is worth after a kill, a power cut and an edit; objects here have no checksum to be told by."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch, outlet, record
from asyncref.errors import FetchError
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, tree

LARGE = 2**20


def store_of(*sizes: int) -> MemoryStore:
    store = MemoryStore()
    for number, size in enumerate(sizes):
        store.seed(f"o{number:03}", noise(size, str(number)), etag=f'"{number}-7"')
    return store


def contents_of(store: MemoryStore) -> dict[str, bytes]:
    return {key: stored.data or b"" for key in store.keys_from("", inclusive=True) if (stored := store.find(key, None))}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASYNCREF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from asyncref.engine.fetch import fetch, record
from asyncref.model import Limits
from asyncref.testing import MemoryStore, mounted
from tests.fetch import pinned
from tests.fetch.test_record import store_of
count, size, last, whole, root = *map(int, sys.argv[1:5]), Path(sys.argv[5])
store = store_of(*[size] * count)
record._HELD_S = float("inf")  # else a slow machine writes sooner, and other rows are the last
real = MemoryStore.next_fault
def counted(store, kind):
    if store.requests["get"] == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(store, kind)
MemoryStore.next_fault = counted
with mounted(store):
    asyncio.run(fetch(pinned(store), root, limits=Limits(concurrency=1), whole=bool(whole)))
"""


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("count", "size", "most"), [(8, LARGE, 3), (300, 100, 300 - 256)])
async def test_what_a_killed_fetch_finished_is_not_asked_for_again(
    count: int, size: int, most: int, tmp_path: Path, *, whole: bool
) -> None:
    """Twice, since what the first one saw has to outlive the second."""
    root = tmp_path / "out"
    for last in (count - 2, 1):
        command = [sys.executable, "-c", KILLED, *map(str, (count, size, last, int(whole))), str(root)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(command, check=False, env=environment)  # noqa: ASYNC221  nothing else runs here
        assert ended.returncode == -signal.SIGKILL
    store = store_of(*[size] * count)
    with mounted(store):
        await fetch(pinned(store), root, whole=whole)
        assert store.requests["get"] <= most
        store.requests.clear()
        await fetch(pinned(store), root, whole=whole)
    assert store.requests["get"] == 0
    assert tree(root) == contents_of(store)
    assert [path.suffix for path in (tmp_path / "cache" / "seen").iterdir()] == [".seen"]


def cut_power(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """The machine starts again, and a file has its size and times, but zeros for bytes."""
    monkeypatch.setattr(record, "machine_start", lambda: "another start")
    zeroed(path)


def zeroed(path: Path) -> None:
    found = path.stat()
    with path.open("r+b") as file:
        file.write(bytes(found.st_size))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


async def test_what_was_not_forced_to_the_disk_is_not_trusted_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(500, 600)
    monkeypatch.setattr(os, "lstat", without_ctime(os.lstat))
    monkeypatch.setattr(os, "fstat", without_ctime(os.fstat))
    monkeypatch.setattr(outlet, "IS_BUILT", False)  # the compiled part asks the system itself
    with mounted(store):
        await fetch(pinned(store), tmp_path / "out", fsync="never")
        assert (await fetch(pinned(store), tmp_path / "out", fsync="never")).skipped == 2
        cut_power(monkeypatch, tmp_path / "out" / "o000")
        await fetch(pinned(store), tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == contents_of(store)


async def test_what_was_forced_to_the_disk_is_trusted_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(500, 600)
    for fsync in ("each", "end"):
        root = tmp_path / fsync
        with mounted(store):
            await fetch(pinned(store), root, fsync=fsync)
            store.requests.clear()
            with monkeypatch.context() as patch:
                patch.setattr(record, "machine_start", lambda: "another start")
                await fetch(pinned(store), root)
            assert store.requests["get"] == 0


async def test_a_later_fetch_that_forces_all_to_the_disk_makes_earlier_rows_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(500, 600)
    with mounted(store):
        await fetch(pinned(store), tmp_path / "out", fsync="never")
        await fetch(pinned(store), tmp_path / "out")
        store.requests.clear()
        monkeypatch.setattr(record, "machine_start", lambda: "another start")
        await fetch(pinned(store), tmp_path / "out")
    assert store.requests["get"] == 0


def without_ctime(real: object) -> object:
    """A system whose files tell no change of the inode, as after a power cut that came before the change was written."""

    def call(*args: object, **options: object) -> os.stat_result:
        found = real(*args, **options)  # type: ignore[operator]
        return os.stat_result(tuple(found), {"st_ctime_ns": 7, "st_mtime_ns": found.st_mtime_ns})

    return call


async def test_an_edit_under_an_old_time_is_seen(tmp_path: Path) -> None:
    store = store_of(500)
    with mounted(store):
        await fetch(pinned(store), tmp_path / "out")
        zeroed(tmp_path / "out" / "o000")
        with pytest.raises(FetchError, match="another file"):
            raise (await failed(pinned(store), tmp_path / "out")).failures[0].error
        await fetch(pinned(store), tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == contents_of(store)


async def failed(manifest: Manifest, root: Path) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, root)
    return caught.value


async def test_another_version_with_the_same_etag_is_another_content(tmp_path: Path) -> None:
    """An ETag of a web server may be little more than a time."""
    store = MemoryStore(versioned=True)
    store.seed("a", b"old", etag='"t"')
    old = pinned(store)
    store.seed("a", b"new", etag='"t"')
    with mounted(store):
        await fetch(old, tmp_path / "out")
        await fetch(pinned(store), tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == {"a": b"new"}


async def test_a_run_that_failed_leaves_what_it_saw(tmp_path: Path) -> None:
    store = store_of(500, 600, 700)
    manifest = pinned(store)
    store.delete("o001")
    with mounted(store):
        await failed(manifest, tmp_path / "out")
        store.requests.clear()
        await failed(manifest, tmp_path / "out")
    assert store.requests["get"] == 1


async def test_two_fetches_at_once_do_not_take_each_others_rows(tmp_path: Path) -> None:
    """The second finds the file of the first, which is still written, and leaves it alone."""
    folder = tmp_path / "cache" / "seen"
    target = tmp_path / "file"
    target.write_bytes(b"x")
    pin = replace(next(iter(pinned(store_of(1)))).pin, size=1)
    first = record.Record(folder, str(tmp_path))
    first.add("file", pin, os.lstat(target))
    first._write()
    second = record.Record(folder, str(tmp_path))
    second.add("file", pin, os.lstat(target))
    second.commit(synced=True)
    first.close()
    assert sorted(path.suffix for path in folder.iterdir()) == [".new", ".seen"]
    third = record.Record(folder, str(tmp_path))
    third.commit(synced=True)
    assert [path.suffix for path in folder.iterdir()] == [".seen"]


async def test_a_record_survives_a_cancelled_run(tmp_path: Path) -> None:
    store = store_of(*[100] * 30)
    manifest = pinned(store)
    root = tmp_path / "out"
    with mounted(store):
        await fetch(manifest.select(include=["o00*"]), root)
        store.faults = replace(store.faults, denied=frozenset({"get"}))
        await failed(manifest, root)
        store.faults = replace(store.faults, denied=frozenset())
        store.requests.clear()
        await fetch(manifest, root, limits=Limits(concurrency=4))
    assert store.requests["get"] == 20
