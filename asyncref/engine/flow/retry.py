"""Retry, limits and counting around one request: the only place where a request is sent twice.

The SDKs' own retries are off: two adaptive loops around one socket fight.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

import anyio

from asyncref.engine.flow.gate import Gate
from asyncref.engine.flow.limits import Controller
from asyncref.engine.flow.progress import Meter
from asyncref.engine.flow.ramp import RampUp
from asyncref.errors import (
    AsyncrefError,
    OrderError,
    ProtocolError,
    RetryableError,
    SilentError,
    StorageError,
    ThrottledError,
)
from asyncref.model import Limits

T = TypeVar("T")
_log = logging.getLogger("asyncref.flow")

_OUTAGE: Final = 600
"""A server that has answered before is borne with for so many `backoff_s`: a minute, by default."""
_PROGRESS_BYTES: Final = 2**16
_SILENCES: Final = 3
"""Tries of a request that may end in silence (`idle_timeout_s`): what hangs so often is no outage of a moment."""
_FIRST_SILENCES: Final = 2
"""The same where the server never answered: mostly something else listens there, or a firewall drops what is sent."""
_SLOW_S: Final = 5.0  # a try that took so long is told of, since nothing else is to be seen meanwhile
_ODD: Final = 2
"""Pages that cannot be read and are asked for again: what stands between sends a web page now and then."""
_MOST_DOUBLINGS: Final = 60  # a larger power of two is no float at some point
_AT_ONCE: Final = 3  # refusals of one request after which it just queues again: the controller keeps the rate


class Lane:
    """One kind of request to one container: turns, retries and counters in one call.

    Costs about 2 µs a request that nothing holds back.

    Args:
        kind: `list`, `stat`, `get`, ... as counted in the meter.
        limits: The user's bounds.
        meter: Where requests and retries are counted.
        most: The backend's own bound on requests in flight.
        ramp: The container's share of its provider's ramp-up; see `ramp_of`.
        place: The container, for the name under which the meter shows the state.
        outlasts: Whether an outage is waited for.
    """

    __slots__ = ("_gate", "_limits", "_meter", "_most_outage_s", "_patience_s", "controller", "kind")

    def __init__(
        self,
        kind: str,
        *,
        limits: Limits,
        meter: Meter,
        most: int,
        ramp: RampUp | None = None,
        place: str = "",
        outlasts: bool = True,
    ) -> None:
        self.kind = kind
        self.controller = Controller(limits, most=most, ramp=ramp, is_costly=kind == "list")
        self._gate = Gate(self.controller)
        self._limits = limits
        self._meter = meter
        self._patience_s = sum(_longest_s(tries, limits) for tries in range(1, limits.attempts))
        self._most_outage_s = _OUTAGE * limits.backoff_s if outlasts and limits.attempts > 1 else 0.0
        meter.states[f"{kind} {place}".rstrip()] = self.statistics

    async def call(self, send: Callable[[], Awaitable[T]], *, came: Callable[[], int] = lambda: 0) -> T:
        """Send until it succeeds, fails for good, or `limits.attempts` are used up.

        An outage is longer than eight tries: where the server has answered before, tries go on for 600 times
        `limits.backoff_s` after the first failure (60 s by default), unless one try is all that is allowed. A try that brought
        bytes is none in vain, and the count begins anew.

        The place in flight is held while `send` runs, so a `send` that reads a body to its end is bounded as a whole,
        and given back between tries. A refused request goes to the end of the queue, which moves at the rate
        that the server was found to allow; sleeping as well would leave that rate unused. Only a request that
        is refused again and again sleeps, and so does one that failed in another way. Where the server refuses
        everything, the first error comes once the pauses of `limits.attempts` tries would have passed. Silence ends a
        request sooner: after three `SilentError`, two where the server never answered.

        Args:
            send: Sends it once.
            came: How many bytes of the answer are here, where a further try asks for the rest only.

        Raises:
            RetryableError: The last try's.
            ThrottledError: The server asks for a longer pause than `limits.retry_after_max_s`.
            AsyncrefError: Whatever `send` raised that no further try would change.
        """
        controller, gate, meter = self.controller, self._gate, self._meter
        failed: _Failed | None = None
        while True:
            sent_s = monotonic()
            if not gate.try_enter(sent_s):
                await gate.enter()
                sent_s = monotonic()
            meter.requests[self.kind] += 1
            try:
                result = await send()
            except ThrottledError as error:
                self._refused(error, sent_s)
                failure: AsyncrefError = error
            except RetryableError as error:
                controller.ended()
                failure = error
            except StorageError as error:  # an answer like any other, as far as the server's capacity goes
                controller.succeeded(monotonic(), sent_s)
                failure = self._odd_page(error)
            except BaseException:
                controller.ended()
                raise
            else:
                controller.succeeded(monotonic(), sent_s)
                meter.trouble = ""
                return result
            finally:
                gate.release()
            failed = failed or _Failed(monotonic())
            self._count(failed, failure, came(), monotonic() - sent_s)
            if failed.tries > _AT_ONCE or not isinstance(failure, ThrottledError):
                await anyio.sleep(_jittered_s(failed.tries, self._limits))

    def _count(self, failed: _Failed, failure: AsyncrefError, came_bytes: int, took_s: float) -> None:
        """Count one more try that failed; raise its error unless there is to be another one."""
        failed.once_more(came_bytes, failure)
        if self._refuses_everything() or self._is_in_vain(failed):
            self._meter.trouble = ""  # nothing is asked again
            raise failure
        self._meter.retries += 1
        if took_s >= min(_SLOW_S, self._limits.idle_timeout_s):
            self._meter.trouble = f"asked again, after {took_s:.0f} s: {failure.message}"
            _log.info("%s %s; try %d of it, after %.0f s", self.kind, failure, failed.tries, took_s)

    def statistics(self) -> dict[str, float | int]:
        """The controller's state, and how many requests wait for their turn."""
        return {**self.controller.statistics(), "waiting": self._gate.waiting}

    def _refused(self, error: ThrottledError, sent_s: float) -> None:
        self._meter.throttled += 1
        pause_s = error.retry_after_s
        if pause_s is not None and not pause_s <= self._limits.retry_after_max_s:
            self.controller.throttled(monotonic(), sent_s, None)  # who asks next may be told otherwise
            raise _too_long(error) from error
        self.controller.throttled(monotonic(), sent_s, pause_s)

    def _odd_page(self, error: StorageError) -> StorageError:
        """The error, if it is of a page that could not be read; neither of one out of order nor a refusal, which has a code."""
        is_odd = isinstance(error, ProtocolError) and not isinstance(error, OrderError) and error.code is None
        if self.kind != "list" or not is_odd:
            raise error
        return error

    def _is_in_vain(self, failed: _Failed) -> bool:
        outage_s = 0.0 if failed.odd else self._outage_s
        is_tried = failed.tries >= self._limits.attempts and monotonic() - failed.since_s >= outage_s
        most = _SILENCES if self.controller.rate.accepted else _FIRST_SILENCES
        return is_tried or failed.silences >= most or failed.odd > _ODD

    @property
    def _outage_s(self) -> float:
        """How long tries go on beyond their number."""
        return self._most_outage_s if self.controller.rate.accepted else 0.0

    def _refuses_everything(self) -> bool:
        rate = self.controller.rate
        patience_s = max(self._patience_s, self._outage_s)
        return rate.vain_cuts >= self._limits.attempts and monotonic() - rate.refused_since_s >= patience_s


