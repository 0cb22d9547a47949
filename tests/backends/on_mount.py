"""Tests that run where a network file system is mounted at /mnt/nfs: inside the machine of `tests.servers.nfs`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from asyncref import blocking as ar
from asyncref.backends.base import Backend
from asyncref.backends.file import FileBackend
from asyncref.backends.file.local import LocalDisks
from asyncref.testing import Abilities, BackendContract, Place
from tests.same_tree import as_files, tree, whole_tree

MOUNT = Path("/mnt/nfs")
_NUMBERS = count()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = MOUNT / f"test{next(_NUMBERS)}"
    made.mkdir()
    return made


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


@dataclass
class Folder:
    root: str

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        del encoding
        write(Path(key), data)

    async def delete(self, key: str) -> None:
        remove(Path(key))


class TestNfs(BackendContract):
    abilities = Abilities(lacks_keys=frozenset({"x/", "a//b", "a/../b"}), file_and_folder=False, encodings=False)

    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return Folder(f"{folder}/")

    @pytest.fixture
    def backend(self) -> Backend:
        return FileBackend(threads=4)


def test_the_same_tree_as_on_every_storage_is_scanned_as_a_network_s_fetched_and_found_changed(
    folder: Path, tmp_path: Path
) -> None:
    assert folder.stat().st_dev not in LocalDisks()
    bodies = whole_tree("nfs")
    for name, body in bodies.items():
        write(folder / name, body)
    manifest = ar.scan(f"file://{folder}/")
    assert {entry.path: (entry.size, entry.pin.checksum) for entry in manifest} == {
        name: (len(body), f"md5:{hashlib.md5(body).hexdigest()}") for name, body in bodies.items()
    }
    assert [entry.path for entry in manifest] == sorted(bodies)
    ar.fetch(manifest, tmp_path / "out", escape=True)
    assert tree(tmp_path / "out") == as_files(bodies)
    (folder / "00/a b").write_bytes(b"other")
    (folder / "01/a b").unlink()
    assert ar.status(manifest).counts == {
        "unchanged": len(bodies) - 2,
        "changed": 1,
        "newer_version": 0,
        "gone": 1,
        "new": 0,
    }
