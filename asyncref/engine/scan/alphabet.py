"""A model of how keys spread, learnt from keys seen: which characters stand at which depth. Pure.

It maps keys to numbers and back, so that a range of keys can be measured and cut. A wrong model costs
requests, never a key: pivots need not exist, and ranges are exact whatever lies in them.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import Final

from asyncref.engine.scan.dates import bounds_in
from asyncref.engine.scan.signs import ASCII, DIGITS, NONE, WORD, Place, Signs, is_legal, legal, likely_beside

_LITTLE: Final = 3
"""Behind a character that was seen less often, what is expected is what stands behind any."""
_STALE: Final = 1.3
"""What was expected is looked at anew when so many times as much has been seen."""
_TAIL: Final = 0.1
_FEW_MARKS: Final = 8
"""What code points above all marks weigh: as much as those up to there while each is new, at least `_TAIL`."""
_LEVELS: Final = 10
"""Depths that one key of a page tells about: deeper ones are noise."""
_DEPTHS: Final = 24
"""How far down that may be, where characters that never vary stand between."""
_UNDATED: Final = 0.002
"""What is left of a digit's likelihood that no date has there."""
_PRECISION: Final = 1e-13
"""Shares that no page is as small as."""
_CLOSE: Final = 1e-4
"""How exactly what lies between two keys is measured, as a share of it."""


def common_prefix(one: str, other: str) -> int:
    """How many characters two keys share at their start."""
    for depth, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return depth
    return min(len(one), len(other))


def behind(stem: str) -> str:
    """The least text above all keys that start with this."""
    return stem[:-1] + legal(min(ord(stem[-1]) + 1, sys.maxunicode)) if stem else legal(sys.maxunicode)


class _Depth(Place):
    """What was seen at one depth.

    Attributes:
        marks: Code points beyond ASCII, ascending.
        behind: What was seen behind each character of the depth before.
        prior: What is expected behind any: weights, and the same as shares.
        views: What is expected behind each of those.
    """

    __slots__ = ("behind", "marks", "prior", "signs", "views")

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []
        self.behind: dict[str, Place] = {}
        self.prior: dict[str, float] = {}
        self.signs = NONE
        self.views: dict[str, Signs] = {}


