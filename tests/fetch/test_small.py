"""Small files that the compiled part writes, many a call."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.sinks import Threads
from asyncref.engine.fetch.small import IS_BUILT, SmallFiles
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, tree


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


pytestmark = pytest.mark.skipif(not IS_BUILT or not hasattr(os, "O_TMPFILE"), reason="Linux, with the compiled part")
COUNT = 300


async def test_they_are_whole_under_their_names_and_known_as_the_system_knows_them(tmp_path: Path) -> None:
    small = SmallFiles(Threads())
    names = [f"{number:03} \udcff\U0001f4e6" for number in range(COUNT)]
    mask = os.umask(0o027)
    try:
        seen = await asyncio.gather(
            *(small.write(f"{tmp_path}/{name}", noise(at * 200)) for at, name in enumerate(names))
        )
    finally:
        os.umask(mask)
    for at, (name, state) in enumerate(zip(names, seen, strict=True)):
        file = tmp_path / name
        found = file.lstat()
        assert state == (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size)
        assert found.st_mode & 0o777 == 0o640
        assert file.read_bytes() == noise(at * 200)


async def test_whatever_has_a_name_or_no_folder_stays_as_it_is_and_the_others_are_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    small = SmallFiles(Threads())
    names = ["file", "new", "link", "folder", "none/a", "file/a", "other"]
    seen = await asyncio.gather(*(small.write(f"{tmp_path}/{name}", b"ours") for name in names))
    assert [name for name, state in zip(names, seen, strict=True) if state is not None] == ["new", "other"]
    assert {name: (tmp_path / name).read_bytes() for name in ("file", "new", "other")} == {
        "file": b"mine", "new": b"ours", "other": b"ours",
    }  # fmt: skip
    assert not (tmp_path / "nowhere").exists()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "link", "new", "other"]  # noqa: PTH208


async def test_one_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    small, open_before = SmallFiles(Threads()), open_files()
    limits, was = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        seen = await asyncio.gather(*(small.write(f"{tmp_path}/{size}", bytes(size)) for size in (999, 1001, 5000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, was)
    assert [state is not None for state in seen] == [True, False, False]
    assert tree(tmp_path) == {"999": bytes(999)}
    assert open_files() == open_before


async def test_whoever_leaves_holds_up_nobody(tmp_path: Path) -> None:
    small = SmallFiles(Threads())
    tasks = [asyncio.ensure_future(small.write(f"{tmp_path}/{number}", b"x")) for number in range(COUNT)]
    for _ in range(2):  # by then the first of them writes for all
        await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[7].cancel()
    seen = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [at for at, state in enumerate(seen) if isinstance(state, asyncio.CancelledError)] == [0, 7]
    for at, state in enumerate(seen):
        assert (tmp_path / str(at)).exists() or state is None or at in {0, 7}
    assert await small.write(f"{tmp_path}/after", b"x") is not None


async def test_a_fetch_writes_so_and_a_second_one_has_nothing_to_do(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = {f"{number % 7}/{number}": noise(number, str(number)) for number in range(COUNT)}
    for key, data in contents.items():
        store.seed(key, data)
    with mounted(store):
        assert (await fetch(pinned(store), tmp_path / "out")).objects == COUNT
        assert (await fetch(pinned(store), tmp_path / "out")).skipped == COUNT
    assert tree(tmp_path / "out") == contents
