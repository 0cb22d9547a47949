"""How many requests of a listing may be in vain: a bounded share of its pages. Pure."""

from __future__ import annotations

from typing import Final

FREE_WASTE: Final = 1.0
"""Requests in vain that any listing may cost."""
FEW_PAGES: Final = 20
SOME_PAGES: Final = 80
RAMP: Final = 0.25
"""What each page between those two allows more; in a small listing a request in vain shows, in a middling one idleness."""
WASTE_A_PAGE: Final = 0.07
"""What each further page allows more."""
TRUST: Final = 0.25
"""What a page that is only expected counts, beside one that was read."""


def allowance(pages: int, rows: int, *, expected: float, page_rows: int) -> float:
    """Requests that may be in vain by now.

    Args:
        pages: Pages read.
        rows: Rows kept of them.
        expected: Rows that are sure to be left; while few pages are read, trusted as far as rows were found.
        page_rows: Rows of a full page.
    """
    trusted = expected if pages > FEW_PAGES else min(expected, rows)
    counted = pages + TRUST * trusted / page_rows
    ramp = RAMP * min(SOME_PAGES - FEW_PAGES, max(0.0, counted - FEW_PAGES))
    return FREE_WASTE + ramp + WASTE_A_PAGE * max(0.0, counted - SOME_PAGES)