class Alphabet:
    """What was seen at each depth of the keys of one listing.

    Args:
        dated: Dates in keys tell which digits to expect (`dates.py`).
    """

    def __init__(self, *, dated: bool = True) -> None:
        self._dated_keys = dated
        self._depths: list[_Depth] = []
        self._dates: dict[int, Mapping[str, str]] = {}

    def learn(
        self, keys: Sequence[str], trail: tuple[str, str] | None, after: str | None, below: str
    ) -> tuple[str, str]:
        """Take in some keys of one page. Cost: about 10 µs a key.

        Args:
            keys: Ascending.
            trail: The last two keys of the page before; None: the page is the first of its range.
            after: What that was asked to start behind.
            below: A key below that.

        Returns:
            The last two.
        """
        if trail is None:
            if self._dated_keys:
                self._date(keys)
            self._land(keys[0], after, below)
            one = two = keys[0]
            keys = keys[1:]
            shared = 0
        else:
            one, two = trail
            shared = common_prefix(one, two)
        for key in keys:
            parting = common_prefix(two, key)
            self._leave(two, key, parting, shared)
            self._enter(key, parting)
            one, two, shared = two, key, parting
        return one, two

    def _date(self, keys: Sequence[str]) -> None:
        """Note where the first page of a range has dates."""
        for depth, most in bounds_in(keys).items():
            known = self._dates.get(depth, {})
            self._dates[depth] = {**known, **{sign: max(digit, known.get(sign, "")) for sign, digit in most.items()}}
            if depth < len(self._depths) and self._dates[depth] != known:
                self._depths[depth].views.clear()

    def _land(self, key: str, after: str | None, below: str) -> None:
        """A key was found right behind another text: nothing lies between."""
        self._enter(key, 0, _DEPTHS)
        parting = 0 if after is None else common_prefix(after, key)
        for depth in range(parting, min(len(key), parting + _LEVELS)):
            low = ord(after[depth]) + 1 if depth == parting and after is not None and depth < len(after) else 0
            self._went_over(depth, key[depth - 1] if depth else "", low, ord(key[depth]))
        if after is not None:
            for depth in range(parting + 1, min(len(after), common_prefix(below, after) + 1)):
                self._went_over(depth, after[depth - 1], ord(after[depth]) + 1, ASCII)

    def _enter(self, key: str, parting: int, levels: int = _LEVELS) -> None:
        """A listing came to a key that shares so much with the one before it."""
        depths = self._depths
        stop = min(len(key), parting + _DEPTHS)
        while len(depths) < stop:
            depths.append(_Depth())
        before = key[parting - 1] if parting else ""
        for depth in range(parting, stop):
            character, here = key[depth], depths[depth]
            is_known = character in here.came
            if (not is_known or len(here.came) > 1) and is_legal(character):  # what always stands there tells nothing
                place = here.behind.get(before)
                if place is None:
                    place = here.behind[before] = Place()
                if not is_known:
                    self._add(depth, character)
                is_new = character not in place.came
                here.came_to(character)
                place.came_to(character)
                if is_new or place.news >= place.due:
                    here.views.pop(before, None)
                levels -= 1
                if not levels:
                    break
            before = character

    def _leave(self, key: str, next_key: str, parting: int, shared: int) -> None:
        """From one key a listing went on to another; how much those share, and the first with the one before it."""
        for depth in range(parting, min(len(key), parting + _LEVELS, len(self._depths))):
            before = key[depth - 1] if depth else ""
            if depth < shared:  # so many keys start with this character that none of the next ones can have been missed
                high = ord(next_key[depth]) if depth == parting and depth < len(next_key) else ASCII
                self._went_over(depth, before, ord(key[depth]) + 1, high)
            elif depth > shared and depth > parting:
                here = self._depths[depth]
                here.drawn += 1
                if before in here.behind:
                    here.behind[before].drawn += 1

    def _went_over(self, depth: int, before: str, low: int, high: int) -> None:
        high = min(high, ASCII)
        if low < high and depth < len(self._depths):
            here = self._depths[depth]
            here.went_over(low, high)
            if place := here.behind.get(before):
                place.went_over(low, high)
                if place.news >= place.due:
                    here.views.pop(before, None)

    def _add(self, depth: int, character: str) -> None:
        here, point = self._depths[depth], ord(character)
        if point >= ASCII:
            marks = here.marks
            at = bisect_left(marks, point)
            insort(marks, point)
            if 0 < at < len(marks) - 1:
                if marks[at + 1] - marks[at - 1] <= (marks[-1] - marks[0]) // 128:
                    del marks[at]
                else:
                    here.views.clear()
                return
        for each in (here, *self._number(depth)):
            each.prior = {}
            each.views.clear()

    def _at(self, depth: int, before: str) -> Signs:
        """The characters expected at a depth behind another."""
        if depth >= len(self._depths) or not self._depths[depth].came:
            return NONE
        here = self._depths[depth]
        if before not in here.views:
            if not here.prior or here.news >= here.due:
                number = set().union(*(each.came for each in self._number(depth)))
                here.prior = here.weights(likely_beside(here.came.keys(), number))
                here.due = int(here.news * _STALE) + 4
                here.signs = Signs(
                    here.prior, here.marks, max(_TAIL, min(1.0, _FEW_MARKS * len(here.marks) / max(1, here.news)))
                )
            place, prior = here.behind.get(before), self._dated(depth, before)
            if place is not None and not here.marks and place.news >= _LITTLE:
                here.views[before] = Signs(place.weights(prior), (), 0.0)
            else:
                here.views[before] = here.signs if prior is here.prior else Signs(prior, (), 0.0)
            if place is not None:
                place.due = max(_LITTLE, int(place.news * _STALE) + 1)
        return here.views[before]

    def _dated(self, depth: int, before: str) -> dict[str, float]:
        """What is expected at a depth, less the digits that no date has there."""
        here, bounds = self._depths[depth], self._dates.get(depth)
        most = None if bounds is None or here.marks else bounds.get(before, bounds.get(""))
        if most is None:
            return here.prior
        seen = here.behind[before].came if before in here.behind else ()
        return {
            sign: likely * _UNDATED if sign in DIGITS and sign > most and sign not in seen else likely
            for sign, likely in here.prior.items()
        }

    def _number(self, depth: int) -> list[_Depth]:
        """The depths that no separator parts from this one, if all of them have digits: those of one number."""
        found: list[_Depth] = []
        for step in (-1, 1):
            at = depth
            while 0 <= at < len(self._depths):
                here = self._depths[at]
                if not here.came.keys() & DIGITS or not here.came.keys() <= WORD:
                    break
                found.append(here)
                at += step
        return found

    def fraction(self, key: str, depth: int) -> float:
        """Where a key lies among all that share its first `depth` characters: 0 to 1; a shorter one below all."""
        if depth >= len(key):
            return 0.0
        value, width, depths = 0.0, 1.0, self._depths
        before = key[depth - 1] if depth else ""
        for at in range(depth, min(len(key), len(depths))):  # asked a dozen times a page: few calls
            signs = depths[at].views.get(before) or self._at(at, before)
            before = key[at]
            if not signs.known or width < _PRECISION:
                break
            start, share = signs.places.get(before) or signs.place(before)
            value += width * start
            width *= share
        return min(value, 1.0)

    def fractions(self, low: str, high: str, depth: int) -> tuple[float, float]:
        """The same of two keys, as exactly as what lies between them needs: of random keys a few characters, not a dozen."""
        lower = upper = 0.0
        low_width, high_width = float(len(low) > depth), float(len(high) > depth)
        low_before, high_before = low[depth - 1 : depth], high[depth - 1 : depth]
        depths = self._depths
        for at in range(depth, len(depths)):
            if low_width:
                low_width, lower, low_before = self._step(low, at, low_before, low_width, lower)
            if high_width:
                high_width, upper, high_before = self._step(high, at, high_before, high_width, upper)
            if max(low_width, high_width) <= max(_PRECISION, _CLOSE * (upper - lower)):
                break
        return min(lower, 1.0), min(upper, 1.0)

    def _step(self, key: str, at: int, before: str, width: float, value: float) -> tuple[float, float, str]:
        """One character further: the share of what begins so, 0 at a key's end, and where that starts."""
        signs = self._depths[at].views.get(before) or self._at(at, before)
        if at >= len(key) or not signs.known:
            return 0.0, value, before
        before = key[at]
        start, share = signs.places.get(before) or signs.place(before)
        return width * share, value + width * start, before

    def width(self, key: str, depth: int, stop: int) -> float:
        """The share that keys with the first `stop` characters have among those with the first `depth`."""
        share = 1.0
        for at in range(depth, stop):
            signs = self._at(at, key[at - 1] if at else "")
            share *= signs.place(key[at])[1] if signs.known else 1.0
        return share

    def distance(self, low: str, high: str, depth: int) -> float:
        """What lies between two keys, as a share of all that have the first `depth` characters of both."""
        parting = max(depth, common_prefix(low, high))
        lower, upper = self.fractions(low, high, parting)
        return (upper - lower) * self.width(high, depth, parting)

    def key_at(self, fraction: float, start: str, resolution: float) -> str:
        """The shortest text after `start` that lies within `resolution` of a fraction."""
        text, width = start, 1.0
        while width > max(resolution, _PRECISION):
            signs = self._at(len(text), text[-1] if text else "")
            if not signs.known:
                break
            character = signs.character(min(max(0.0, fraction / width), 1.0))
            place, share = signs.place(character)
            fraction -= width * place
            width *= share
            text += character
        return text
