"""Blocking calls of others' libraries that may wait for a server, in threads that nobody waits for at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """Run a call in a thread of its own. Who is cancelled does not wait for it, nor does the process's end.

    anyio's threads are joined as the interpreter ends, so that Ctrl-C would take as long as a server that does not answer.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not waiting.done():
            outcome()

    def work() -> None:
        try:
            outcome = partial(waiting.set_result, call())
        except StopIteration as error:  # which no future takes, nor any coroutine (PEP 479)
            broken = RuntimeError("the call raised StopIteration")
            broken.__cause__ = error
            outcome = partial(waiting.set_exception, broken)
        except BaseException as error:  # noqa: BLE001  raised again by whoever waits
            outcome = partial(waiting.set_exception, error)
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="asyncref-aside", daemon=True).start()
    return await waiting
