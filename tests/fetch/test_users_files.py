"""A file that comes to lie where an entry's should go, after that was looked at: it is the user's, and stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncref.engine.fetch import disk, fetch, outlet, target
from asyncref.engine.fetch.cache import Cache
from asyncref.engine.fetch.target import Target
from asyncref.engine.fetch.temporary import Temporary
from asyncref.errors import FetchError
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, tree

SIZES = (500, 2 * 2**20, 17 * 2**20)  # held in memory, in a file, in parts


class Busy(MemoryStore):
    """While an object is read, somebody does something to its file."""

    meanwhile: Callable[[], None]

    def next_fault(self, kind: str) -> None:
        if kind == "get":
            self.meanwhile()
        super().next_fault(kind)


@pytest.fixture(params=["unnamed", "renameat2", "link", "neither"])
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system, or the file system, can do."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def lacking(*_: object, **__: object) -> None:
        raise NotImplementedError

    if request.param != "unnamed":
        monkeypatch.setattr(outlet, "IS_BUILT", False)  # whose calls of the system cannot be exchanged
        monkeypatch.setattr(target, "write_unnamed", lacking)
    if request.param not in {"unnamed", "renameat2"}:
        monkeypatch.setattr(disk, "_renameat2", lambda: None)
    if request.param == "neither":
        monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("_system")
@pytest.mark.parametrize("size", SIZES)
async def test_it_stays_and_the_entry_is_named(size: int, tmp_path: Path) -> None:
    store = Busy()
    store.seed("a", noise(size))
    store.meanwhile = lambda: (tmp_path / "out" / "a").write_bytes(b"mine") and None
    with mounted(store):
        with pytest.raises(FetchError, match="another file lies there") as caught:
            await fetch(pinned(store), tmp_path / "out")
        assert [failure.path for failure in caught.value.failures] == ["a"]
        assert tree(tmp_path / "out") == {"a": b"mine"}
        await fetch(pinned(store), tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == {"a": noise(size)}


@pytest.mark.usefixtures("_system")
@pytest.mark.parametrize("size", SIZES)
async def test_with_the_same_bytes_it_is_the_entrys_file(size: int, tmp_path: Path) -> None:
    store = Busy()
    store.seed("a", noise(size))
    store.meanwhile = lambda: None if (tmp_path / "a").exists() else (tmp_path / "a").write_bytes(noise(size)) and None
    with mounted(store):
        assert (await fetch(pinned(store), tmp_path)).objects == 1
        assert (await fetch(pinned(store), tmp_path)).skipped == 1
    assert tree(tmp_path) == {"a": noise(size)}


@pytest.mark.parametrize("size", SIZES[1:])
async def test_a_temporary_that_somebody_removed_fails_its_entry_alone(size: int, tmp_path: Path) -> None:
    store = Busy()
    store.seed("a", noise(size))
    store.seed("b", noise(500))

    def remove() -> None:
        for path in tmp_path.glob(".asyncref-*.part"):
            path.unlink()

    store.meanwhile = remove
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(pinned(store), tmp_path)
    assert [failure.path for failure in caught.value.failures] == ["a"]
    assert tree(tmp_path) == {"b": noise(500)}


@pytest.mark.parametrize("size", SIZES[1:])
async def test_the_temporary_of_another_fetch_gets_no_name_and_stays(size: int, tmp_path: Path) -> None:
    """Begun once somebody had removed that of the first."""
    store = Busy()
    store.seed("a", noise(size))
    others: list[Temporary] = []

    def replace() -> None:
        if not others:
            next(tmp_path.glob(".asyncref-*.part")).unlink()
            others.append(Target(tmp_path).open("a", 100))

    store.meanwhile = replace
    with mounted(store), pytest.raises(FetchError, match="another process"):
        await fetch(pinned(store), tmp_path)
    (other,) = others
    assert [name for name in tree(tmp_path) if not name.endswith(".journal")] == [Path(other.path).name]
    other.discard()


async def test_a_link_stays_and_so_does_what_it_names(tmp_path: Path) -> None:
    store = Busy()
    store.seed("a", noise(500))
    (tmp_path / "own").write_bytes(noise(500))
    store.meanwhile = lambda: (tmp_path / "out" / "a").symlink_to(tmp_path / "own")
    with mounted(store), pytest.raises(FetchError, match="another file lies there"):
        await fetch(pinned(store), tmp_path / "out")
    assert (tmp_path / "out" / "a").is_symlink()


@pytest.mark.parametrize("links", [False, True])
async def test_the_cache_replaces_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    store = MemoryStore()
    store.seed("a", noise(500))
    cache = Cache(tmp_path / "cache", links=links)
    real = Cache.take

    def take(*args: object, **options: object) -> bool:
        taken = real(*args, **options)  # type: ignore[arg-type]
        (tmp_path / "out" / "a").write_bytes(mine)
        return taken

    with mounted(store):
        await fetch(pinned(store), tmp_path / "first", cache=cache)
        monkeypatch.setattr(Cache, "take", take)
        mine = b"mine"
        with pytest.raises(FetchError, match="another file lies there"):
            await fetch(pinned(store), tmp_path / "out", cache=cache)
        assert tree(tmp_path / "out") == {"a": b"mine"}
        (tmp_path / "out" / "a").unlink()
        mine = noise(500)
        assert (await fetch(pinned(store), tmp_path / "out", cache=cache)).cached == 1
    assert tree(tmp_path / "out") == {"a": noise(500)}
