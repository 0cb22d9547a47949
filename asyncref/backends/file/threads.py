"""Threads for calls that may block for ever: bounded in number, and in how long anyone waits for them.

A call that hangs in the kernel, as on a mount whose server is gone, cannot be ended. So nobody joins these
threads: they are daemons, and a program ends although some of them hang.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import anyio

from asyncref.errors import AsyncrefError, ConnectionFailedError

T = TypeVar("T")
_HINT: Final = "see whether the server of its mount answers"


class _Job(Generic[T]):
    """One call, its outcome, and whom to tell of it.

    Attributes:
        begun_s: When a thread took it, by the monotonic clock; None: it waits in the queue.
        dropped: Nobody waits for it any more.
    """

    __slots__ = ("begun_s", "call", "dropped", "error", "result", "tell")

    def __init__(self, call: Callable[[], T], tell: Callable[[], None]) -> None:
        self.call, self.tell = call, tell
        self.begun_s: float | None = None
        self.dropped = False
        self.result: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result.append(self.call())
        except BaseException as error:  # noqa: BLE001  raised again by whoever waits
            self.error = error

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result[0]


class _Crew:
    """The threads of one process and their work."""

    def __init__(self, most: int) -> None:
        self._most, self._alive = most, 0
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._running: set[_Job[Any]] = set()
        self.process = os.getpid()

    def put(self, job: _Job[Any]) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._alive < self._most:
            self._alive += 1
            threading.Thread(target=self._work, name="asyncref-file", daemon=True).start()

    def oldest_s(self) -> float | None:
        """When the call began that has been at work for longest."""
        return min((job.begun_s for job in list(self._running) if job.begun_s is not None), default=None)

    def dismiss(self) -> None:
        """Let every thread end once it has nothing more to do."""
        for _ in range(self._alive):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.dropped:
                job.begun_s = time.monotonic()
                self._running.add(job)
                job.run()
                self._running.discard(job)
                job.tell()
            self._idle.release()


class Threads:
    """A bounded set of threads, started when needed; dropped at a fork.

    Args:
        most: Calls at once.
        patience_s: How long a call may be at work. In its queue one waits for as long as none at work takes longer.
        uri: What the calls are about; for the error.
    """

    def __init__(self, most: int, *, patience_s: float, uri: str) -> None:
        self.most, self._patience_s, self._uri = most, patience_s, uri
        self._crew = _Crew(most)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread.

        Raises:
            ConnectionFailedError: It did not return in time, or another one has not.
        """
        crew, loop = self._ready(), asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiting.done():
                waiting.set_result(None)

        def tell() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(wake)

        job: _Job[T] = _Job(call, tell)
        crew.put(job)
        left_s = self._patience_s
        try:
            while left_s > 0 and not waiting.done():
                await asyncio.wait((waiting,), timeout=left_s)
                left_s = self._left_s(crew, job)
        finally:
            job.dropped = True
        return self._outcome(job)

    def run_here(self, call: Callable[[], T]) -> T:
        """Run a call in a thread and block until it returns; raises as `run` does."""
        crew, ended, left_s = self._ready(), threading.Event(), self._patience_s
        job: _Job[T] = _Job(call, ended.set)
        crew.put(job)
        while left_s > 0 and not ended.wait(left_s):
            left_s = self._left_s(crew, job)
        return self._outcome(job)

    def _left_s(self, crew: _Crew, job: _Job[Any]) -> float:
        """How long a call may still take; one in the queue, how long those at work may."""
        begun_s = crew.oldest_s() if job.begun_s is None else job.begun_s
        return self._patience_s if begun_s is None else begun_s + self._patience_s - time.monotonic()

    def close(self) -> None:
        """Let the threads end. Idempotent; a later call starts new ones."""
        if self._crew.process == os.getpid():
            self._crew.dismiss()
        self._crew = _Crew(self.most)

    def _ready(self) -> _Crew:
        if self._crew.process != os.getpid():
            self._crew = _Crew(self.most)
        oldest_s = self._crew.oldest_s()
        if oldest_s is not None and oldest_s + self._patience_s < time.monotonic():
            raise self._hangs()
        return self._crew

    def _outcome(self, job: _Job[T]) -> T:
        if not job.result and job.error is None:
            job.dropped = True
            raise self._hangs()
        return job.outcome()

    def _hangs(self) -> ConnectionFailedError:
        text = f"the file system hangs: a call has not returned within {self._patience_s:g} s"
        return ConnectionFailedError(text, uri=self._uri, hint=_HINT)


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results in order; the first failure itself, not a group of one."""
    results: dict[int, T] = {}
    failures: list[AsyncrefError] = []

    async def one(index: int) -> None:
        try:
            results[index] = await calls[index]()
        except AsyncrefError as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(one, index)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(calls))]
