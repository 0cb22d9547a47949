"""The characters that may stand in one place of a key, as shares of a line from 0 to 1, and what was seen there. Pure.

A character weighs as much as it is likely to stand there: either it came; or a listing went on from one below it to one
above it, so that it is not there; or nothing is known but what came in its stead: digits make digits likely, letters make
letters. Scripts beyond ASCII have too many characters to see each: those seen are marks, equally far from each other, and
code points between two marks are interpolated.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, pairwise
from typing import Final

ASCII: Final = 0x80
DIGITS: Final = frozenset("0123456789")
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_CASES: Final = (_LOWER, _LOWER.upper())
_LETTERS: Final = frozenset(_LOWER + _LOWER.upper())
WORD: Final = DIGITS | _LETTERS
_PUNCTUATION: Final = frozenset(map(chr, range(0x20, 0x7F))) - WORD
_AMID: Final = 0.5
"""How likely a letter is that lies between two seen: as likely as not."""
_ASIDE: Final = 0.15
"""How likely one is below or above those seen, or another of several separators."""
_STRANGE: Final = 0.002
"""How likely others are; one of each kind stands for all."""
_STRANGERS: Final = "0Aa~"
_CERTAIN: Final = 0.9
"""No character that was not seen is more likely than this."""
_PASSED: Final = 3.0
"""What it tells that a listing went over a character without meeting any."""
_NEAR: Final = 64


def is_legal(character: str) -> bool:
    """Whether XML 1.0 §2.2 and UTF-8 allow it: S3 answers 400 to a marker with any other."""
    point = ord(character)
    return 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or 0x10000 <= point <= 0x10FFFF  # noqa: PLR2004


def legal(point: int) -> str:
    """The character of a code point, or the next that a marker may hold."""
    return next(character for at in range(point, point + 0x900) if is_legal(character := chr(at)))


class Signs:
    """The characters expected in one place, in their order, and what share of the keys each has: 0 to 1.

    Args:
        weights: Of those of ASCII, ascending.
        marks: Code points beyond ASCII, ascending: each weighs 1, on average. Between two of them code points are
            interpolated, the first `_NEAR` of a gap as closely as if all were in use: scripts are dense, with gaps between.
        tail: What all above the last mark weigh, as a share of the marks.
    """

    __slots__ = ("_ascii", "_low", "_lows", "_marks", "_starts", "_steps", "known", "places")

    def __init__(self, weights: Mapping[str, float], marks: Sequence[int], tail: float) -> None:
        self.known = bool(weights or marks)
        unit = 1.0 / ((sum(weights.values()) + len(marks) * (1.0 + tail)) or 1.0)
        self._ascii = "".join(weights)
        self._lows = [low * unit for low in accumulate(weights.values(), initial=0.0)]
        self._low = self._lows[-1] if marks else 1.0
        self.places = {
            character: (low, weight * unit)
            for (character, weight), low in zip(weights.items(), self._lows, strict=False)
        }
        self._marks: list[int] = []
        steps: list[float] = []
        units: list[float] = []
        if marks:
            last, spread = marks[-1], marks[-1] - marks[0] + 1
            rungs = [point for power in range(21) if (point := last + spread * 2**power) <= sys.maxunicode]
            self._marks = [*marks, last + 1, *rungs]
            within = [_units(high - low) for low, high in pairwise([*marks, last + 1])]
            above = [_units(high - low) for low, high in pairwise([last + 1, *rungs])] + [1.0]
            part = (1.0 - self._low) / (1.0 + tail)
            steps = [part / sum(within)] * len(within) + [part * tail / sum(above)] * len(above)
            units = within + above
        self._steps = steps
        """What a code point between two marks has, if it is one of those near the lower."""
        self._starts = list(
            accumulate((count * step for count, step in zip(units, steps, strict=True)), initial=self._low)
        )

    def place(self, character: str) -> tuple[float, float]:
        """Where a character starts, and its share: 0 for one that is not expected."""
        if character in self.places:
            return self.places[character]
        if (point := ord(character)) < ASCII:
            return self._lows[bisect_left(self._ascii, character)], 0.0
        at = bisect_right(self._marks, point) - 1
        if at < 0:
            return self._low, 0.0
        gap, offset = self._gap(at), point - self._marks[at]
        if offset >= gap:
            return 1.0, 0.0
        start = _units(gap, offset)
        return self._starts[at] + start * self._steps[at], (_units(gap, offset + 1) - start) * self._steps[at]

    def character(self, place: float) -> str:
        """The inverse of `place`, for a place from 0 to 1."""
        if place < self._low or not self._marks:
            return self._ascii[min(bisect_right(self._lows, place), len(self._ascii)) - 1]
        at = min(bisect_right(self._starts, place), len(self._steps)) - 1
        units = (place - self._starts[at]) / self._steps[at]
        gap = self._gap(at)
        offset = units if units < _NEAR or gap <= 2 * _NEAR else _NEAR + (units - _NEAR) * (gap - _NEAR) / _NEAR
        return legal(self._marks[at] + min(int(offset), gap - 1))

    def _gap(self, at: int) -> int:
        return self._marks[at + 1] - self._marks[at] if at + 1 < len(self._marks) else 1


def _units(gap: int, offset: int | None = None) -> float:
    """How far into a gap an offset leads: linear at first, then as much again for all the rest."""
    offset = gap if offset is None else offset
    if gap <= 2 * _NEAR or offset <= _NEAR:
        return float(offset)
    return _NEAR + (offset - _NEAR) * _NEAR / (gap - _NEAR)


NONE: Final = Signs({}, (), 0.0)


class Place:
    """What was seen at one depth, or there behind one character.

    Attributes:
        came: How often a listing came to each character.
        passed: Where stretches begin (+1) and end (-1), by code point, that a listing went over without meeting any.
        drawn: How often one key of many was seen.
        news: How often something was learnt.
        due: At how many what was expected is old.
    """

    __slots__ = ("came", "drawn", "due", "news", "passed")

    def __init__(self) -> None:
        self.came: dict[str, int] = {}
        self.passed: dict[int, int] = {}
        self.drawn = self.news = 0
        self.due = 1

    def came_to(self, character: str) -> None:
        """A listing came to a character."""
        self.came[character] = self.came.get(character, 0) + 1
        self.news += 1

    def went_over(self, low: int, high: int) -> None:
        """None of the code points from `low` until `high` came where they could have."""
        self.passed[low] = self.passed.get(low, 0) + 1
        self.passed[high] = self.passed.get(high, 0) - 1
        self.news += 1

    def weights(self, prior: Mapping[str, float]) -> dict[str, float]:
        """How likely each character is to stand here.

        Args:
            prior: The same where nothing has been seen; ascending.
        """
        bounds, came, absent = sorted(self.passed.items(), reverse=True), self.came, 0
        found, unseen = dict(prior), dict[str, int]()
        there = tested = 1.0
        for character, likely in prior.items():
            while bounds and bounds[-1][0] <= ord(character):
                absent += bounds.pop()[1]
            if seen := came.get(character):
                found[character] = (seen + likely) / (seen + _PASSED * absent + 1.0)
                there += likely
                tested += likely
            else:
                unseen[character] = absent
                tested += likely * (absent > 0)
        # Those of which nothing is known are as likely to be there as those of which something is.
        rest = there / tested * (1.0 - 1.0 / (len(came) + 1)) ** self.drawn
        for character, absent in unseen.items():
            found[character] = min(prior[character], _CERTAIN) * rest / (1.0 + _PASSED * absent)
        return found


def likely_beside(seen: AbstractSet[str], number: AbstractSet[str]) -> dict[str, float]:
    """How likely characters of ASCII are where others were seen; ascending.

    Args:
        seen: Those.
        number: Those of all places that belong to the same number, where these are digits: hexadecimal, base 36, base 62.
    """
    likely = dict.fromkeys(_STRANGERS, _STRANGE)
    if len(seen & _PUNCTUATION) > 1:
        likely |= dict.fromkeys(_PUNCTUATION, _ASIDE)
    for case in _CASES:
        if letters := seen & set(case):
            likely |= dict.fromkeys(case, _ASIDE)
            likely |= dict.fromkeys(case[case.index(min(letters)) : case.index(max(letters))], _AMID)
    if seen & DIGITS:
        likely |= dict.fromkeys(DIGITS | (number & _LETTERS), 1.0)
    for character in seen:
        if character < chr(ASCII):
            likely.setdefault(character, _STRANGE)
    return dict(sorted(likely.items()))
