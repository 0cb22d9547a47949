"""An S3 server on the test's own loop that lists honestly until it is told which page to get wrong, and how."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote
from xml.sax.saxutils import escape

NAME = "crooked"


@dataclass(slots=True)
class Answer:
    """One page before it is sent; a lie changes it.

    Attributes:
        number: Which listing request this is, from 1.
        asked: Its parameters.
        rows: What is listed: (key, version, whether it is the latest).
        following: Token, or key and version markers; None at the end.
        body: Set by `render`.
        status: HTTP status.
        cut: Bytes of the body that are sent; None: all.
        then: What happens behind them: `drop` the connection, or `stall`.
        silent: Not even a header is sent.
    """

    number: int
    asked: dict[str, str]
    rows: list[tuple[str, str, bool]]
    following: tuple[str, str] | None
    url: bool = True
    body: bytes = b""
    status: int = 200
    cut: int | None = None
    then: str = "drop"
    silent: bool = False

    @property
    def versions(self) -> bool:
        """Whether this is a listing of versions."""
        return "versions" in self.asked

    def render(self) -> None:
        """Write the page down."""
        root = "ListVersionsResult" if self.versions else "ListBucketResult"
        show: Callable[[str], str] = (lambda text: quote_plus(text, safe="/")) if self.url else escape
        parts = [f"<{root}>", f"<KeyCount>{len(self.rows)}</KeyCount>" if not self.versions else ""]
        parts.append("<EncodingType>url</EncodingType>" if self.url else "")
        parts.append(f"<IsTruncated>{'true' if self.following else 'false'}</IsTruncated>")
        if self.following and self.versions:
            key, version = self.following
            parts.append(f"<NextKeyMarker>{show(key)}</NextKeyMarker>")
            parts.append(f"<NextVersionIdMarker>{version}</NextVersionIdMarker>")
        elif self.following:
            parts.append(f"<NextContinuationToken>{escape(self.following[0])}</NextContinuationToken>")
        for key, version, latest in self.rows:
            more = (
                f"<VersionId>{version}</VersionId><IsLatest>{str(latest).lower()}</IsLatest>" if self.versions else ""
            )
            kind = "Version" if self.versions else "Contents"
            parts.append(
                f"<{kind}><Key>{show(key)}</Key>{more}<LastModified>2024-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{hash_of(key, version)}&quot;</ETag><Size>1</Size></{kind}>"
            )
        self.body = "".join([*parts, f"</{root}>"]).encode()


def hash_of(key: str, version: str) -> str:
    """The ETag of a row: 32 hex digits."""
    return f"{key}{version}".encode().hex()[:32].ljust(32, "0")


Lie = Callable[[Answer], None]


@dataclass(slots=True)
class Crooked:
    """A running server.

    Attributes:
        keys: Sorted.
        versions: Versions of each key; 0: the bucket never kept any.
        deep: Versions of some keys, where they have others.
        purged: Versions that were removed for good, each as its key and its name.
        page_rows: Most rows a page.
        lie: Called with every page that `lies_at` names, after it was rendered; may render it anew.
        lies_at: Which listing requests, from 1; None: every one.
        starts: Whether a listing can start behind a key; otherwise it starts at its beginning without a word.
        drops: A listing of versions that starts behind a key without a version leaves out the key that comes next.
        requests: What came, by kind.
    """

    keys: list[str]
    versions: int = 0
    page_rows: int = 10
    lie: Lie | None = None
    lies_at: frozenset[int] | None = frozenset()
    starts: bool = True
    drops: bool = False
    deep: dict[str, int] = field(default_factory=dict)
    purged: set[tuple[str, str]] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    endpoint: str = ""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def storage_options(self) -> dict[str, Any]:
        """What a scan needs."""
        return {"endpoint_url": self.endpoint, "key": "k", "secret": "s", "region": "us-east-1"}

    def rows(self) -> list[tuple[str, str, bool]]:
        """Everything there is or was, in order, newest version first."""
        count = self.versions or 1
        found = []
        for key in self.keys:
            names = [f"v{number}" if self.versions else "null" for number in range(self.deep.get(key, count))]
            newest = next((name for name in names if (key, name) not in self.purged), None)
            found += [(key, name, name == newest) for name in names]
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not await self._answer(head.split(b" ", 2)[1].decode(), writer):
                    break
        self._writers.discard(writer)
        writer.close()

    def close(self) -> None:
        """Drop every connection."""
        for writer in self._writers:
            writer.close()

    async def _answer(self, target: str, writer: asyncio.StreamWriter) -> bool:
        asked = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        if "versioning" in asked:
            status = "<Status>Enabled</Status>" if self.versions else ""
            return await _send(writer, 200, f"<VersioningConfiguration>{status}</VersioningConfiguration>".encode())
        self.requests["list"] += 1
        answer = self._page(asked)
        answer.render()
        if self.lie is not None and (self.lies_at is None or answer.number in self.lies_at):
            self.lie(answer)
        if answer.silent:
            await asyncio.Event().wait()
        return await _send(writer, answer.status, answer.body, answer.cut, answer.then)

    def _page(self, asked: dict[str, str]) -> Answer:
        prefix = asked.get("prefix", "")
        rows = [row for row in self.rows() if row[0].startswith(prefix)]
        keys = [row[0] for row in rows]
        if token := asked.get("continuation-token"):
            start = int(unquote(token).removeprefix("row "))
        elif version := asked.get("version-id-marker"):
            marker = asked["key-marker"]
            start = next((at + 1 for at, row in enumerate(rows) if row[:2] == (marker, version)), len(rows))
        else:
            after = asked.get("key-marker") or asked.get("start-after") or ""
            start = bisect_right(keys, after) if self.starts else 0
            if self.drops and asked.get("key-marker") and start < len(keys):
                start = bisect_right(keys, keys[start])
        left = [row for row in rows[start:] if row[:2] not in self.purged]
        shown, following = left[: self.page_rows], None
        if len(shown) < len(left):
            following = shown[-1][:2] if "versions" in asked else (f"row {start + self.page_rows}", "")
        return Answer(self.requests["list"], asked, shown, following)


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, cut: int | None = None, then: str = "drop"
) -> bool:
    """Send an answer; whether the connection may go on."""
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body if cut is None else body[:cut])
    await writer.drain()
    if cut is not None and then == "stall":
        await asyncio.Event().wait()
    return cut is None


@asynccontextmanager
async def crooked_server(keys: list[str], *, versions: int = 0, page_rows: int = 10) -> AsyncIterator[Crooked]:
    """Run one on a free port of 127.0.0.1."""
    crooked = Crooked(sorted(keys), versions, page_rows)
    server = await asyncio.start_server(crooked.serve, "127.0.0.1", 0)
    crooked.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield crooked
    finally:
        server.close()
        crooked.close()
        for task in asyncio.all_tasks():
            if task.get_coro().__qualname__ == Crooked.serve.__qualname__:
                task.cancel()
