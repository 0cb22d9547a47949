"""What an answer offers, whichever way it came."""

from __future__ import annotations

from typing import Protocol

from asyncref.net.wire import Headers


class Response(Protocol):
    """An answer: its body is to come. See `wire.Response`."""

    @property
    def status(self) -> int:
        """Of three digits."""
        ...

    @property
    def headers(self) -> Headers:
        """In any case."""
        ...

    async def chunk(self, least: int = ...) -> bytes:
        """The next bytes of the body; empty at its end."""
        ...

    async def read_into(self, view: memoryview) -> int:
        """Fill a view with them, fewer only before the end; how many it took."""
        ...

    def close(self) -> None:
        """Leave it. Idempotent."""
        ...
