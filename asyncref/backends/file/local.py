"""Which folders lie on a local disk, where a call neither waits for a network nor hangs with its server.

There files are looked at by `DirEntry.stat`, which keeps the interpreter's lock: 50,000 calls of `os.stat`, each of
which gives it away, cost three times their own time in threads that quarrel over it. On a network that would stop the program.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "f2fs", "ramfs", "tmpfs", "xfs", "zfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")


class LocalDisks:
    """The devices of this machine's local file systems, as of now. Elsewhere than on Linux none is known."""

    def __init__(self) -> None:
        try:
            lines = _MOUNTS.read_bytes().decode(errors="surrogateescape").splitlines()
        except OSError:
            lines = []
        self._devices = {device for line in lines for device in _local_device(line)}

    def __contains__(self, device: object) -> bool:
        """Whether a device number, as a stat gives it, is one of them."""
        return device in self._devices


def _local_device(line: str) -> list[int]:
    """From `36 35 98:0 /root /mountpoint options [fields...] - ext4 /dev/sda1 options`."""
    words, _, system = line.partition(" - ")
    major, colon, minor = words.split(" ")[2].partition(":") if words.count(" ") > 2 else ("", "", "")  # noqa: PLR2004
    if not colon or system.partition(" ")[0] not in _LOCAL:
        return []
    return [os.makedev(int(major), int(minor))]
