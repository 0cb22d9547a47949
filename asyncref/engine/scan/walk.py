"""Visits a tree folder by folder, the deepest found first, so that few folders wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from asyncref.engine.flow.groups import one_error
from asyncref.errors import ContainerNotFoundError


async def walk(root: str, visit: Callable[[str, list[str]], Awaitable[None]], *, workers: int) -> int:
    """Visit every folder once, many at a time.

    Args:
        root: The folder to start in.
        visit: Lists one folder and adds those in it to the list it is given, the last of them to be visited first.
        workers: Most visits at a time.

    Returns:
        How many folders were gone before they could be visited.

    Raises:
        ContainerNotFoundError: The root is not there.
        StorageError, RetryableError: What a visit raised.
    """
    pending = [root]
    active = vanished = 0
    changed = anyio.Condition()

    async def worker() -> None:
        nonlocal active, vanished
        while True:
            async with changed:
                while not pending and active:
                    await changed.wait()
                if not pending:
                    return
                folder = pending.pop()
                active += 1
            try:
                await visit(folder, pending)
            except ContainerNotFoundError:
                if folder == root:
                    raise
                vanished += 1
            finally:
                active -= 1
                async with changed:
                    changed.notify_all()

    with one_error():
        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(worker)
    return vanished
