"""The one background loop on which sync calls run: in scripts, in notebooks and inside a running loop alike.

`call` runs one coroutine to its end. `iterate` drives an async context manager that gives an async
iterator, in one task from start to end, since a task group has to be left by the task that entered it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import ctypes
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar

_new_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop as _new_loop
except ImportError:
    _new_loop = asyncio.new_event_loop

P = ParamSpec("P")
T = TypeVar("T")

_END: Final = object()
_NEXT: Final = object()
_TICK_S: Final = 0.2
_CLOSE_S: Final = 5.0  # an exit waits this long for cancelled coroutines to clean up


class _Loop:
    """A loop on its own daemon thread."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self.closing = False
        self.thread = threading.Thread(target=self._run, name="asyncref-loop", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.closing:
            # SystemExit or KeyboardInterrupt raised in a task goes to its caller and also ends
            # run_forever; the loop goes on for the others.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
        with contextlib.suppress(Exception):
            self.loop.run_until_complete(_end_all())
        self.loop.close()

    def close(self) -> None:
        self.closing = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(2 * _CLOSE_S)


class _Job(Generic[T]):
    """One coroutine on the loop, waited for by the thread that started it."""

    def __init__(self, running: _Loop, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._loop = running.loop
        self._done = threading.Event()
        self._task: asyncio.Task[T] | None = None
        context = contextvars.copy_context()
        self._loop.call_soon_threadsafe(self._start, make, context)

    def _start(self, make: Callable[[], Coroutine[Any, Any, T]], context: contextvars.Context) -> None:
        self._task = self._loop.create_task(make(), context=context)
        self._task.add_done_callback(lambda _: self._done.set())

    @property
    def done(self) -> bool:
        """Whether the coroutine has ended."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Cancel, and wait until the coroutine has cleaned up. A second Ctrl-C stops the waiting."""
        self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())
        _await(self._done)

    def result(self) -> T:
        """The coroutine's result, or its exception; whatever interrupts the waiting cancels it."""
        try:
            _await(self._done)
        except BaseException:
            self.cancel()
            raise
        assert self._task is not None
        return self._task.result()


_lock = threading.Lock()
_current: _Loop | None = None


def _running() -> _Loop:
    global _current  # noqa: PLW0603  one loop a process is the point
    with _lock:
        if _current is None or not _current.thread.is_alive():
            _current = _Loop()
        if threading.current_thread() is _current.thread:
            raise RuntimeError("a sync call inside asyncref's own loop would wait for itself; await the async twin")
        return _current


def call(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run an async function to its end from sync code and return its result.

    Safe inside a running loop (which it blocks meanwhile), in notebooks, in threads and after a fork.
    The caller's context variables are seen. Ctrl-C cancels the coroutine and waits for it to clean up.

    Raises:
        RuntimeError: Called from a coroutine that itself runs on this loop.
        BaseException: Whatever the function raised.
    """

    async def run() -> T:
        return await function(*args, **kwargs)

    return _Job(_running(), run).result()


def iterate(
    opener: Callable[P, AbstractAsyncContextManager[AsyncIterator[T]]], *args: P.args, **kwargs: P.kwargs
) -> AbstractContextManager[Iterator[T]]:
    """Drive an async context manager that gives an async iterator, from sync code.

    Everything runs in one task; leaving the `with` block closes it, also in the middle and on an
    exception, which the async context manager sees. Cost: one change of thread an item.
    """
    return _Driven(lambda: opener(*args, **kwargs))


class _Driven(Generic[T]):
    """The sync side of `iterate`: hands requests for the next item to one task."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]]) -> None:
        self._make = make
        self._asked: asyncio.Queue[object] = asyncio.Queue()  # _NEXT, or how to leave: None or an exception
        self._answered = threading.Event()
        self._answer: Any = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._running = _running()
        self._job = _Job(self._running, self._drive)
        self._wait()
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._job.done:
            raise StopIteration
        self._answered.clear()
        self._send(_NEXT)
        self._wait()
        answer, self._answer = self._answer, None
        if answer is _END:
            raise StopIteration
        item: T = answer
        return item

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._job.done:
            self._send(error)
        try:
            self._job.result()
        except BaseException as raised:
            seen = error is not None and (
                raised in (error, self._failure) or isinstance(raised, asyncio.CancelledError)
            )
            if not seen:
                raise

    def _send(self, request: object) -> None:
        self._running.loop.call_soon_threadsafe(self._asked.put_nowait, request)

    def _wait(self) -> None:
        try:
            _await(self._answered)
        except BaseException:
            self._job.cancel()
            raise
        if self._failure is not None:
            raise self._failure

    async def _drive(self) -> None:
        try:
            async with self._make() as items:
                self._answered.set()
                while (request := await self._asked.get()) is _NEXT:
                    self._answer = await anext(items, _END)
                    self._answered.set()
                _raise(request)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._answered.set()


def _await(event: threading.Event) -> None:
    # In slices: a signal that arrives between Python's last look and the blocking call, or on another
    # thread, does not interrupt a wait without end.
    while not event.wait(_TICK_S):
        pass


def _raise(request: object) -> None:
    if isinstance(request, BaseException):
        raise request


async def _end_all() -> None:
    """Cancel what still runs, let it clean up, and close what it left open."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_S)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _forget() -> None:
    """In a forked child: the parent's thread does not exist here, and its loop must not be touched."""
    global _current, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _current is not None:
        # Never freed: uvloop raises when a loop that "runs" is freed, and both kinds share the parent's epoll.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_current.loop))
        _current = None


def _close() -> None:
    global _current
    with _lock:
        running, _current = _current, None
    if running is not None and running.thread.is_alive():
        running.close()


os.register_at_fork(after_in_child=_forget)
atexit.register(_close)
