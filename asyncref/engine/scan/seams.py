"""Proves that ranges of one listing join without a gap: what one range sees beyond its end, the next must have. Pure.

Every range is left by a page that runs past its end, so the first key behind each cut is seen twice: by the
range below, which trims it, and by the range that starts at the cut. A server that starts a listing wrongly
at a marker that is no key (moto 5 leaves out the key after it) is found by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

from asyncref.engine.scan.ledger import Block, chains


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

    _ranges: dict[int, _Range] = field(default_factory=dict)

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

    def began(self, run: int, after: str | None, first_row: str) -> None:
        """A range kept its first row; later calls for the same range change nothing."""
        known = self._ranges.setdefault(run, _Range(after))
        if known.first_row is None:
            known.first_row = first_row

    def ended(self, run: int, after: str | None, last: str | None, beyond: str | None, *, certain: bool = True) -> None:
        """A range was listed to its end.

        Args:
            run: Its number.
            after: Its lower end, exclusive.
            last: Its final upper end, inclusive.
            beyond: The first row behind it, if its last page had one.
            certain: That was there before the listing began.
        """
        known = self._ranges.setdefault(run, _Range(after))
        known.last, known.beyond, known.certain = last, beyond, certain

    def gaps(self) -> list[str]:
        """Keys that one range saw and the range they belong to does not have; called when all have ended."""
        return [key for _, key, certain in self._missing() if certain]

    def doubts(self) -> list[tuple[str, str]]:
        """The same for keys that may have come while it was listed: where their range starts, and the key."""
        return [(after, key) for after, key, certain in self._missing() if not certain]

    def _missing(self) -> Iterator[tuple[str, str, bool]]:
        ranges = sorted(self._ranges.values(), key=lambda known: known.after or "")
        for at, known in enumerate(ranges):
            if known.beyond is None:
                continue
            owner = next(
                (other for other in ranges[at + 1 :] if other.last is None or known.beyond <= other.last), None
            )
            if owner is None or known.beyond <= (owner.after or ""):
                continue  # in what nobody has to list
            if owner.first_row is None or owner.first_row > known.beyond:
                yield owner.after or "", known.beyond, known.certain
