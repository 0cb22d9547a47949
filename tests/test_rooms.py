"""Temporary folders: those of killed runs are removed by the next, those of living ones never."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asyncref import rooms
from asyncref.engine.scan import Target, scan
from asyncref.manifest.writer import Scratch
from asyncref.rooms import open_room, sweep

MAKE = """
import sys
from pathlib import Path
from asyncref.rooms import open_room
room = open_room(Path(sys.argv[1]))
(room.path / "rows").write_bytes(b"x")
print(room.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def running(tmp_path: Path):
    """A process with a room, and the room."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_room_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path, running):
    process, room = running
    sweep(tmp_path)
    assert (room / "rows").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with_mine = open_room(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [with_mine.path]
    with_mine.close()
    assert not list(tmp_path.iterdir())


def test_rooms_of_one_process_leave_each_other_alone(tmp_path):
    first, second = open_room(tmp_path), open_room(tmp_path)
    assert first.path.is_dir()
    assert second.path.is_dir()
    first.close()
    first.close()
    assert second.path.is_dir()
    second.close()


def test_what_has_no_lock_or_is_no_room_is_left_alone(tmp_path):
    for name in (f"{rooms.PREFIX}of-another-version", "asyncref-other", "else"):
        (tmp_path / name).mkdir()
    (tmp_path / f"{rooms.PREFIX}file").touch()
    open_room(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 4
    sweep(tmp_path / "not there")


async def test_a_scan_leaves_no_folder_and_sweeps_those_of_others(tmp_path, running, monkeypatch):
    process, room = running
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_bytes(b"x")
    process.kill()
    process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await scan([Target(uri=f"file://{tmp_path}/tree/")])
    assert not room.exists()
    assert not list(tmp_path.glob(f"{rooms.PREFIX}*"))


def test_a_large_manifests_parts_lie_in_such_a_room(tmp_path, running, monkeypatch):
    process, room = running
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch = Scratch()
    assert room.exists()
    process.kill()
    process.wait()
    other = Scratch()
    assert not room.exists()
    assert scratch.path.is_dir()
    del scratch, other
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_system_without_such_locks_imports_and_works(tmp_path):
    """As on Windows: no fcntl, nothing is swept, and nothing else is missing."""
    code = (
        "import sys\n"
        "from importlib import import_module\n"
        "from pathlib import Path\n"
        "import asyncref.engine.scan\n"
        "names = ['asyncref.engine.scan.resume', 'asyncref.rooms']\n"
        "for name in [*names, 'fcntl']: del sys.modules[name]\n"
        "sys.platform = 'win32'; sys.modules['fcntl'] = None\n"
        "resume, rooms = map(import_module, names)\n"
        f"room = rooms.open_room(Path({str(tmp_path)!r})); assert room.path.is_dir()\n"
        f"rooms.sweep(Path({str(tmp_path)!r})); assert room.path.is_dir()\n"
        "lock = resume._locked(room.path); assert lock is not None; lock.close()\n"
        "room.close(); assert not room.path.exists()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
