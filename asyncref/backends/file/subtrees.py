"""Pages of subtrees on local disks: their folders are shared by two threads, of which each reads without the interpreter's lock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, TypeVar

import pyarrow as pa

from asyncref.backends.file.failure import path_of
from asyncref.backends.file.folder import shown
from asyncref.backends.file.ground import Ground, Mounts
from asyncref.backends.file.hashes import Hashes
from asyncref.backends.file.local import LocalDisks, Subtree, subtree
from asyncref.backends.file.threads import Threads, gather
from asyncref.errors import ProtocolError
from asyncref.model import Cursor, ListRequest, Page

T = TypeVar("T")
QUICK_FOLDERS: Final = 2
"""Threads that read local folders: more of them quarrel over the interpreter's lock where nothing is waited for."""
_STATE: Final = "subtree"  # of a cursor; a page of names has hex there
_WORTH_SHARING: Final = 1000  # rows of a page


@dataclass(frozen=True, slots=True)
class Found:
    """A page, and what is known of its folders.

    Attributes:
        page: Ascending.
        resolved: The folders in it, with their paths here without links.
        links: Keys of the files in it that are links.
    """

    page: Page
    resolved: dict[str, bytes]
    links: list[str]


class Subtrees:
    """Lists subtrees.

    Args:
        threads: Where calls run.
        mounts: Where folders lie here.
        ground: The folder that all of it lies in.
        turns: How many folders are read at once.
        require: Raises if a folder's files vanished because the file system did.
    """

    def __init__(
        self,
        threads: Threads,
        mounts: Mounts,
        ground: Ground,
        turns: asyncio.Semaphore,
        require: Callable[[str], None],
    ) -> None:
        self._threads, self._mounts, self._ground = threads, mounts, ground
        self._turns, self._require = turns, require
        self._disks = LocalDisks()
        self._waiting: dict[str, tuple[list[bytes], bool]] = {}
        self._numbers = count()

    def holds(self, request: ListRequest) -> bool:
        """Whether a page goes on with one of these listings.

        Raises:
            ProtocolError: With one that has ended.
        """
        cursor = request.cursor
        if cursor is None or cursor.state != _STATE:
            return False
        if cursor.marker not in self._waiting:
            raise ProtocolError("the listing that this page belongs to has ended", uri=f"file://{request.prefix}")
        return True

    async def page(self, prefix: str, request: ListRequest, hashes: Hashes | None) -> Found | None:
        """Some of a subtree at once; what is left of it waits under the page's marker.

        Args:
            prefix: Of the subtree; ends in a slash.
            request: For its first page, or one that `holds`.
            hashes: Knows the content of files that did not change.

        Returns:
            None if the folder itself does not lie on a local disk, or is too large for a page.
        """
        marker = None if request.cursor is None else request.cursor.marker
        if marker is None:
            begun = await self._read(prefix, [b""], request.limit, folders=1)
            if begun is None:
                return None
            tree, shared = begun, True
        else:
            waiting, shared = self._waiting[marker]
            tree = Subtree(waiting=waiting.copy())
        shared = await self._read_on(prefix, tree, request.limit, shared=shared)
        batch, resolved = await self._in_turn(partial(self._finish, prefix, tree, hashes))
        if marker is not None:
            del self._waiting[marker]  # not before: a page that fails may be asked for again
        cursor = None
        if tree.waiting:
            cursor = Cursor(f"{prefix}{next(self._numbers)}", state=_STATE)
            self._waiting[cursor.marker] = tree.waiting, shared
        keys = batch.column(0)
        page = Page(
            batch=batch,
            first=keys[0].as_py() if len(keys) else None,
            last=keys[-1].as_py() if len(keys) else None,
            cursor=cursor,
            folders=tuple(f"{prefix}{folder.decode()}" for folder in tree.left),
            seen=len(keys),
            refused=tuple(tree.rows.refused),
            skipped=dict(tree.rows.skipped),
        )
        inside = {f"{prefix}{folder.decode()}": resolved + folder for folder in tree.inside}
        return Found(page, inside, [f"{prefix}{shown(name)}" for name in tree.links])

    def clear(self) -> None:
        """Forget what is left of all of them."""
        self._waiting.clear()

    async def _read_on(self, prefix: str, tree: Subtree, most: int, *, shared: bool) -> bool:
        """Fill a page: each thread takes every other folder; what is too large for half a page gets a whole one.

        Returns:
            Whether the threads are to share the next page, too.
        """
        waiting, room = tree.waiting, most - tree.count
        if shared and len(waiting) > 1 and room >= _WORTH_SHARING:
            parts = [waiting[0::2], waiting[1::2]]
            halves = await gather([partial(self._read, prefix, part, room // 2) for part in parts])
            waiting.clear()
            for half in halves:
                assert half is not None  # only a subtree's first folder can be unfit
                waiting += half.left + half.waiting
                half.left.clear()
                tree.join(half)
            if tree.count or not waiting:
                return True
            shared = False  # all of them are large
        if waiting and tree.count < most:
            rest = await self._read(prefix, waiting, most - tree.count)
            assert rest is not None
            tree.join(rest)
        return shared

    async def _read(
        self, prefix: str, waiting: list[bytes], most: int, *, folders: int | None = None
    ) -> Subtree | None:
        return await self._in_turn(partial(self._subtree, prefix, waiting, most, folders))

    async def _in_turn(self, call: Callable[[], T]) -> T:
        async with self._turns:
            return await self._threads.run(call)

    def _subtree(self, prefix: str, waiting: list[bytes], most: int, folders: int | None) -> Subtree | None:
        here = self._mounts.here(prefix)
        if waiting == [b""]:
            self._ground.seen(here)
        return subtree(prefix, path_of(here), self._disks, waiting, most=most, folders=folders)

    def _finish(self, prefix: str, tree: Subtree, hashes: Hashes | None) -> tuple[pa.RecordBatch, bytes]:
        """The page's rows, and the path of the subtree without links."""
        if tree.rows.skipped["vanished"]:
            self._require(prefix)
        here = os.path.realpath(path_of(self._mounts.here(prefix)))
        return tree.batch(prefix, hashes), here.rstrip(b"/") + b"/"
