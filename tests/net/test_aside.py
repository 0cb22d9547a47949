"""Calls in threads of their own: what they give, raise, and that nobody waits for them."""

from __future__ import annotations

import threading

import anyio
import pytest

from asyncref.net.aside import aside


async def test_its_result_and_its_error_come_back() -> None:
    assert await aside(lambda: threading.current_thread().name) == "asyncref-aside"
    with pytest.raises(ValueError, match="as it was"):
        await aside(lambda: (_ for _ in [int]).throw(ValueError("as it was")))


async def test_an_error_that_no_future_takes_is_an_error_still() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"), anyio.fail_after(60):
        await aside(lambda: next(iter(())))


async def test_who_is_cancelled_does_not_wait() -> None:
    held = threading.Event()
    with anyio.move_on_after(0.01) as scope:
        await aside(held.wait)
    assert scope.cancelled_caught
    held.set()
