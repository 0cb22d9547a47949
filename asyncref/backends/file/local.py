"""Small subtrees on a local disk, where a call neither waits for a network nor hangs with its server: whole, in one call.

Files are looked at by `DirEntry.stat`, which keeps the interpreter's lock: on a network that would stop the program, and
`os.stat`, which gives it away each time, makes threads quarrel over it. What a page costs the engine (1 ms) is
shared by the folders in it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asyncref.backends.file.folder import FILE, FOLDER, LINK, Rows, follow, kind_of, shown, text_of
from asyncref.backends.file.hashes import State

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
        rows: Files by their paths relative to the folder.
        links: Those of them that are links.
        inside: Paths of the folders that are in it, relative, each ending in `/`; the folder itself is empty.
        left: Folders that have to be asked for by themselves, in the same form.
        waiting: Folders to go on with, the next one last.
    """

    rows: Rows = field(default_factory=Rows)
    links: list[bytes] = field(default_factory=list)
    inside: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)


def subtree(prefix: str, path: bytes, disks: LocalDisks, waiting: list[bytes], *, most: int) -> Subtree | None:
    """Read a folder and folders below it until `most` files are found or 0.2 s have passed.

    A folder that is not on a local disk, holds too many files or cannot be read is left to be asked for by itself.

    Args:
        prefix: What keys start with.
        path: Where the folder lies here.
        disks: Of this machine.
        waiting: Folders to begin with, the first one last: at first the folder itself, which is empty.
        most: Files.

    Returns:
        None if the folder itself is such a one.
    """
    found, late_s = Subtree(waiting=waiting), time.perf_counter() + _SLICE_S
    while waiting and time.perf_counter() < late_s:
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
        elif found.rows.names:
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
    rows, links, below = Rows(), [], []
    room = most - len(found.rows.names)
    with os.scandir(path + folder) as items:
        for item in items:
            name, kind = folder + item.name, kind_of(item)
            if text_of(item.name) is None:
                rows.refused.append(f"{prefix}{shown(name)} (not UTF-8)")
            elif kind == FILE:
                looked = item.stat(follow_symlinks=False)
                if len(rows.names) >= room or not stat.S_ISREG(looked.st_mode):
                    return None
                rows.names.append(name)
                rows.states.append(State.of(looked))
            elif kind == FOLDER:
                below.append(name + b"/")
            elif kind == LINK:
                links.append(name)
                follow(rows, prefix, path, name)
            else:
                rows.refused.append(f"{prefix}{shown(name)} (a socket, pipe or device)")
            if len(rows.names) > room:
                return None
    found.rows.extend(rows)
    found.links += links
    return below
