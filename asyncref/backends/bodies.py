"""The body of an HTTP answer, in every way in which its connection can give it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from functools import partial

from asyncref.backends.base import Body
from asyncref.model import Answer
from asyncref.net.http import HttpPool
from asyncref.net.response import Response
from asyncref.net.stretches import counted


def body_of(pool: HttpPool, response: Response, answer: Answer, *, url: str, uri: str) -> Body:
    """The body that an answer announces.

    Args:
        pool: Whose answer it is.
        response: It; nothing of its body was taken.
        answer: What it says of itself.
        url: What was asked for.
        uri: Whom it is for; for errors.
    """
    ways = _Ways(pool, response, answer, url, uri)
    pour = response.pour
    return Body(answer, ways, ways.receive, partial(pool.pour, pour, url=url, uri=uri) if pour is not None else None)


class _Ways:
    """The ways that every answer offers; generators are made when one is wanted, since two cost a small body 8 µs."""

    __slots__ = ("_answer", "_pool", "_response", "_uri", "_url")

    def __init__(self, pool: HttpPool, response: Response, answer: Answer, url: str, uri: str) -> None:
        self._pool = pool
        self._response = response
        self._answer = answer
        self._url = url
        self._uri = uri

    def __aiter__(self) -> AsyncIterator[bytes]:
        return counted(self._pool.chunks(self._response, url=self._url, uri=self._uri), self._answer, uri=self._uri)

    def receive(self, view: memoryview) -> Awaitable[int]:
        """See `HttpPool.read_into`."""
        return self._pool.read_into(self._response, view, url=self._url, uri=self._uri)
