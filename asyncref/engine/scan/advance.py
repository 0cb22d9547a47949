"""Whether a listing by a server's own markers gets on, so that a server which goes round in circles is found out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncref.errors import ProtocolError
from asyncref.model import Cursor, Page

MOST_EMPTY: Final = 1000
"""Pages in a row without a row. S3 sends some where many keys were deleted, Google Cloud Storage as well."""
MOST_OF_ONE: Final = 10_000
"""Pages in a row of one key's versions: on S3 ten million of them."""


@dataclass(slots=True)
class Advance:
    """Watches the pages of one chain of markers.

    A circle of markers is found by R. P. Brent's method ("An improved Monte Carlo factorization algorithm", 1980):
    each page is compared with one kept page, which is replaced after 1, 2, 4, ... pages. So memory is constant, and
    a circle is left after at most three times its length. Pages are alike by their markers or by where they begin and end,
    since a server may invent a new marker for the same page again and again.

    Args:
        uri: For errors.
        versions: A listing of versions, in which pages of one key look alike but for the version that they begin with.
    """

    uri: str
    versions: bool
    _kept: tuple[Cursor, str | None, str | None, str | None] | None = None
    _since: int = 0
    _until: int = 1
    _empty: int = 0
    _of_one: int = 0

    def saw(self, page: Page) -> None:
        """Take in the next page. Cost: under 1 µs.

        Raises:
            ProtocolError: The server repeats itself, or sends nothing but empty pages or versions of one key.
        """
        if page.cursor is None:
            return
        self._empty = 0 if page.seen or page.folders else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise ProtocolError(f"{MOST_EMPTY} pages in a row without a row, and more are to follow", uri=self.uri)
        is_of_one = self.versions and page.first is not None and page.first == page.last
        self._of_one = self._of_one + 1 if is_of_one else 0
        if self._of_one > MOST_OF_ONE:
            raise ProtocolError(f"{MOST_OF_ONE} pages of {page.first!r} alone, and more are to follow", uri=self.uri)
        if self._kept is not None:
            cursor, *ends = self._kept
            is_known = page.first is not None and (not is_of_one or page.first_version is not None)
            if page.cursor == cursor or (is_known and [page.first, page.last, page.first_version] == ends):
                raise ProtocolError("the listing does not advance: the server repeats a page", uri=self.uri)
        self._since += 1
        if self._since == self._until:
            self._kept = page.cursor, page.first, page.last, page.first_version
            self._since, self._until = 0, 2 * self._until
