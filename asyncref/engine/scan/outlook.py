"""What lies ahead of a span, by what was read before it and behind its end. Pure.

Two pieces. *Near*: as long as keys agree with those of the present stretch up to the depth at which those part, they
go on as densely. *Far*: behind that, whole subtrees follow as they did since the span began, empty space between them
included. Keys stand in clusters, so the density of the far piece may be wrong by orders of magnitude. It is taken for
sure only where what was found behind the span's end agrees with it, or where there is little space left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, behind, common_prefix

SAME: Final = 8.0
"""Densities that differ by less count as alike."""
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Rows ahead of a position.

    Attributes:
        alphabet: The model that gave the numbers.
        sure: Whether the far piece is more than a guess.
        position: The last key before.
        found: Rows read, and near ones.
        stem: What the keys of the present stretch share, or position and end of the span if that is longer.
        here: The position's fraction below `stem`.
        near: Rows from there to the end of `stem`'s subtree; 0 if the span ends in it.
        near_density: Rows a unit of `here`.
        root: What position and end of the span share.
        there: The fraction below `root` at which `stem`'s subtree ends, or the position's.
        far: Rows from there to the end of the span.
        far_density: Rows a unit of `there`.
    """

    alphabet: Alphabet
    sure: bool
    position: str
    found: float
    stem: str
    here: float
    near: float
    near_density: float
    root: str
    there: float
    far: float
    far_density: float

    @property
    def left(self) -> float:
        """Rows to the end of the span."""
        return self.near + self.far

    @property
    def depth(self) -> int:
        """How many characters position and end of the span share."""
        return len(self.root)

    def key_after(self, rows: float, precision: float) -> str:
        """A key about so many rows ahead, give or take `precision`; behind `stem` where a float cannot tell."""
        key = self._key_at(rows, precision)
        return key if key > self.position else behind(self.stem)

    def border_after(self, rows: float, precision: float) -> str:
        """Where the largest subtree ends that ends about so many rows ahead: what is behind it is found for sure."""
        low, high = self._key_at(rows - precision, precision), self._key_at(rows + precision, precision)
        shared = common_prefix(low, high)
        key = behind(low[: shared + 1]) if shared < len(low) else high[: shared + 1]
        return key if key > self.position else behind(self.stem)

    def _key_at(self, rows: float, precision: float) -> str:
        if rows < self.near or not self.far_density:
            at, start, density = self.here, self.stem, max(self.near_density, _TINY)
        else:
            at, start, density = self.there, self.root, self.far_density
            rows -= self.near
        return self.alphabet.key_at(at + rows / density, start, precision / density)


def look(
    alphabet: Alphabet,
    *,
    stretch: tuple[str, str, int],
    read: tuple[str, int],
    last: str | None,
    beyond: tuple[str, int] | None,
    prefix: int,
) -> Outlook:
    """Estimate what lies between a position and the end of a span.

    Args:
        alphabet: The model.
        stretch: First key, last key (the position) and rows of what was read evenly dense.
        read: Where the span began, and its rows so far.
        last: The end of the span.
        beyond: A key behind the end, and the rows that were found from the end to there.
        prefix: Length of what all keys share.
    """
    origin, position, rows = stretch
    depth = prefix if last is None else common_prefix(position, last)
    end = 1.0 if last is None else alphabet.fraction(last, depth)
    parting = max(depth, common_prefix(origin, position))
    start, here = alphabet.fractions(origin, position, parting)
    there, taken = here, here - start
    near_density = rows / taken if taken > _TINY else 0.0
    near = rest = 0.0
    if parting > depth:
        width = alphabet.width(position, depth, parting)
        near, rest = near_density * (1.0 - here), width * (1.0 - here)
        there = alphabet.fraction(position[:parting], depth) + width
    base, rows = read if read[0][:depth] == position[:depth] else (origin, rows)
    found = rows + near
    covered = rest + _below(alphabet, base, position, depth)
    density = found / covered if covered > _TINY else 0.0
    space = max(0.0, end - there)
    sure = density * space <= found
    if beyond is not None and last is not None and density:
        if beyond[0][:depth] == position[:depth]:
            pooled = (found + beyond[1]) / (covered + max(0.0, alphabet.distance(last, beyond[0], depth)))
        else:  # nothing lies between the end and the end of the root's subtree
            pooled = found / (covered + max(0.0, 1.0 - end))
        if pooled * SAME >= density:
            sure, density = True, pooled
    return Outlook(
        alphabet=alphabet,
        sure=sure,
        position=position,
        found=found,
        stem=position[:parting],
        here=here,
        near=near,
        near_density=near_density,
        root=position[:depth],
        there=there,
        far=density * space,
        far_density=density,
    )


def _below(alphabet: Alphabet, base: str, position: str, depth: int) -> float:
    """The distance between two keys, in units of the subtree at a depth; more than 1 if it began outside of that."""
    common = min(depth, common_prefix(base, position))
    unit = alphabet.width(position, common, depth)
    return alphabet.distance(base, position, common) / unit if unit else 0.0
