"""Files that have no name until they are whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch, outlet
from asyncref.engine.fetch.disk import write_unnamed
from asyncref.engine.fetch.target import Target
from asyncref.errors import FetchError
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, tree

pytestmark = pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux only")


def written(folder: Path, *, fsync: bool = False) -> os.stat_result | None:
    return write_unnamed(str(folder), str(folder / "f"), (b"ab", b"c"), fsync=fsync)


@pytest.mark.parametrize("fsync", [False, True])
def test_it_is_whole_under_its_name_with_the_mode_that_the_user_asks_for(tmp_path: Path, *, fsync: bool) -> None:
    mask = os.umask(0o027)
    try:
        seen = written(tmp_path, fsync=fsync)
    finally:
        os.umask(mask)
    found = (tmp_path / "f").lstat()
    assert tree(tmp_path) == {"f": b"abc"}
    assert found.st_mode & 0o777 == 0o640
    assert seen is not None
    assert (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_nlink) == (
        found.st_ino, 3, found.st_mtime_ns, found.st_ctime_ns, 1,
    )  # fmt: skip


@pytest.mark.parametrize("there", ["file", "folder", "link", "broken link"])
def test_whatever_has_the_name_stays(tmp_path: Path, there: str) -> None:
    target, file = tmp_path / "target", tmp_path / "folder" / "f"
    file.parent.mkdir()
    if there == "file":
        file.write_bytes(b"mine")
    elif there == "folder":
        file.mkdir()
    else:
        if there == "link":
            target.write_bytes(b"mine")
        file.symlink_to(target)
    before = file.lstat()
    assert written(file.parent) is None
    assert file.lstat() == before
    assert not target.exists() or target.read_bytes() == b"mine"


def test_a_full_disk_is_an_error_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        written(tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("lacks", ["O_TMPFILE", "open", "link"])
async def test_where_there_are_none_a_temporary_does(
    tmp_path: Path, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def without(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode)

    def unlinked(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "no /proc")

    monkeypatch.setattr(outlet, "IS_BUILT", False)  # whose calls of the system cannot be exchanged
    if lacks == "O_TMPFILE":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif lacks == "open":
        monkeypatch.setattr(os, "open", without)
    else:
        monkeypatch.setattr(os, "link", unlinked)
    store = MemoryStore()
    for key in "abc":
        store.seed(key, noise(1000, key))
    with mounted(store):
        assert (await fetch(pinned(store), tmp_path / "out")).objects == 3
    assert tree(tmp_path / "out") == {key: noise(1000, key) for key in "abc"}


@pytest.mark.parametrize("fsync", [False, True])
def test_what_another_process_wrote_meanwhile_is_taken_if_it_is_the_same_and_kept_if_not(
    tmp_path: Path, *, fsync: bool
) -> None:
    target = Target(tmp_path, bare=True)
    (tmp_path / "same").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"abd")
    before, open_before = (tmp_path / "same").stat().st_ino, len(list(Path("/proc/self/fd").iterdir()))
    assert target.put("same", (b"ab", b"c"), keep=True, fsync=fsync).st_ino == before
    with pytest.raises(FetchError, match="another file lies there"):
        target.put("other", (b"abc",), keep=True, fsync=fsync)
    target.put("new", (b"abc",), keep=True, fsync=fsync)
    assert tree(tmp_path) == {"same": b"abc", "other": b"abd", "new": b"abc"}
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


@pytest.fixture
def _left(tmp_path: Path) -> None:
    """The temporary of a run that was killed."""
    Path(Target(tmp_path).temporary_of("a")).write_bytes(b"half")


@pytest.mark.usefixtures("_left")
async def test_an_earlier_runs_temporary_is_gone_on_with_not_left(tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("a", noise(1000))
    with mounted(store):
        assert (await fetch(pinned(store), tmp_path)).objects == 1
    assert tree(tmp_path) == {"a": noise(1000)}
