"""Who parts the key space: asyncref's own stealing, or ranges that were fixed before the first request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from asyncref.engine.scan.keyspace import KeySpace
from asyncref.engine.scan.span import Span
from asyncref.model import Page
from benchmarks.model.keys import PREFIX

HEX_256: Final = tuple(f"{PREFIX}{high:02x}" for high in range(256))
"""Where tools part a prefix that know nothing of its keys: at every pair of hex digits."""


class Splitter(Protocol):
    """Gives out ranges of keys to workers."""

    def start(self) -> list[Span]:
        """The first ranges; called once."""

    def saw(self, span: Span, page: Page, kept: int, keys: Sequence[str]) -> bool:
        """Take in a page of a range; whether that goes on behind it."""

    def more(self) -> list[Span]:
        """Ranges for workers that are idle by now."""


class Stealing:
    """The engine's own: `asyncref.engine.scan.keyspace.KeySpace`, asked as the pipeline asks it.

    Args:
        workers: Ranges at a time.
        page_rows: Rows of a page.
    """

    def __init__(self, workers: int, page_rows: int) -> None:
        self.space = KeySpace(PREFIX, page_rows=page_rows)
        self._workers = workers

    def start(self) -> list[Span]:
        """The whole prefix."""
        return [self.space.start()]

    def saw(self, span: Span, page: Page, kept: int, keys: Sequence[str]) -> bool:
        """Let the model learn."""
        return self.space.saw(span, page, kept=kept, keys=keys)

    def more(self) -> list[Span]:
        """Cut ranges for all idle workers, where that is worth it."""
        return self.space.steal(self._workers - self.space.active)


class Fixed:
    """Ranges that never change, each for the next idle worker; without any cut, a serial listing.

    Args:
        workers: Ranges at a time.
        cuts: Where the prefix is parted, ascending.
    """

    def __init__(self, workers: int, cuts: Sequence[str] = ()) -> None:
        bounds = [None, *cuts, None]
        self._waiting = [Span(run, bounds[run], bounds[run + 1]) for run in range(len(cuts) + 1)][::-1]
        self._idle = workers

    def start(self) -> list[Span]:
        """As many as there are workers."""
        return self.more()

    def saw(self, span: Span, page: Page, kept: int, keys: Sequence[str]) -> bool:
        """Only whether the range has ended."""
        del kept, keys
        span.pages += 1
        span.position = page.last
        ended = page.cursor is None or (span.last is not None and page.last is not None and page.last >= span.last)
        self._idle += ended
        return not ended

    def more(self) -> list[Span]:
        """The next ranges."""
        count = min(self._idle, len(self._waiting))
        self._idle -= count
        return [self._waiting.pop() for _ in range(count)]
