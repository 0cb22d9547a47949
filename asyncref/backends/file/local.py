"""Small subtrees on a local disk, where a call neither waits for a network nor hangs with its server: whole, in one call.

A folder is read by one call of the compiled part, without the interpreter's lock. Where that is missing, files are looked at by
`DirEntry.stat`, which keeps the lock: on a network that would stop the program, and `os.stat`, which gives it away each
time, makes threads quarrel over it. What a page costs the engine (1 ms) is shared by the folders in it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.file.folder import (
    FILE,
    FOLDER,
    LINK,
    OTHER,
    TIME,
    Rows,
    follow,
    kind_of,
    page_of,
    shown,
    text_of,
)
from asyncref.backends.file.hashes import Hashes, State

try:
    from asyncref import _entries
except ImportError:
    _entries = None  # type: ignore[assignment]

_LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "f2fs", "ramfs", "tmpfs", "xfs", "zfs"})
OWN_CLOCK: Final = _LOCAL | {"btrfs", "exfat", "ntfs3", "overlay", "vfat"}
"""File systems whose times are by this machine's clock."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_SLICE_S: Final = 0.2


class LocalDisks:
    """The devices of this machine's local file systems, as of now. Elsewhere than on Linux none is known.

    Args:
        systems: Names of the file systems that count; None: those where a call does not wait.
    """

    def __init__(self, systems: Container[str] | None = None) -> None:
        systems = _LOCAL if systems is None else systems
        try:
            lines = _MOUNTS.read_bytes().decode(errors="surrogateescape").splitlines()
        except OSError:
            lines = []
        self._devices = {device for line in lines for device in _local_device(line, systems)}

    def __contains__(self, device: object) -> bool:
        """Whether a device number, as a stat gives it, is one of them."""
        return device in self._devices


def _local_device(line: str, systems: Container[str]) -> list[int]:
    """From `36 35 98:0 /root /mountpoint options [fields...] - ext4 /dev/sda1 options`."""
    words, _, system = line.partition(" - ")
    major, colon, minor = words.split(" ")[2].partition(":") if words.count(" ") > 2 else ("", "", "")  # noqa: PLR2004
    if not colon or system.partition(" ")[0] not in systems:
        return []
    return [os.makedev(int(major), int(minor))]


