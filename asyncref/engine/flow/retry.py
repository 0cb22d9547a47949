"""Retry, limits and counting around one request: the only place where a request is sent twice.

The SDKs' own retries are off: two adaptive loops around one socket fight.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from asyncref.engine.flow.limits import Controller
from asyncref.engine.flow.progress import Meter
from asyncref.errors import RetryableError, ThrottledError
from asyncref.model import Limits

T = TypeVar("T")


class Lane:
    """One kind of request to one container: slots, retries and counters in one call.

    Args:
        kind: `list`, `stat`, `get`, ... as counted in the meter.
        limits: The user's bounds.
        meter: Where requests and retries are counted.
        most: The backend's own bound on requests in flight.
    """

    def __init__(self, kind: str, *, limits: Limits, meter: Meter, most: int) -> None:
        self.kind = kind
        self.controller = Controller(limits, most=most)
        self._limits = limits
        self._meter = meter

    async def call(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send until it succeeds, fails for good, or `limits.attempts` are used up.

        The slot is held while `send` runs, so a `send` that reads a body to its end is bounded as a whole,
        and given back while waiting between tries.

        Raises:
            RetryableError: The last try's.
            AsyncrefError: Whatever `send` raised that no further try would change.
        """
        for tries in range(1, self._limits.attempts + 1):
            async with self.controller.slot():
                sent_s = time.monotonic()
                self._meter.requests[self.kind] += 1
                try:
                    result = await send()
                except ThrottledError as error:
                    self._meter.throttled += 1
                    self.controller.throttled(error.retry_after_s, sent_s=sent_s)
                    failure: RetryableError = error
                except RetryableError as error:
                    failure = error
                else:
                    self.controller.succeeded()
                    return result
            if tries == self._limits.attempts:
                raise failure
            self._meter.retries += 1
            await anyio.sleep(_pause_s(failure, tries, self._limits))
        raise AssertionError("attempts is at least 1")


def _pause_s(failure: RetryableError, tries: int, limits: Limits) -> float:
    """Full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
    asked = failure.retry_after_s if isinstance(failure, ThrottledError) else None
    longest = min(limits.backoff_max_s, limits.backoff_s * 2 ** (tries - 1))
    return (asked or 0.0) + random.uniform(0.0, longest)  # noqa: S311  jitter is no secret
