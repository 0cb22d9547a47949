"""The rate that a server allows, learnt from its refusals: a pure function of what was answered when.

A refusal says "too many a second", so requests a second is what is cut and grown, not requests in flight. Answers
are judged in rounds, and only those of requests sent in the round, so that one mistake is paid for once. A cut takes
off the refused share (as DCTCP cuts by the marked share, RFC 8257 §3.3), not a half: the capacity stays used. Growth
is slow near the rate that was last refused and then accelerates (as CUBIC does, RFC 9438 §4), so that a
server that allows twice as much is found within a few seconds.
"""

from __future__ import annotations

import math
from typing import Final

_STEPS: Final = (
    (0.01, 25), (0.01, 25), (0.01, 25), (0.02, 25), (0.04, 25), (0.08, 20), (0.16, 12), (0.32, 8), (1.0, 8),
)  # fmt: skip
"""Growth after each clean round in a row since the last cut, and the answers that make that round."""
_FASTEST: Final = len(_STEPS) - 2  # which the steps come to by themselves
_BLIND: Final = len(_STEPS) - 1  # the step after a cut in a round in which nothing was accepted: any rate is a guess
_AFTER: Final = (0.12, 0.0, 0.0, 0.3, 0.0, 0.5, 1.0)
"""The step after a cut by the refused share: the deeper, the less it says where the limit lies."""
_ROUND_S: Final = 0.25  # the shortest clean round, as sent: a bucket of tokens hides an excess for a while
_ENOUGH: Final = 4  # refusals that end a round: their share is then known well enough
_CLEAN: Final = 0.005  # refused share below which a round is clean: some servers refuse now and then at any rate
_HELD: Final = 0.02  # and up to which the rate is held
_SHALLOW: Final = 0.03  # the least cut
_DEEP: Final = 0.5  # the deepest, and the share from which the rate is no more than a guess
_FLOOR_PER_S: Final = 0.1  # of the learnt rate
_BLIND_FLOOR_PER_S: Final = 2.0  # while nothing at all is accepted: recovery has to be noticed


class AllowedRate:
    """Requests a second that a server lets pass; without a bound until it first refuses.

    Attributes:
        per_s: The rate to send at; infinite while nothing was refused.
        pressed: Set by the caller when a request had to wait for this rate: only then may it grow.
        cuts: How often it was cut.
        vain_cuts: Cuts since anything was accepted.
        accepted: Answers that were no refusals.
        refused: Refusals.
        refused_since_s: Time of the first refusal since anything was accepted; infinite if there was none.
    """

    __slots__ = (
        "_before", "_known_per_s", "_old_answers", "_old_refused", "_round_accepted", "_round_refused", "_start_s", "_step",
        "accepted", "cuts", "per_s", "pressed", "refused", "refused_since_s", "vain_cuts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.per_s = math.inf
        self.pressed = False
        self.cuts = self.vain_cuts = 0
        self.accepted = self.refused = 0
        self.refused_since_s = math.inf
        self._step = 0
        self._start_s = -math.inf
        self._round_accepted = self._round_refused = 0
        self._before = 0
        self._known_per_s = math.inf
        self._old_answers = self._old_refused = 0.0

    @property
    def refused_share(self) -> float:
        """Refusals among the answers of late: each round counts 0.9 of the one after it."""
        answers = self._old_answers + self._round_accepted + self._round_refused
        return (self._old_refused + self._round_refused) / answers if answers else 0.0

    def accept(self, now_s: float, sent_s: float) -> None:
        """A request sent at `sent_s` was answered, and not refused."""
        self.accepted += 1
        if self.per_s == math.inf:
            return
        if self.vain_cuts or self.refused_since_s < math.inf:
            self.vain_cuts = 0
            self.refused_since_s = math.inf
        if sent_s < self._start_s:
            return
        self._round_accepted += 1
        if self._round_accepted >= _STEPS[self._step][1] and sent_s >= self._start_s + _ROUND_S:
            self._end(now_s, sent_s)

    def refuse(self, now_s: float, sent_s: float, *, window: int) -> None:
        """A request sent at `sent_s` was refused.

        Args:
            now_s: When the refusal came.
            sent_s: When the request was sent.
            window: Most requests in flight then.
        """
        self.refused += 1
        self.refused_since_s = min(self.refused_since_s, now_s)
        if sent_s < self._start_s:
            return
        self._round_refused += 1
        if self._round_refused == 1:
            self._before = self._round_accepted
        if self.per_s == math.inf:
            self.per_s = window / max(now_s - sent_s, 1e-4)  # Little's law: the most that was tried
            self._cut(now_s, _DEEP)
        elif self._round_refused >= _ENOUGH:
            more = self._round_refused - 1  # since the first, which may have been long in coming
            self._cut(now_s, more / (more + self._round_accepted - self._before))

    def _end(self, now_s: float, sent_s: float) -> None:
        """Judge a round that had answers enough, the last of them to a request sent at `sent_s`."""
        share = self._round_refused / (self._round_refused + self._round_accepted)
        if share > _HELD:
            self._cut(now_s, share)
            return
        used = self._round_accepted >= self.per_s * (sent_s - self._start_s) / 2
        if share <= _CLEAN and self.pressed and used:
            self.per_s *= 1.0 + _STEPS[self._step][0]
            if self._step != _BLIND or 2 * self.per_s > self._known_per_s:
                self._step = min(self._step + 1, _FASTEST)
        self._begin(now_s)

    def _cut(self, now_s: float, share: float) -> None:
        floor_per_s = _FLOOR_PER_S if self._round_accepted else min(self.per_s, _BLIND_FLOOR_PER_S)
        self.per_s = max(floor_per_s, self.per_s * (1.0 - min(_DEEP, max(_SHALLOW, share))))
        self.cuts += 1
        self.vain_cuts += 1
        if self._round_accepted:
            self._known_per_s = self.per_s
            self._step = next(step for step, most in enumerate(_AFTER) if share <= most)
        else:
            self._step = _BLIND
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        self._old_answers = 0.9 * (self._old_answers + self._round_accepted + self._round_refused)
        self._old_refused = 0.9 * (self._old_refused + self._round_refused)
        self._round_accepted = self._round_refused = 0
        self._start_s = now_s
        self.pressed = False
