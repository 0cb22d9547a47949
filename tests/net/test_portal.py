"""Sync calls on the background loop: results, errors, Ctrl-C, forks, notebooks and a clean end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from asyncref.net import portal


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def run_script(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_call_gives_the_result_from_a_plain_script_and_from_many_threads():
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(portal.call(double, n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [2 * n for n in range(20)]


async def test_a_call_works_inside_a_running_loop():
    assert portal.call(double, 4) == 8


def test_an_exception_comes_out_as_it_was_raised():
    async def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        portal.call(fail)


def test_a_system_exit_in_a_coroutine_reaches_the_caller_and_leaves_the_loop_alive():
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        portal.call(leave)
    assert portal.call(double, 1) == 2


def test_a_call_from_a_coroutine_on_the_same_loop_is_refused_instead_of_hanging():
    async def nested() -> int:
        return portal.call(double, 1)

    with pytest.raises(RuntimeError, match="async twin"):
        portal.call(nested)


def test_the_callers_context_variables_are_seen():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("seen")

    async def read() -> str:
        return variable.get()

    assert portal.call(read) == "seen"


def test_ctrl_c_cancels_the_coroutine_and_waits_until_it_has_cleaned_up():
    steps: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            steps.append("cleaned")

    with pytest.raises(KeyboardInterrupt):
        portal.call(work)
    assert steps == ["cleaned"]


@asynccontextmanager
async def counting(steps: list[str], stop: int = 3) -> AsyncIterator[AsyncIterator[int]]:
    """Enters a task group, so that leaving it from another task would raise."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(stop):
            await asyncio.sleep(0)
            yield number
        if stop == 0:
            raise KeyError("empty")

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        try:
            yield numbers()
            steps.append("left well")
        except BaseException as error:
            steps.append(f"left by {type(error).__name__}")
            raise
        finally:
            group.cancel_scope.cancel()


def test_a_driven_iterator_gives_every_item_and_leaves_its_task_group_in_the_task_that_entered_it():
    steps: list[str] = []
    with portal.iterate(counting, steps) as items:
        assert list(items) == [0, 1, 2]
        assert list(items) == []
    assert steps == ["left well"]


def test_leaving_a_driven_iterator_in_the_middle_closes_it():
    steps: list[str] = []
    with portal.iterate(counting, steps, stop=1000) as items:
        assert next(items) == 0
    assert steps == ["left well"]


def test_an_exception_in_the_block_is_seen_by_the_async_context_and_raised_once():
    steps: list[str] = []
    with pytest.raises(ValueError, match="mine"), portal.iterate(counting, steps) as items:
        raise ValueError(f"mine {next(items)}")
    assert steps == ["left by ValueError"]


def test_an_exception_of_the_iterator_comes_out_of_the_loop_over_it():
    steps: list[str] = []
    with pytest.raises(ExceptionGroup) as caught, portal.iterate(counting, steps, stop=0) as items:
        next(items)
    assert caught.group_contains(KeyError)
    assert steps == ["left by KeyError"]


def test_ctrl_c_while_waiting_for_an_item_leaves_the_async_context():
    steps: list[str] = []

    @asynccontextmanager
    async def stuck() -> AsyncIterator[AsyncIterator[int]]:
        async def never() -> AsyncIterator[int]:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            yield 0

        try:
            yield never()
        finally:
            await asyncio.sleep(0.05)
            steps.append("left")

    with pytest.raises(KeyboardInterrupt), portal.iterate(stuck) as items:
        next(items)
    assert steps == ["left"]


def test_a_forked_child_gets_a_loop_of_its_own_and_ends_quietly():
    done = run_script("""
        import asyncio, os, sys, warnings
        from asyncref.net import portal
        async def one(): await asyncio.sleep(0); return 1
        assert portal.call(one) == 1
        if (child := os.fork()) == 0:
            assert portal.call(one) == 1
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert portal.call(one) == 1
        print("fine")
    """)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["fine"], "", 0)


def test_at_exit_running_coroutines_are_cancelled_and_nothing_is_printed():
    done = run_script("""
        import asyncio
        from asyncref.net import portal
        async def background():
            try:
                await asyncio.sleep(60)
            finally:
                print("cleaned")
        tasks = []
        async def start(): tasks.append(asyncio.create_task(background())); await asyncio.sleep(0)
        portal.call(start)
    """)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["cleaned"], "", 0)
