"""How many requests of a listing may be in vain: a bounded share of its pages. Pure."""

from __future__ import annotations

from typing import Final

FREE_WASTE: Final = 1.0
"""Requests in vain that any listing may cost."""
PROVEN_PAGES: Final = 3
"""Pages that a span has to have given, and to go on, to count as proven."""
PROVEN_FROM: Final = 10
"""Pages of a listing before that counts: a small one must not pay for it."""
MOST_PROVEN: Final = 3
"""Requests in vain that proven spans may add, one for each beside the first, as long as no cut was in vain."""
FEW_PAGES: Final = 20
SOME_PAGES: Final = 80
RAMP: Final = 0.2
"""What each page between those two allows more; in a small listing a request in vain shows, in a middling one idleness."""
WASTE_A_PAGE: Final = 0.06
WASTE_IDLE: Final = 0.03
"""What each further page allows more, and what more again while all workers are idle."""
VOUCHED: Final = 64.0
"""Pages that may be expected for each cut that found something."""
SURELY: Final = 2.0
"""How many times as many as `FEW_PAGES` have to be expected: the first estimates of a small listing are off by as much."""
TRUST: Final = 4
TRUST_FIRST: Final = 100
"""Pages that may be expected for each page that was read, and before."""


def allowance(pages: int, *, proven: int, expected: float, hits: int, misses: int, idle: float) -> float:
    """Requests that may be in vain by now.

    Args:
        pages: Pages read.
        proven: Spans that gave `PROVEN_PAGES` and go on.
        expected: Pages that are left by what is more than a guess.
        hits: Cuts that found a full page.
        misses: Cuts that found nothing.
        idle: The share of the workers that has nothing to do.
    """
    borne_out = hits / (hits + misses) if hits else 0.0
    likely = pages + borne_out * min(expected, VOUCHED * hits, TRUST_FIRST + TRUST * pages)
    counted = likely if likely >= SURELY * FEW_PAGES else pages
    ramp = RAMP * min(SOME_PAGES - FEW_PAGES, max(0.0, counted - FEW_PAGES))
    free = FREE_WASTE + (0 if misses or pages < PROVEN_FROM else min(MOST_PROVEN, max(0, proven - 1)))
    return free + ramp + (WASTE_A_PAGE + WASTE_IDLE * idle) * max(0.0, counted - SOME_PAGES)
