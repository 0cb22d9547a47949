"""What an answer offers, whichever way it came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol

from asyncref.net.wire import Headers

GOOD: Final = frozenset({200, 206})
"""Statuses that bring what was asked for; plain numbers, since `HTTPStatus` hashes each by a call of Python."""
Pour = Callable[[int, int, int], Awaitable[int]]


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

    async def whole(self) -> memoryview | None:
        """The rest of the body where it lies, until the answer is closed; None: `chunk` gives it."""
        ...

    async def read_into(self, view: memoryview) -> int:
        """Fill a view with them, fewer only before the end; how many it took."""
        ...

    @property
    def pour(self) -> Pour | None:
        """Moves them to an open file (its descriptor, an offset, how many), fewer only before the end; None: it cannot be done here."""
        ...

    def close(self) -> None:
        """Leave it. Idempotent."""
        ...


class Held:
    """The end of a context that holds an answer: it is left."""

    __slots__ = ("_response",)

    def __init__(self) -> None:
        self._response: Response | None = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        assert self._response is not None
        self._response.close()
