"""One range of a key space in the hands of one worker, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROWTH: Final = 64.0
"""How many times the known rows a leap reaches. Each miss takes the root; time and finds bring it back.

So far, because a small listing may have one request in vain: if that finds something, so much is known that more
may be tried.
"""


@dataclass(slots=True, eq=False)
class Span:
    """One range in the hands of one worker.

    Attributes:
        run: Its number; rows of a span ascend.
        after: Exclusive lower end; None for the start of the prefix.
        last: Inclusive upper end; None for the end of the prefix. Stealing lowers it.
        position: The last key that the server went through; None before the first page.
        pages: Pages read.
        rows: Rows kept.
        base: Its first key.
        origin: Where the present stretch began: up to the position, keys have been about evenly dense.
        stretch: Rows of that stretch.
        beyond: A key behind the end, and how many rows were found from the end to there.
        left: Rows in `(position, last]`, expected.
        sure: Whether that is more than a guess.
        growth: How far the next leap reaches, in multiples of what is known.
        faith: Into how many parts it may be cut at once.
        missed: Its last cut was in vain.
        trail: The last two keys that the model was shown, if its next page follows on those.
        waits: A leap from this span is unanswered.
        unread: First key and rows of the pages that the estimate does not know yet.
        known: The last key that it knows.
        heritage: Origin, position and rows of the stretch before the cut that made this span: it may go on here.
    """

    run: int
    after: str | None
    last: str | None
    position: str | None = None
    pages: int = 0
    rows: int = 0
    base: str = ""
    origin: str = ""
    stretch: int = 0
    beyond: tuple[str, int] | None = None
    left: float = 0.0
    sure: bool = False
    growth: float = GROWTH
    faith: int = 2
    missed: bool = False
    trail: tuple[str, str] | None = None
    waits: bool = False
    unread: tuple[str, int] | None = None
    known: str | None = None
    heritage: tuple[str, str, int] | None = None
