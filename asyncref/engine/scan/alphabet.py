"""A model of how keys spread, learnt from keys seen: which characters stand at which depth. Pure.

It maps keys to numbers and back, so that a range of keys can be measured and cut. A wrong model costs
requests, never a key: pivots need not exist, and ranges are exact whatever lies in them.

Every ASCII character seen at a depth counts alike. Scripts beyond ASCII have too many characters to see
each: those seen are marks, equally far from each other, and code points between two marks are interpolated.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

_DIGITS: Final = frozenset("0123456789")
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_RUNS: Final = (_LOWER, _LOWER.upper())
_LETTERS: Final = frozenset(_LOWER + _LOWER.upper())
_WORD: Final = _DIGITS | _LETTERS
_PUNCTUATION: Final = frozenset(map(chr, range(0x20, 0x7F))) - _WORD
_SETTLED: Final = 32  # keys without a new character at a depth, after which what was seen is taken for all
_JUMP_KEYS: Final = 8  # a key found by a jump tells as much of the depths above as so many others
_DEPTHS: Final = 24  # behind what a page's keys share: deeper ones are told by pages that share more
_PRECISION: Final = 1e-17  # deeper characters are lost in a float
_ASCII: Final = 0x80
_NEAR: Final = 64


def is_legal(character: str) -> bool:
    """Whether XML 1.0 §2.2 and UTF-8 allow it: S3 answers 400 to a marker with any other."""
    point = ord(character)
    return 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or 0x10000 <= point <= 0x10FFFF  # noqa: PLR2004


def common_prefix(one: str, other: str) -> int:
    """How many characters two keys share at their start."""
    for depth, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return depth
    return min(len(one), len(other))


def behind(stem: str) -> str:
    """The least text above all keys that start with this."""
    return stem[:-1] + _legal(min(ord(stem[-1]) + 1, sys.maxunicode)) if stem else _legal(sys.maxunicode)


class Signs:
    """The characters expected at one depth, in their order, and what share of the keys each has: 0 to 1.

    Args:
        ascii_: Those of ASCII, ascending: one share each.
        marks: Code points beyond ASCII, ascending: one share each, on average. Between two of them code points are
            interpolated, the first `_NEAR` of a gap as closely as if all were in use: scripts are dense, with gaps between.
    """

    __slots__ = ("_ascii", "_low", "_marks", "_starts", "_unit", "known", "places")

    def __init__(self, ascii_: str, marks: Sequence[int]) -> None:
        self.known = bool(ascii_ or marks)
        share = 1.0 / max(1, len(ascii_) + len(marks))
        self._ascii, self._marks = ascii_, marks
        self._low = len(ascii_) * share
        self.places = {character: (rank * share, share) for rank, character in enumerate(ascii_)}
        self._starts = list(accumulate((_units(high - low) for low, high in pairwise(marks)), initial=0.0))
        self._unit = (1.0 - self._low) / (self._starts[-1] + 1.0)

    def place(self, character: str) -> tuple[float, float]:
        """Where a character starts, and its share: 0 for one that is not expected."""
        if character in self.places:
            return self.places[character]
        if (point := ord(character)) < _ASCII:
            return (self._low * bisect_left(self._ascii, character) / len(self._ascii) if self._ascii else 0.0), 0.0
        at = bisect_right(self._marks, point) - 1
        if at < 0:
            return self._low, 0.0
        gap, offset = self._gap(at), point - self._marks[at]
        if offset >= gap:
            return 1.0, 0.0
        start = _units(gap, offset)
        return self._low + (self._starts[at] + start) * self._unit, (_units(gap, offset + 1) - start) * self._unit

    def character(self, place: float) -> str:
        """The inverse of `place`, for a place from 0 to 1."""
        if place < self._low or not self._marks:
            return self._ascii[min(int(place / self._low * len(self._ascii)), len(self._ascii) - 1)]
        units = (place - self._low) / self._unit
        at = min(bisect_right(self._starts, units), len(self._marks)) - 1
        units -= self._starts[at]
        gap = self._gap(at)
        offset = units if units < _NEAR or gap <= 2 * _NEAR else _NEAR + (units - _NEAR) * (gap - _NEAR) / _NEAR
        return _legal(self._marks[at] + min(int(offset), gap - 1))

    def _gap(self, at: int) -> int:
        return self._marks[at + 1] - self._marks[at] if at + 1 < len(self._marks) else 1


def _units(gap: int, offset: int | None = None) -> float:
    """How far into a gap an offset leads: linear at first, then as much again for all the rest."""
    offset = gap if offset is None else offset
    if gap <= 2 * _NEAR or offset <= _NEAR:
        return float(offset)
    return _NEAR + (offset - _NEAR) * _NEAR / (gap - _NEAR)


class _Depth:
    """What was seen at one depth."""

    __slots__ = ("calm", "marks", "seen", "views")

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.marks: list[int] = []  # code points beyond ASCII, ascending
        self.calm = 0  # keys learnt since the last new character
        self.views: dict[bool, Signs] = {}


class Alphabet:
    """Characters seen at each depth of the keys of one listing.

    Every question may be asked of the *likely* characters or, with `wide`, of all that might turn up.
    """

    def __init__(self) -> None:
        self._depths: list[_Depth] = []

    def learn(self, keys: Sequence[str], *, shared: int, jump: bool) -> None:
        """Take in some keys of one page. Cost: about 2 µs a key.

        Args:
            keys: Ascending.
            shared: How many characters all keys of the page share: one page is one observation of those.
            jump: The page was reached by a jump and not from the one before.
        """
        while len(self._depths) <= shared + _DEPTHS:
            self._depths.append(_Depth())
        for key in keys:
            for depth, character in enumerate(key[: shared + _DEPTHS]):
                here = self._depths[depth]
                if character in here.seen:
                    here.calm += depth > shared
                    if here.calm == _SETTLED:
                        here.views.clear()
                elif is_legal(character):
                    self._add(depth, character)
        for here in self._depths[0 if jump else shared : shared + 1]:
            here.calm += _JUMP_KEYS
            if here.calm - _JUMP_KEYS < _SETTLED <= here.calm:
                here.views.clear()

    def _add(self, depth: int, character: str) -> None:
        here, point = self._depths[depth], ord(character)
        here.seen.add(character)
        if point >= _ASCII:
            marks = here.marks
            at = bisect_left(marks, point)
            insort(marks, point)
            if 0 < at < len(marks) - 1:
                if marks[at + 1] - marks[at - 1] <= (marks[-1] - marks[0]) // 128:
                    del marks[at]
                else:
                    here.views.clear()
                return
        here.calm = 0
        for each in self._depths:
            each.views.clear()

    def _at(self, depth: int, wide: bool) -> Signs:
        """The characters expected at a depth: those seen, and until that has settled what they imply."""
        if depth >= len(self._depths):
            return _NONE
        here = self._depths[depth]
        if wide not in here.views:
            found = {character for character in here.seen if ord(character) < _ASCII}
            marks = here.marks
            if wide or here.calm < _SETTLED:
                if found & _DIGITS:
                    found |= _DIGITS | self._around(depth)
                for run in _RUNS:
                    if letters := found & set(run):
                        found |= set(run if wide else run[run.index(min(letters)) : run.index(max(letters))])
                if wide and len(found - _WORD) > 1:
                    found |= _PUNCTUATION
                if wide and marks:
                    spread = marks[-1] - marks[0] + 1
                    rungs = (marks[-1] + spread * 2**power for power in range(21))
                    marks = [*marks, *(ord(_legal(rung)) for rung in rungs if rung <= sys.maxunicode)]
            here.views[wide] = Signs("".join(sorted(found)), marks)
        return here.views[wide]

    def _around(self, depth: int) -> set[str]:
        """Letters seen beside digits at depths that no separator parts from this one: hexadecimal, base 36, base 62."""
        found: set[str] = set()
        for step in (-1, 1):
            at = depth
            while 0 <= at < len(self._depths) and self._depths[at].seen & _DIGITS and self._depths[at].seen <= _WORD:
                found |= self._depths[at].seen & _LETTERS
                at += step
        return found

    def fraction(self, key: str, depth: int, *, wide: bool = False) -> float:
        """Where a key lies among all that share its first `depth` characters: 0 to 1."""
        value, width, depths = 0.0, 1.0, self._depths
        for at in range(depth, min(len(key), len(depths))):  # asked a dozen times a page: few calls
            signs = depths[at].views.get(wide) or self._at(at, wide)
            if not signs.known or width < _PRECISION:
                break
            start, share = signs.places.get(key[at]) or signs.place(key[at])
            value += width * start
            width *= share
        return min(value, 1.0)

    def width(self, key: str, depth: int, stop: int, *, wide: bool = False) -> float:
        """The share that keys with the first `stop` characters have among those with the first `depth`."""
        share = 1.0
        for at in range(depth, stop):
            signs = self._at(at, wide)
            share *= signs.place(key[at])[1] if signs.known else 1.0
        return share

    def distance(self, low: str, high: str, depth: int, *, wide: bool = False) -> float:
        """What lies between two keys, as a share of all that have the first `depth` characters of both."""
        parting = max(depth, common_prefix(low, high))
        share = self.fraction(high, parting, wide=wide) - self.fraction(low, parting, wide=wide)
        return share * self.width(high, depth, parting, wide=wide)

    def key_at(self, fraction: float, start: str, resolution: float, *, wide: bool = False) -> str:
        """The shortest text after `start` that lies within `resolution` of a fraction."""
        text, width = start, 1.0
        while width > max(resolution, _PRECISION):
            signs = self._at(len(text), wide)
            if not signs.known:
                break
            character = signs.character(min(max(0.0, fraction / width), 1.0))
            place, share = signs.place(character)
            fraction -= width * place
            width *= share
            text += character
        return text

    def behind(self, key: str, depth: int) -> str | None:
        """The least text above everything that is expected from `key` on with its first `depth` characters."""
        at = depth
        while at < len(key):
            signs = self._at(at, wide=False)
            start, share = signs.place(key[at])
            if share and start + share < 1.0 - share / 2:
                break
            at += 1
        if at == depth:
            return None
        return behind(key[:at])


def _legal(point: int) -> str:
    """The character of a code point, or the next that a marker may hold."""
    return next(character for at in range(point, point + 0x900) if is_legal(character := chr(at)))


_NONE: Final = Signs("", [])
