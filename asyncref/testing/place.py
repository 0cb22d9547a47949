"""What a test of a backend starts from: a place to seed, what it can hold, and a listing driven as the engine does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from asyncref.backends.base import Backend
from asyncref.model import Answer, ListRequest, Page, ReadRequest

NASTY_KEYS: Final = (
    *("a b", "a+b", "100%", "100%25", "a#b", "a?b", "a&b<c>", "a//b", "a/../b", "x/", "é", "e\u0301", "\U0001f600"),
    *("~-_.!*'()", "=;:@,$", 'quote"', "back\\slash", "versionId=1", "tab\tline\nend", "\uffee", ".hidden"),
)
"""Keys that some client, server or file system is known to change, refuse or mix up."""


class Place(Protocol):
    """The storage itself, reached by another way than the backend under test.

    Attributes:
        root: What every key of the test starts with; a listing under it finds nothing else.
    """

    root: str

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        """Store or overwrite an object; `encoding` is its Content-Encoding, which changes no byte."""
        ...

    async def delete(self, key: str) -> None:
        """Delete it, as a user would."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the storage can hold and do. What it cannot, the contract skips by name.

    Attributes:
        lacks_keys: Those of `NASTY_KEYS` that it cannot hold.
        file_and_folder: `a` and `a/b` may both be objects.
        versions: The place keeps versions.
        any_marker: A listing may start after a text that is no key, and then misses nothing.
        encodings: Objects have a Content-Encoding.
        listed_sizes: A listing says sizes to the byte.
        etags_of_content: The same bytes put again have the same ETag.
    """

    lacks_keys: frozenset[str] = frozenset()
    file_and_folder: bool = True
    versions: bool = False
    any_marker: bool = True
    encodings: bool = True
    listed_sizes: bool = True
    etags_of_content: bool = True


@dataclass(slots=True)
class Listing:
    """Everything that a listing gave, page by page."""

    pages: list[Page] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Every row by its key; a key that comes twice is an error."""
        rows = [row for page in self.pages for row in page.batch.to_pylist()]
        by_key = {row["key"]: row for row in rows}
        assert len(by_key) == len(rows), "a key was listed twice"
        return by_key

    @property
    def keys(self) -> list[str]:
        """Keys in the order they came."""
        return [key for page in self.pages for key in page.batch.column(0).to_pylist() if key is not None]


async def listed(backend: Backend, request: ListRequest) -> Listing:
    """List as the engine does: follow cursors and folders, check that they advance, stop where the server says so.

    Args:
        backend: Under test.
        request: Its range bounds the listing; rows outside it are the engine's to trim and stay in.
    """
    listing, folders = Listing(), [request.prefix]
    while folders:
        asked = replace(request, prefix=folders.pop())
        while True:
            page = await backend.list_page(asked)
            listing.pages.append(page)
            folders.extend(page.folders)
            past = request.keys.last is not None and page.last is not None and page.last > request.keys.last
            if page.cursor is None or past:
                break
            assert page.cursor != asked.cursor, "the cursor does not advance"
            asked = replace(asked, cursor=page.cursor)
    return listing


async def body_of(backend: Backend, request: ReadRequest) -> tuple[Answer, bytes]:
    """One read, whole."""
    async with backend.read(request) as body:
        return body.answer, b"".join([chunk async for chunk in body.chunks])
