"""Which parts of a prefix a filter can take anything from, so that the others are not listed. Pure.

A glob with a slash matches only what starts with its literal head, so includes leave some *pieces* of the key space;
an exclude that ends in `**` cuts a subtree out of them. The pieces hold every key that the filter takes, mostly others,
too: each row is still matched. Globs without a slash match at any depth and restrict nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from asyncref.engine.scan.alphabet import behind, common_prefix
from asyncref.engine.scan.signs import is_legal
from asyncref.globs import Filter, anchored
from asyncref.model import KeyRange

MOST: Final = 100
"""Pieces and cuts: each costs a request, and a filter of a thousand file names is better met by a listing."""
_TOP: Final = "\U0010ffff"
_ALL_BELOW: Final = frozenset({"**", "**/*", "**/**"})
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the key space to list.

    Attributes:
        prefix: What all of its keys start with: to be asked for, so that the listing starts and ends there.
        keys: Its range; those of a plan ascend and do not overlap.
    """

    prefix: str
    keys: KeyRange

    @property
    def is_probed(self) -> bool:
        """Whether its listing starts at a marker that is no key, with nothing listed below that could prove it right."""
        return self.keys.after is not None and self.keys.after >= self.prefix

    def start(self, after: str | None) -> str | None:
        """The marker for a listing of this piece behind a key; None from its start, which the prefix tells."""
        return None if after is not None and after < self.prefix else after


@dataclass(frozen=True, slots=True)
class Plan:
    """What to list of one prefix.

    Attributes:
        prefix: The prefix.
        pieces: Its parts, ascending; none if the filter can take nothing.
    """

    prefix: str
    pieces: tuple[Piece, ...]

    @classmethod
    def whole(cls, prefix: str) -> Self:
        """Everything."""
        return cls(prefix, (Piece(prefix, KeyRange()),))

    @property
    def is_whole(self) -> bool:
        """Whether it leaves nothing out."""
        return self.pieces == (Piece(self.prefix, KeyRange()),)

    def piece_of(self, after: str | None) -> Piece:
        """The piece in which a range lies that starts behind a key."""
        return self.pieces[bisect_right(self.pieces, after or "", key=lambda piece: piece.keys.after or "") - 1]

    def within(self, ranges: Iterable[KeyRange]) -> list[KeyRange]:
        """The parts of ranges that lie in pieces, ascending."""
        return [
            shared
            for keys in ranges
            for piece in self.pieces
            if (shared := _shared(keys, piece.keys)) is not None
        ]  # fmt: skip

    def reaches(self, folder: str) -> bool:
        """Whether a piece holds keys below a folder, which ends in a slash."""
        return any(
            (piece.keys.after is None or piece.keys.after < folder + _TOP)
            and (piece.keys.last is None or piece.keys.last > folder)
            for piece in self.pieces
        )

    def without(self, wanted: Filter) -> str:
        """A sentence on what is not looked at; empty if that is nothing."""
        if self.is_whole:
            return ""
        heads = {piece.prefix.removeprefix(self.prefix) for piece in self.pieces}
        left_out = [head for head in _subtrees(wanted.exclude) if not self.reaches(self.prefix + head)]
        parts = [f"only what starts with {_few(heads)}"] if "" not in heads else []
        parts += [f"nothing under {_few(left_out)}"] if left_out else []
        return f"by its globs {' and '.join(parts)} was listed; what else lies there is not counted" if parts else ""


def plan(wanted: Filter, prefix: str) -> Plan:
    """What of a prefix has to be listed for a filter over the paths behind it.

    Args:
        wanted: The filter.
        prefix: What the keys start with before their paths.

    Returns:
        Pieces that hold every key whose path the filter takes. Cost: some microseconds a glob.
    """
    pieces = _included(wanted.include, prefix)
    for head in _subtrees(wanted.exclude)[:MOST]:
        pieces = [left for piece in pieces for left in _cut(piece, prefix + head)]
    return Plan(prefix, tuple(pieces))


def _included(globs: Sequence[str], prefix: str) -> list[Piece]:
    """The pieces that includes leave, before anything is cut out of them."""
    heads: dict[str, bool] = {}  # whether it is a whole path
    for glob in globs:
        found = anchored(glob)
        if found is None or not found[0]:
            return [Piece(prefix, KeyRange())]
        head, rest = found
        heads[head] = heads.get(head, True) and not rest
    while len(heads) > MOST:
        heads = {_folder(head): False for head in heads}
        if "" in heads:
            return [Piece(prefix, KeyRange())]
    pieces: list[Piece] = []
    for head in sorted(heads):
        key = prefix + head
        last = key if heads[head] else _above(key)
        piece = Piece(key, KeyRange(_below(key), last))
        before = pieces[-1] if pieces else None
        if before is not None and _overlap(before.keys, piece.keys):
            pieces[-1] = _joined(before, piece)
        else:
            pieces.append(piece)
    return pieces or [Piece(prefix, KeyRange())]


def _subtrees(globs: Sequence[str]) -> list[str]:
    """The texts of which excludes take everything that starts with them."""
    found = {
        head for glob in globs if (split := anchored(glob)) is not None for head in [split[0]] if split[1] in _ALL_BELOW
    }
    return sorted(found - {""})


def _folder(head: str) -> str:
    return head[: head.rstrip("/").rfind("/") + 1]


def _below(key: str) -> str | None:
    """A marker below every key that starts with this one, and above all that anybody would use below those."""
    before = next((chr(point) for point in range(ord(key[-1]) - 1, 0x1F, -1) if is_legal(chr(point))), None)
    return (key[:-1] if before is None else f"{key[:-1]}{before}{_TOP}") or None


def _above(key: str) -> str | None:
    """A key above every one that starts with this one."""
    stem = key.rstrip(_TOP)
    return behind(stem) if stem else None


def _overlap(lower: KeyRange, upper: KeyRange) -> bool:
    return lower.last is None or upper.after is None or upper.after < lower.last


def _joined(lower: Piece, upper: Piece) -> Piece:
    ends = lower.keys.last, upper.keys.last
    last = None if None in ends else max(end for end in ends if end is not None)
    return Piece(
        lower.prefix[: common_prefix(lower.prefix, upper.prefix)],
        KeyRange(lower.keys.after, last),
    )


def _cut(piece: Piece, subtree: str) -> list[Piece]:
    """What is left of a piece without the keys that start with a text."""
    if piece.prefix.startswith(subtree):
        return []
    keys, top = piece.keys, subtree + _TOP
    left = []
    if keys.after is None or keys.after < subtree:
        last = subtree if keys.last is None else min(keys.last, subtree)
        left.append(Piece(piece.prefix, KeyRange(keys.after, last)))
    if keys.last is None or keys.last > top:
        after = top if keys.after is None else max(keys.after, top)
        left.append(Piece(piece.prefix, KeyRange(after, keys.last)))
    return left


def _shared(one: KeyRange, other: KeyRange) -> KeyRange | None:
    after = max(one.after or "", other.after or "") or None
    lasts = [last for last in (one.last, other.last) if last is not None]
    last = min(lasts, default=None)
    return None if last is not None and after is not None and after >= last else KeyRange(after, last)


def _few(texts: Iterable[str]) -> str:
    named = sorted(texts)
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more}"
