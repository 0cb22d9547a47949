"""Lists a storage that gives folders but no ranges (Azure): side by side where that pays, in one go where it does not.

A listing starts flat. What ends with its first page cost one request. Where more follows, the first page tells
whether there are folders, and whether they are large enough to be worth a request each; then they are asked for
and listed in the same way, several at once, and the page is thrown away. Order is not relied on: Azure's
hierarchical namespaces have another one. A container of loose names, or of many small folders, is listed by the
server's own markers from start to end, in as many requests as a serial listing takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import pyarrow as pa

from asyncref.engine.flow import one_error
from asyncref.engine.scan.pins import page_of_pins
from asyncref.errors import ContainerNotFoundError, NotFoundError, UnsupportedError
from asyncref.model import ListRequest, Page, Pin

WORTH: Final = 20
"""A level is split where its folders hold on average a 20th of a page or more: so often does that cost requests."""
_LOOSE: Final = 1000
"""Most loose objects of a level that are asked for one by one where a listing of folders gives no version ids."""


def worth_splitting(keys: Sequence[str], prefix: str, *, page_rows: int) -> bool:
    """Whether the first page of a listing that goes on shows folders worth listing one by one.

    Args:
        keys: Of the page, in the server's order.
        prefix: What all of them start with.
        page_rows: Most rows a page. The last folder may go on behind the page, and counts as a full one.
    """
    at = len(prefix)
    folders = [key[at:end] for key in keys if (end := key.find("/", at)) >= 0]
    if not folders:
        return False
    last = keys[-1][at : keys[-1].find("/", at)] if "/" in keys[-1][at:] else None
    rows = sum(folder != last for folder in folders) + (page_rows if last is not None else 0)
    return rows >= len(set(folders)) * page_rows / WORTH


@dataclass(slots=True)
class FolderTree:
    """One listing.

    Args:
        ask: Sends one request, retried and checked.
        give: Takes the rows of a page.
        stat: Asks for one object, retried.
        request: What to list; its prefix is the root.
        workers: Most folders listed at once.
    """

    ask: Callable[[ListRequest], Awaitable[Page]]
    give: Callable[[Page], Awaitable[None]]
    stat: Callable[[str], Awaitable[Pin]]
    request: ListRequest
    workers: int
    vanished: int = 0
    """Folders and objects that were gone when they were asked for."""
    _pending: list[str] = field(default_factory=list)
    _folders_tell_versions: bool = True

    async def run(self, first: Page | None = None) -> None:
        """List everything.

        Args:
            first: The first page of the flat listing, if it has been asked for.

        Raises:
            StorageError, RetryableError: What the storage answered for good, or to the last try.
        """
        await self._list(self.request.prefix, first)
        if not self._pending:
            return
        active = 0
        changed = anyio.Condition()

        async def worker() -> None:
            nonlocal active
            while True:
                async with changed:
                    while not self._pending and active:
                        await changed.wait()
                    if not self._pending:
                        return
                    prefix = self._pending.pop()
                    active += 1
                before = len(self._pending)
                try:
                    await self._list(prefix)
                except ContainerNotFoundError:
                    raise
                except NotFoundError:
                    self.vanished += 1
                finally:
                    active -= 1
                    if not active or len(self._pending) > before:
                        async with changed:
                            changed.notify_all()

        with one_error():
            async with anyio.create_task_group() as group:
                for _ in range(self.workers):
                    group.start_soon(worker)

    async def _list(self, prefix: str, first: Page | None = None) -> None:
        """List one folder, or find its sub-folders and leave those to the workers."""
        request = replace(self.request, prefix=prefix)
        page = first if first is not None else await self.ask(request)
        if page.cursor is not None and await self._split(request, page):
            return
        while True:
            await self.give(page)
            if page.cursor is None:
                return
            request = replace(request, cursor=page.cursor)
            page = await self.ask(request)

    async def _split(self, request: ListRequest, page: Page) -> bool:
        """Whether the folder was split; nothing of it has been given if not."""
        keys = page.batch.column(0).to_pylist()
        while worth_splitting(keys, request.prefix, page_rows=request.limit):
            request, level = await self._level(replace(request, folders=True))
            if level.cursor is not None or level.batch.num_rows or len(level.folders) != 1:
                break
            request = replace(request, prefix=level.folders[0])  # nothing beside it: the page is its first page, too
        else:
            return False
        stat = self.request.versions and not request.versions
        if stat and level.batch.num_rows > _LOOSE:
            return False
        while True:
            self._pending.extend(reversed(level.folders))
            await self.give(await self._pinned(level) if stat else level)
            if level.cursor is None:
                return True
            request = replace(request, cursor=level.cursor)
            level = await self.ask(request)

    async def _level(self, request: ListRequest) -> tuple[ListRequest, Page]:
        """What lies right in a folder, with version ids where the storage gives them here, and the request that did it."""
        if request.versions and self._folders_tell_versions:
            try:
                return request, await self.ask(request)
            except UnsupportedError:
                self._folders_tell_versions = False
        request = replace(request, versions=request.versions and self._folders_tell_versions)
        return request, await self.ask(request)

    async def _pinned(self, level: Page) -> Page:
        """The same page with the version ids of its loose objects, asked for one by one."""
        found: dict[str, Pin] = {}

        async def ask(key: str) -> None:
            try:
                found[key] = await self.stat(key)
            except NotFoundError:
                self.vanished += 1

        keys: list[str] = level.batch.column(0).to_pylist()
        async with anyio.create_task_group() as group:
            for key in keys:
                group.start_soon(ask, key)
        kept = [key for key in keys if key in found]
        batch: pa.RecordBatch = page_of_pins(kept, [found[key] for key in kept])
        return replace(level, batch=batch)
