"""The queue before a controller: requests wait here in turn; the one place of flow with a clock and a loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Final

from asyncref.engine.flow.limits import Controller

_TICK_S: Final = 0.1
_TIMER_S: Final = 0.001  # uvloop's timers count whole milliseconds; an earlier one would only spin


class Gate:
    """Admits requests as the controller says, first come, first served.

    As many wait as there are callers: who bounds its tasks bounds the queue.

    Args:
        controller: Decides.
    """

    __slots__ = ("_controller", "_tick", "_timer", "_waiting")

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None

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
        loop = asyncio.get_running_loop()
        self._tick = loop.call_later(_TICK_S, self._ticked, time.monotonic() + _TICK_S)

    def _ticked(self, due_s: float) -> None:
        """Measure the loop's lateness, as long as requests are under way."""
        self._tick = None
        self._controller.lagged(max(0.0, time.monotonic() - due_s))
        if self._controller.in_flight or self._waiting:
            self._arm_tick()
