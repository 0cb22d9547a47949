"""The queue before a controller: requests wait here in turn; the one place of flow with a clock and a loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Final

from asyncref.engine.flow.limits import Controller

_TICK_S: Final = 0.1
_LOOK_S: Final = 0.02  # how often it is looked whether the client is busy: a scan may take no more than a second
_TIMER_S: Final = 0.001  # uvloop's timers count whole milliseconds; an earlier one would only spin


class Gate:
    """Admits requests as the controller says, first come, first served.

    As many wait as there are callers: who bounds its tasks bounds the queue.

    Args:
        controller: Decides.
    """

    __slots__ = ("_controller", "_look", "_tick", "_timer", "_waiting")

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(not turn.done() for turn in self._waiting)

    async def enter(self) -> None:
        """Wait for one's turn. Where nothing holds a request back, `try_enter` has let it pass already."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.release()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # let pass and cancelled in one turn of the loop
                self._controller.ended()
                self.release()
            raise

    def try_enter(self, now_s: float) -> bool:
        """Pass at once if nobody waits and nothing holds a request back."""
        if self._tick is None:
            self._arm_tick()
        return not self._waiting and not self._controller.admit(now_s)

    def release(self) -> None:
        """Let as many pass as may now. To be called whenever a request has ended."""
        while self._waiting:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
                continue
            wait_s = self._controller.admit(time.monotonic(), queued=True)
            if wait_s:
                self._set_timer(wait_s)
                return
            self._waiting.popleft().set_result(None)

    def _set_timer(self, wait_s: float) -> None:
        if self._timer is None and wait_s < math.inf:
            self._timer = asyncio.get_running_loop().call_later(max(wait_s, _TIMER_S), self._due)

    def _due(self) -> None:
        self._timer = None
        self.release()

    def _arm_tick(self) -> None:
        self._tick = asyncio.get_running_loop().call_later(_TICK_S, self._ticked, time.monotonic() + _TICK_S)
        if self._look is None:
            self._arm_look()

    def _arm_look(self) -> None:
        loop = asyncio.get_running_loop()
        self._look = loop.call_later(_LOOK_S, self._looked, time.monotonic(), _active_s())

    def _looked(self, since_s: float, active_s: float) -> None:
        """Measure how busy the loop's thread was."""
        self._look = None
        seconds = time.monotonic() - since_s
        self._controller.was_busy((_active_s() - active_s) / seconds, seconds)
        self.release()
        if self._controller.in_flight or self._waiting:
            self._arm_look()

    def _ticked(self, due_s: float) -> None:
        """Measure the loop's lateness, as long as requests are under way."""
        self._tick = None
        self._controller.lagged(max(0.0, time.monotonic() - due_s))
        if self._controller.in_flight or self._waiting:
            self._arm_tick()


def _active_s() -> float:
    """Seconds in which this thread computed or would have, had there been a free core (Linux tells both)."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:  # noqa: PTH123  a path object costs as much again
            computed, waited, _ = file.read().split()
        return (int(computed) + int(waited)) / 1e9
    except (OSError, ValueError):
        return time.thread_time()
