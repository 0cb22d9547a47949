"""Whether a listing by a server's own markers gets on, so that a server which goes round in circles is found out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncref.errors import ProtocolError
from asyncref.model import Cursor, Page

MOST_EMPTY: Final = 1000
"""Pages in a row without a row. S3 sends some where many keys were deleted, Google Cloud Storage as well."""


@dataclass(slots=True)
class Advance:
    """Watches the pages of one chain of markers.

    A circle of markers is found by R. P. Brent's method ("An improved Monte Carlo factorization algorithm", 1980):
    each page is compared with one kept page, which is replaced after 1, 2, 4, ... pages. So memory is constant, and
    a circle is left after at most three times its length.

    Args:
        uri: For errors.
        versions: A listing of versions, in which pages of one key look alike; only its markers are compared then.
    """

    uri: str
    versions: bool
    _kept: tuple[Cursor, str | None, str | None] | None = None
    _since: int = 0
    _until: int = 1
    _empty: int = 0

    def saw(self, page: Page) -> None:
        """Take in the next page. Cost: under 1 µs.

        Raises:
            ProtocolError: The server repeats itself, or sends nothing but empty pages.
        """
        if page.cursor is None:
            return
        self._empty = 0 if page.seen or page.folders else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise ProtocolError(f"{MOST_EMPTY} pages in a row without a row, and more are to follow", uri=self.uri)
        if self._kept is not None:
            cursor, first, last = self._kept
            alike = not self.versions and page.first is not None and (page.first, page.last) == (first, last)
            if page.cursor == cursor or alike:
                raise ProtocolError("the listing does not advance: the server repeats a page", uri=self.uri)
        self._since += 1
        if self._since == self._until:
            self._kept, self._since, self._until = (page.cursor, page.first, page.last), 0, 2 * self._until