@dataclass(slots=True)
class _Failed:
    """The tries of one request that failed.

    Args:
        since_s: When the first of them did.
    """

    since_s: float
    tries: int = 0
    odd: int = 0
    silences: int = 0
    _had_bytes: int = 0

    def once_more(self, came_bytes: int, failure: AsyncrefError) -> None:
        """Another one failed, with so many bytes of the answer here by now."""
        self.tries += 1
        self.odd += isinstance(failure, ProtocolError)
        self.silences += isinstance(failure, SilentError)
        if came_bytes - self._had_bytes >= _PROGRESS_BYTES:
            self.tries, self.since_s, self._had_bytes, self.silences = 1, monotonic(), came_bytes, 0


def _too_long(error: ThrottledError) -> ThrottledError:
    return ThrottledError(
        f"{error.message}, for {error.retry_after_s:,.0f} s",
        uri=error.uri,
        request_id=error.request_id,
        code=error.code,
        hint="try again then, or wait here with a larger Limits(retry_after_max_s=)",
        retry_after_s=error.retry_after_s,
    )


def _jittered_s(tries: int, limits: Limits) -> float:
    """Full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
    return random.uniform(0.0, _longest_s(tries, limits))  # noqa: S311  jitter is no secret


def _longest_s(tries: int, limits: Limits) -> float:
    return min(limits.backoff_max_s, limits.backoff_s * 2.0 ** min(tries - 1, _MOST_DOUBLINGS))
