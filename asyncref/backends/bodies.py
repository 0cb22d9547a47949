"""The body of an HTTP answer, in every way in which its connection can give it."""

from __future__ import annotations

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
    pour = response.pour
    return Body(
        answer,
        counted(pool.chunks(response, url=url, uri=uri), answer, uri=uri),
        partial(pool.read_into, response, url=url, uri=uri),
        partial(pool.pour, pour, url=url, uri=uri) if pour is not None else None,
    )
