"""A model of how keys spread, learnt from keys seen: which characters stand at which depth. Pure.

It maps keys to numbers and back, so that a range of keys can be measured and halved. A wrong model costs
requests, never a key: pivots need not exist, and ranges are exact whatever lies in them.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

_DIGITS: Final = frozenset("0123456789")
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD: Final = _DIGITS | _LETTERS
_SETTLED: Final = 64  # keys without a new character at a depth, after which what was seen is taken for all
_PRECISION_DEPTHS: Final = 14  # 16**14 > 2**53: deeper characters are lost in a float
_STEPS: Final = 48
"""Code points tried between the lowest and the highest non-ASCII character seen at a depth."""


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


class Alphabet:
    """Characters seen at each depth of the keys of one listing."""

    def __init__(self) -> None:
        self._seen: list[set[str]] = []
        self._calm: list[int] = []  # keys learnt since a depth last showed a new character
        self._likely: dict[int, str] = {}
        self._possible: dict[int, str] = {}

    def learn(self, keys: Iterable[str]) -> None:
        """Take in some keys. Cost: about 5 µs a key of 40 characters."""
        for key in keys:
            while len(self._seen) < len(key):
                self._seen.append(set())
                self._calm.append(0)
            for depth, character in enumerate(key):
                if character in self._seen[depth]:
                    self._calm[depth] += 1
                    if self._calm[depth] == _SETTLED:
                        self._forget()
                elif is_legal(character):
                    self._seen[depth].add(character)
                    self._calm[depth] = 0
                    self._forget()

    def likely(self, depth: int) -> str:
        """Characters to expect at a depth, ascending: those seen, and while they are few, what digits imply."""
        if depth not in self._likely:
            here = set(self._at(depth))
            if here & _DIGITS and self._calm[depth] < _SETTLED:
                here |= _DIGITS | self._letters_around(depth)
            self._likely[depth] = "".join(sorted(here | _between(here)))
        return self._likely[depth]

    def possible(self, depth: int) -> str:
        """Characters that may turn up at a depth, ascending: a wider guess, for probing."""
        if depth not in self._possible:
            here = set(self._at(depth))
            if here & _DIGITS:
                here |= _DIGITS | self._letters_around(depth)
            for letters in ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
                if here & set(letters):
                    here |= set(letters)
            self._possible[depth] = "".join(sorted(here | _between(here) | _beyond(here)))
        return self._possible[depth]

    def _at(self, depth: int) -> set[str]:
        return self._seen[depth] if depth < len(self._seen) else set()

    def _forget(self) -> None:
        self._likely.clear()
        self._possible.clear()

    def _letters_around(self, depth: int) -> set[str]:
        """Letters seen beside digits at depths that no separator parts from this one: hexadecimal, base 36, base 62."""
        found: set[str] = set()
        for step in (-1, 1):
            at = depth
            while 0 <= at < len(self._seen) and self._seen[at] & _DIGITS and self._seen[at] <= _WORD:
                found |= self._seen[at] & _LETTERS
                at += step
        return found

    def fraction(self, key: str, depth: int) -> float:
        """Where a key lies among all that share its first `depth` characters: 0 to 1."""
        value, width = 0.0, 1.0
        for at in range(depth, min(len(key), depth + _PRECISION_DEPTHS)):
            characters = self.likely(at)
            if not characters:
                break
            width /= len(characters)
            rank = bisect_left(characters, key[at])
            value += rank * width
            if rank == len(characters) or characters[rank] != key[at]:
                break
        return min(value, 1.0)

    def key_at(self, fraction: float, start: str, resolution: float) -> str:
        """The shortest text after `start` that lies within `resolution` of a fraction."""
        text, width = start, 1.0
        for _ in range(_PRECISION_DEPTHS):
            characters = self.likely(len(text))
            if not characters:
                break
            width /= len(characters)
            rank = min(int(fraction / width), len(characters) - 1)
            fraction -= rank * width
            text += characters[rank]
            if width < resolution:
                break
        return text

    def above(self, depth: int, low: str, high: str | None) -> str:
        """Characters that may stand at a depth, above `low` and below `high`, ascending."""
        characters = self.possible(depth)
        start = bisect_right(characters, low)
        stop = len(characters) if high is None else bisect_left(characters, high)
        return characters[start:stop]


def _between(characters: set[str]) -> set[str]:
    """Code points spread evenly over the non-ASCII characters seen: scripts are ranges, their members are many."""
    points = [ord(character) for character in characters if character > "\x7f"]
    if not points:
        return set()
    low, high = min(points), max(points)
    return set(filter(is_legal, (chr(low + (high - low) * step // _STEPS) for step in range(_STEPS))))


def _beyond(characters: set[str]) -> set[str]:
    """Code points above the highest non-ASCII character seen, at growing distances."""
    points = [ord(character) for character in characters if character > "\x7f"]
    if not points:
        return set()
    rungs = (max(points) + 4**power for power in range(10))
    return set(filter(is_legal, (chr(rung) for rung in rungs if rung <= sys.maxunicode)))
