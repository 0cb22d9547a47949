"""Asks a server once more about single keys, so that one it leaves out where a listing starts is not lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from asyncref.engine.scan.advance import Advance
from asyncref.engine.scan.rows import trim
from asyncref.errors import AccessDeniedError, UnsupportedError
from asyncref.model import PAGE_SCHEMA, KeyRange, ListRequest, Page

_MODIFIED = PAGE_SCHEMA.get_field_index("modified")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A key that somebody saw.

    Attributes:
        key: The key.
        certain: It has been there since the scan began, and did lie there at the moment that is listed.
    """

    key: str
    certain: bool


@dataclass(slots=True)
class Witness:
    """What a listing is held to that starts where nobody sees its first key.

    Args:
        send: Sends one request.
        note: Takes a sentence for the manifest.
        uri: For errors and notes.
        started: What was modified later may or may not be in the listing.
        at: The moment that is listed; None: now.
        denied: The other kind of listing is not to be had.
    """

    send: Callable[[ListRequest], Awaitable[Page]]
    note: Callable[[str], None]
    uri: str
    started: datetime
    at: datetime | None
    denied: bool = False

    def sighting(self, rows: pa.RecordBatch) -> Sighting | None:
        """The first of some rows; None if there are none."""
        if not rows.num_rows:
            return None
        modified = rows.column(_MODIFIED)[0].as_py()
        certain = modified is not None and modified < self.started and (self.at is None or modified <= self.at)
        return Sighting(rows.column(0)[0].as_py(), certain)

    async def first_behind(self, prefix: str, after: str) -> Sighting | None:
        """The first object behind a key, by a listing without versions: one request, as a rule, for one row.

        A listing of versions may be wrong there without a word: moto 5's leaves out the key after a marker that is no key.

        Returns:
            None if there is none, or if it cannot be learnt (`denied` then).
        """
        request, advance = ListRequest(prefix=prefix, keys=KeyRange(after), limit=1), Advance(self.uri, versions=False)
        while not self.denied:
            try:
                page = await self.send(request)
            except (AccessDeniedError, UnsupportedError) as error:
                self.denied = True
                self.note(f"{self.uri}: that nothing right after {after!r} is missing is unproved ({error})")
                break
            seen = self.sighting(trim(page.batch, request.keys))
            if seen is not None or page.cursor is None:
                return seen
            advance.saw(page)
            request = replace(request, cursor=page.cursor)
        return None
