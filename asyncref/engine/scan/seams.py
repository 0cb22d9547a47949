"""Proves that ranges of one listing join without a gap: what one range sees beyond its end, the next must have. Pure.

Every range is left by a page that runs past its end, so the first key behind each cut is seen twice: by the
range below, which trims it, and by the range that starts at the cut. A server that starts a listing wrongly
at a marker that is no key (moto 5 leaves out the key after it) is found by this.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from asyncref.engine.scan.ledger import Block, chains


class Missing(NamedTuple):
    """A key that the range it belongs to does not have.

    Attributes:
        after: Where that range starts.
        key: The key.
        certain: It was there before the listing began.
    """

    after: str
    key: str
    certain: bool


@dataclass(slots=True)
class _Range:
    """What is known of one range: its end, its first row, and the first row seen beyond its end."""

    after: str | None
    last: str | None = None
    first_row: str | None = None
    beyond: str | None = None
    certain: bool = True


@dataclass(slots=True)
class Seams:
    """Collects the ends of ranges while they are listed. Memory: three keys a range."""

    _ranges: dict[object, _Range] = field(default_factory=dict)

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Self:
        """The seams of what an interrupted scan listed."""
        seams = cls()
        for number, chain in enumerate(chains(blocks), start=1):
            after, last = chain[0].keys.after, chain[-1].keys.last
            if first := next((block.first for block in chain if block.first is not None), None):
                seams.began(-number, after, first)
            seams.ended(-number, after, last, chain[-1].beyond)
        return seams

    def began(self, run: object, after: str | None, first_row: str) -> None:
        """A range kept its first row; later calls for the same range change nothing."""
        known = self._ranges.get(run)
        if known is None:
            known = self._ranges[run] = _Range(after)
        if known.first_row is None:
            known.first_row = first_row

    def ended(
        self, run: object, after: str | None, last: str | None, beyond: str | None, *, certain: bool = True
    ) -> None:
        """A range was listed to its end.

        Args:
            run: Its number, or whatever tells it from the others.
            after: Its lower end, exclusive.
            last: Its final upper end, inclusive.
            beyond: The first row behind it, if its last page had one.
            certain: That was there before the listing began.
        """
        known = self._ranges.setdefault(run, _Range(after))
        known.last, known.beyond, known.certain = last, beyond, certain

    def proved(self) -> set[str]:
        """The ends behind which a range saw a key, so that whatever starts there is held to it."""
        return {known.last for known in self._ranges.values() if known.last is not None and known.beyond is not None}

    def missing(self) -> list[Missing]:
        """Keys that one range saw and the range they belong to does not have; called when all have ended."""
        ranges = sorted(
            self._ranges.values(), key=lambda known: (known.after or "", known.last is None, known.last or "")
        )
        lasts = [known.last for known in ranges if known.last is not None]  # ascending, since no two ranges overlap
        found: list[Missing] = []
        for at, known in enumerate(ranges):
            if known.beyond is None:
                continue
            place = bisect_left(lasts, known.beyond, min(at + 1, len(lasts)))
            owner = ranges[place] if place < len(ranges) and place > at else None
            if owner is None or known.beyond <= (owner.after or ""):
                continue  # in what nobody has to list
            if owner.first_row is None or owner.first_row > known.beyond:
                found.append(Missing(owner.after or "", known.beyond, known.certain))
        return found