@dataclass(slots=True)
class Subtree:
    """What lies in a folder and in some of the folders below it.

    Attributes:
        rows: Links by their paths relative to the folder, and what is left out.
        links: Those that are links.
        inside: Paths of the folders that are in it, relative, each ending in `/`; the folder itself is empty.
        left: Folders that have to be asked for by themselves, in the same form.
        waiting: Folders to go on with, the next one last.
        files: How many files there are besides the rows.
    """

    rows: Rows = field(default_factory=Rows)
    links: list[bytes] = field(default_factory=list)
    inside: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    files: int = 0
    _keys: list[bytes] = field(default_factory=list)
    _ends: list[bytes] = field(default_factory=lambda: [bytes(4)])
    _states: list[bytes] = field(default_factory=list)
    _length: int = 0

    @property
    def end(self) -> int:
        """Where the last key ends."""
        return self._length

    @property
    def count(self) -> int:
        """Files of either kind."""
        return self.files + len(self.rows.names)

    def join(self, other: Subtree) -> None:
        """Add what another one found, but for what it waits with."""
        self._keys += other._keys
        ends = np.frombuffer(b"".join(other._ends[1:]), np.int32)
        self._ends.append((ends + np.int32(self._length)).tobytes())
        self._states += other._states
        self._length += other._length
        self.files += other.files
        self.rows.extend(other.rows)
        self.links += other.links
        self.inside += other.inside
        self.left += other.left

    def add(self, read: _Read) -> None:
        """Add a folder's files."""
        self._keys.append(read.keys)
        self._ends.append(read.ends)
        self._states.append(read.states)
        self._length += len(read.keys)
        self.files += len(read.ends) // 4

    def batch(self, prefix: str, hashes: Hashes | None) -> pa.RecordBatch:
        """All of it as a page of `PAGE_SCHEMA`, ascending; with the MD5s that are known without reading."""
        keys = [pa.py_buffer(b"".join(self._ends)), pa.py_buffer(b"".join(self._keys))]
        states = np.frombuffer(b"".join(self._states), np.int64).reshape(-1, 5)
        known: dict[str, pa.Array[Any]] = {
            "key": pa.Array.from_buffers(pa.string(), self.files, [None, *keys]),
            "size": pa.array(states[:, 2]),
            "modified": pa.array(states[:, 3] // 1000).cast(TIME),
        }
        if hashes is not None:
            identities = np.ascontiguousarray(states[:, :2]).view(np.uint64).tolist()
            rest = states[:, 2:].tolist()
            md5s = hashes.find([State(*which, *what) for which, what in zip(identities, rest, strict=True)])
            if any(md5 is not None for md5 in md5s):
                known["md5"] = pa.array(md5s, pa.binary(16))
            self.rows.md5s = hashes.find(self.rows.states)
        batch = page_of(known, self.files)
        if self.rows.names:
            batch = pa.concat_batches([batch, self.rows.batch(prefix)])
        return batch.take(pc.sort_indices(batch.column(0)))


class _Read(NamedTuple):
    """A folder, read: see `asyncref._entries.folder`."""

    keys: bytes
    ends: bytes
    states: bytes
    others: bytes


def subtree(
    prefix: str, path: bytes, disks: LocalDisks, waiting: list[bytes], *, most: int, folders: int | None = None
) -> Subtree | None:
    """Read a folder and folders below it until `most` files are found or 0.2 s have passed.

    A folder that is not on a local disk, holds too many files or cannot be read is left to be asked for by itself.

    Args:
        prefix: What keys start with.
        path: Where the folder lies here.
        disks: Of this machine.
        waiting: Folders to begin with, the first one last: at first the folder itself, which is empty.
        most: Files.
        folders: Read no more than so many.

    Returns:
        None if the folder itself is such a one.
    """
    found, late_s = Subtree(waiting=waiting), time.perf_counter() + _SLICE_S
    while waiting and len(found.inside) != folders and time.perf_counter() < late_s:
        folder = waiting.pop()
        try:
            below = _read(found, prefix, path, folder, disks, most=most)
        except OSError:
            below = None
        if below is not None:
            found.inside.append(folder)
            waiting += reversed(below)
        elif not folder:
            return None
        elif found.count:
            waiting.append(folder)  # there may be room for it in a page of its own
            break
        else:
            found.left.append(folder)
    return found


def _read(
    found: Subtree, prefix: str, path: bytes, folder: bytes, disks: LocalDisks, *, most: int
) -> list[bytes] | None:
    """Add one folder's files; its folders. None, and nothing is added, where it is to be left."""
    if os.stat(path + folder).st_dev not in disks:  # noqa: PTH116  bytes paths, whatever the locale
        return None
    room = most - found.count
    read = _listed(path + folder, prefix.encode() + folder, found.end, room)
    if read is None:
        return None
    rows, links, below = Rows(), [], []
    for other in read.others.split(b"\0")[:-1]:
        kind, name = other[0], folder + other[1:]
        if text_of(other[1:]) is None:
            rows.refused.append(f"{prefix}{shown(name)} (not UTF-8)")
        elif kind == FOLDER:
            below.append(name + b"/")
        elif kind == LINK:
            links.append(name)
            follow(rows, prefix, path, name)
        else:
            rows.refused.append(f"{prefix}{shown(name)} (a socket, pipe or device)")
    if len(rows.names) + len(read.ends) // 4 > room:
        return None
    found.add(read)
    found.rows.extend(rows)
    found.links += links
    return below


def _listed(path: bytes, head: bytes, start: int, most: int) -> _Read | None:
    """A folder by the compiled way, where there is one and all names are text."""
    if _entries is None:
        return listed_plainly(path, head, start, most)
    found = _entries.folder(path, head, start, most)
    if found is None:
        return None
    if text_of(found[0]) is None:  # some name is not; they are told apart in the other way
        return listed_plainly(path, head, start, most)
    return _Read(*found)


def listed_plainly(path: bytes, head: bytes, start: int, most: int) -> _Read | None:
    """The same as `asyncref._entries.folder`; a file whose name is not text is among the others, as `-`."""
    keys, others = bytearray(), bytearray()
    ends: list[int] = []
    states: list[State] = []
    with os.scandir(path) as items:
        for item in items:
            kind = kind_of(item)
            if kind not in (FOLDER, LINK):
                found = item.stat(follow_symlinks=False)
                kind = _kind_of_mode(found.st_mode)
                if kind == FILE and text_of(item.name) is not None:
                    if len(ends) >= most:
                        return None
                    keys += head + item.name
                    ends.append(start + len(keys))
                    states.append(State.of(found))
                    continue
            others += b"%c%s\0" % (kind, item.name)
    packed = np.empty((len(states), 5), np.int64)
    if states:
        packed[:, :2] = np.array([state[:2] for state in states], np.uint64).view(np.int64)
        packed[:, 2:] = [state[2:] for state in states]
    return _Read(bytes(keys), np.array(ends, np.int32).tobytes(), packed.tobytes(), bytes(others))


def _kind_of_mode(mode: int) -> int:
    if stat.S_ISREG(mode):
        return FILE
    if stat.S_ISDIR(mode):
        return FOLDER
    return LINK if stat.S_ISLNK(mode) else OTHER
