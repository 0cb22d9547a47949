"""Small files, written many a call by one thread at a time, which does not hold the interpreter's lock meanwhile.

A small file costs 60 µs in the system, a third of all that an object of 1 KB costs: time in which the loop can ask for the next
ones. A thread for each would cost more than that; a call of Python for each call of the system, a turn of its lock.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Final, NamedTuple

import anyio
import numpy as np

from asyncref.engine.fetch.disk import Bytes
from asyncref.engine.fetch.sinks import Threads

try:
    from asyncref import _entries
except ImportError:
    _entries = None  # type: ignore[assignment]

IS_BUILT: Final = _entries is not None
_FEW: Final = 4  # files that are written on the loop: a thread's turn costs as much


class Seen(NamedTuple):
    """What the system says of a file, as `os.stat_result` names it."""

    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_size: int


class SmallFiles:
    """Writes the small files of one fetch, as they come.

    Args:
        threads: Where they are written.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._held: list[tuple[str, Bytes, asyncio.Future[Seen | None]]] = []
        self._is_writing = False

    async def write(self, path: str, data: Bytes) -> Seen | None:
        """Write a file that nothing may have the name of; forced to the disk by nobody.

        Args:
            path: Of the file, absolute; its folder is there.
            data: Its bytes, not changed meanwhile.

        Returns:
            What the system says of it; None: it could not be written so, for whatever reason, and nothing was done.
        """
        written: asyncio.Future[Seen | None] = asyncio.get_running_loop().create_future()
        self._held.append((path, data, written))
        if not self._is_writing:
            self._is_writing = True
            try:
                await asyncio.sleep(0)  # let those come that are complete already
                while self._held:
                    await self._write_held()
            finally:
                self._is_writing = False
                self._hand_out([None] * len(self._held))
        return await written

    async def _write_held(self) -> None:
        paths = b"".join([os.fsencode(path) + b"\0" for path, _, _ in self._held])
        contents = tuple([data for _, data, _ in self._held])
        write = partial(_entries.write, paths, contents)
        with anyio.CancelScope(shield=True):
            states = write() if len(contents) <= _FEW else await self._threads.run(write)
        found = np.frombuffer(states, np.int64).reshape(-1, 5).tolist()
        self._hand_out([Seen(mtime, ctime, inode, size) if inode else None for _, inode, size, mtime, ctime in found])

    def _hand_out(self, found: list[Seen | None]) -> None:
        """Tell those that came first."""
        for (_, _, written), seen in zip(self._held, found, strict=False):
            if not written.done():  # else cancelled
                written.set_result(seen)
        del self._held[: len(found)]
