"""Where a flat listing is parted from its start: between its folders, which some storages tell in one request.

A model of keys that has seen one folder knows nothing of those beside it, and finds out by requests in vain: of 1,000 folders
of 1,000 objects it took 29 pages, one after the other, until enough ranges were listed side by side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from asyncref.engine.scan.hints import MOST, PAGES_APART
from asyncref.errors import RetryableError, StorageError
from asyncref.model import ListRequest, Page

_LEVELS: Final = 3
"""Folders that lie alone in their folder and are looked into."""


async def outline(
    ask: Callable[[ListRequest], Awaitable[Page]], request: ListRequest, first: Page, hints: list[str]
) -> None:
    """Find keys that part what follows the first page, for `KeySpace.hints`; one request, mostly.

    It is no part of the listing and decides nothing but where ranges begin: what fails here gives no hints.

    Args:
        ask: Sends a request, retried.
        request: The listing's, from its start.
        first: Its first page.
        hints: Filled once they are known.
    """
    keys: list[str] = first.batch.column(0).to_pylist()
    request = replace(request, folders=True)
    if first.cursor is None or not shown_in(keys, request.prefix):
        return
    try:
        for _ in range(_LEVELS):
            level = await ask(request)
            if level.cursor is not None or level.batch.num_rows or len(level.folders) != 1:
                break
            request = replace(request, prefix=level.folders[0])
    except (StorageError, RetryableError):
        return
    hints += parting(level.folders, keys, request.prefix, page_rows=request.limit)


def shown_in(keys: Sequence[str], prefix: str) -> dict[str, int]:
    """The folders right under a prefix in which keys lie, and how many of these do, in the order of the keys."""
    found: dict[str, int] = {}
    for key in keys:
        if (end := key.find("/", len(prefix))) >= 0:
            folder = key[: end + 1]
            found[folder] = found.get(folder, 0) + 1
    return found


def parting(folders: Sequence[str], keys: Sequence[str], prefix: str, *, page_rows: int) -> list[str]:
    """Some of the folders, ascending and evenly spread over those that follow the first page. Pure.

    Args:
        folders: All that lie under the prefix, as far as is known.
        keys: Of the first page.
        prefix: Of the folders.
        page_rows: Rows of a full page.

    Returns:
        No more than give each part some pages, if folders hold on average what the first ones do.
    """
    shown = shown_in(keys, prefix)
    ahead = sorted(folder for folder in folders if folder > keys[-1])
    whole = list(shown.values())[:-1]  # the last one goes on behind the page
    each = sum(whole) / len(whole) if whole else sum(shown.values())
    count = min(MOST, len(ahead), int(len(ahead) * each / (PAGES_APART * page_rows)))
    return [ahead[len(ahead) * number // count] for number in range(count)]
