"""Servers that refuse and a client of many workers, on a simulated clock: the real controller, no loop, no sleep."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from asyncref.engine.flow import Controller


@dataclass(slots=True)
class TokenServer:
    """Refuses above a rate that may change; unused tokens pile up to `depth_s` seconds' worth, at least one.

    Args:
        per_s: The rate at a time.
        depth_s: As of the synthetic store of the benchmarks.
        latency_s: Of every answer, refusals included.
        stray: Share of the other requests refused for no reason.
        places: Most requests at once; more are refused.
        retry_after_s: Named in every refusal.
    """

    per_s: Callable[[float], float]
    depth_s: float = 0.1
    latency_s: float = 0.02
    stray: float = 0.0
    places: float = math.inf
    retry_after_s: float | None = None
    in_flight: int = 0
    _tokens: float = 1.0
    _filled_s: float = 0.0

    def refuses(self, now_s: float, chance: random.Random) -> bool:
        rate = self.per_s(now_s)
        if self.in_flight > self.places or chance.random() < self.stray:
            return True
        if rate == math.inf:
            return False
        self._tokens = min(max(1.0, rate * self.depth_s), self._tokens + (now_s - self._filled_s) * rate)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return True
        self._tokens -= 1.0
        return False


@dataclass(slots=True)
class Seen:
    """What was sent: times, whether each was refused, how often one request was tried at most."""

    sent_s: list[float] = field(default_factory=list)
    refused: list[bool] = field(default_factory=list)
    most_tries: int = 0
    most_in_flight: int = 0

    def between(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Requests served a second, and the refused share."""
        chosen = [refused for at, refused in zip(self.sent_s, self.refused, strict=True) if start_s <= at < end_s]
        return chosen.count(False) / (end_s - start_s), chosen.count(True) / max(1, len(chosen))


def simulate(
    controller: Controller,
    server: TokenServer,
    *,
    seconds: float,
    workers: int = 64,
    seed: int = 0,
    late_s: float = 0.0,
    lag_s: Callable[[float], float] = lambda _: 0.0,
    jitter: float = 0.2,
) -> Seen:
    """Let workers send one request after another until the time is over.

    Args:
        controller: Under test.
        server: Answers.
        seconds: Simulated.
        workers: Requests at hand at any time.
        seed: Of latencies and lateness.
        late_s: Most lateness of a timer; uniform.
        lag_s: How late the client's event loop is at a time; answers are seen four times as late.
        jitter: Latency varies by this share to both sides.
    """
    chance = random.Random(seed)
    seen = Seen()
    waiting = deque([0] * workers)  # tries so far
    events: list[tuple[float, int, int, float, int]] = []  # when, order, kind, sent, tries
    order = 0
    now_s = 1000.0
    end_s = now_s + seconds
    timer = held = False
    answer_ok, answer_refused, wake, tick = 0, 1, 2, 3

    def push(when_s: float, kind: int, sent_s: float = 0.0, tries: int = 0) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when_s, order, kind, sent_s, tries))

    push(now_s + 0.1, tick)
    while now_s < end_s:
        while waiting:
            wait_s = controller.admit(now_s, queued=held)
            held = bool(wait_s)
            if held:
                if not timer and wait_s < math.inf:
                    timer = True
                    push(now_s + wait_s + chance.uniform(0, late_s), wake)
                break
            held = len(waiting) > 1
            tries = waiting.popleft() + 1
            server.in_flight += 1
            refused = server.refuses(now_s - 1000.0, chance)
            seen.sent_s.append(now_s - 1000.0)
            seen.refused.append(refused)
            seen.most_tries = max(seen.most_tries, tries)
            seen.most_in_flight = max(seen.most_in_flight, controller.in_flight)
            took_s = server.latency_s * (1 + chance.uniform(-jitter, jitter)) + 4 * lag_s(now_s - 1000.0)
            push(now_s + took_s, answer_refused if refused else answer_ok, now_s, tries)
        if len(events) == 1:
            raise AssertionError("nothing under way and nobody is let pass")
        now_s, _, kind, sent_s, tries = heapq.heappop(events)
        if kind == wake:
            timer = False
        elif kind == tick:
            controller.lagged(lag_s(now_s - 1000.0))
            push(now_s + 0.1, tick)
        else:
            server.in_flight -= 1
            if kind == answer_refused:
                controller.throttled(now_s, sent_s, server.retry_after_s)
                waiting.append(tries)
            else:
                controller.succeeded(now_s, sent_s)
                waiting.append(0)
    return seen
