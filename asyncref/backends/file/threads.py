"""Threads for calls that may block for ever: bounded in number, and in how long anyone waits for them.

A call that hangs in the kernel, as on a mount whose server is gone, cannot be ended. So nobody joins these
threads: they are daemons, and a program ends although some of them hang.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from asyncref.errors import ConnectionFailedError

T = TypeVar("T")
_HINT: Final = "see whether the server of its mount answers"


class _Job(Generic[T]):
    """One call, its outcome, and whom to tell of it."""

    __slots__ = ("call", "error", "result", "tell")

    def __init__(self, call: Callable[[], T], tell: Callable[[], None]) -> None:
        self.call, self.tell = call, tell
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
        self.process = os.getpid()
        self.overdue: set[_Job[Any]] = set()

    def put(self, job: _Job[Any]) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._alive < self._most:
            self._alive += 1
            threading.Thread(target=self._work, name="asyncref-file", daemon=True).start()

    def dismiss(self) -> None:
        """Let every thread end once it has nothing more to do."""
        for _ in range(self._alive):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
            self.overdue.discard(job)
            job.tell()
            self._idle.release()


class Threads:
    """A bounded set of threads, started when needed; dropped at a fork.

    Args:
        most: Calls at once.
        patience_s: How long a call is waited for, in its queue and at work.
        uri: What the calls are about; for the error.
    """

    def __init__(self, most: int, *, patience_s: float, uri: str) -> None:
        self.most, self._patience_s, self._uri = most, patience_s, uri
        self._crew = _Crew(most)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread.

        Raises:
            ConnectionFailedError: It did not return in time, or an earlier one still has not.
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
        timer = loop.call_later(self._patience_s, wake)
        try:
            await waiting
        finally:
            timer.cancel()
        return self._outcome(crew, job)

    def run_here(self, call: Callable[[], T]) -> T:
        """Run a call in a thread and block until it returns; raises as `run` does."""
        crew, ended = self._ready(), threading.Event()
        job: _Job[T] = _Job(call, ended.set)
        crew.put(job)
        ended.wait(self._patience_s)
        return self._outcome(crew, job)

    def close(self) -> None:
        """Let the threads end. Idempotent; a later call starts new ones."""
        if self._crew.process == os.getpid():
            self._crew.dismiss()
        self._crew = _Crew(self.most)

    def _ready(self) -> _Crew:
        if self._crew.process != os.getpid():
            self._crew = _Crew(self.most)
        if self._crew.overdue:
            raise self._hangs()
        return self._crew

    def _outcome(self, crew: _Crew, job: _Job[T]) -> T:
        if not job.result and job.error is None:
            crew.overdue.add(job)
            raise self._hangs()
        return job.outcome()

    def _hangs(self) -> ConnectionFailedError:
        text = f"the file system hangs: a call has not returned within {self._patience_s:g} s"
        return ConnectionFailedError(text, uri=self._uri, hint=_HINT)
