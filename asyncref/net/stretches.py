"""Which bytes of an object an answer to a GET brings, by its status and headers, and whether all of them came."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from asyncref.errors import BrokenBodyError, ProtocolError
from asyncref.model import Answer

_MOST_DIGITS: Final = 19  # of any size that there is; Python raises ValueError for some thousands of them
_NUMBER: Final = rf"[0-9]{{1,{_MOST_DIGITS}}}"
_RANGE: Final = re.compile(rf"bytes ({_NUMBER})-({_NUMBER})/({_NUMBER}|\*)")  # RFC 9110, 14.4


class Stretch(NamedTuple):
    """Bytes `start <= offset < stop` of an object.

    Attributes:
        start: Of the first.
        stop: Behind the last; None: until the answer ends.
        total: The object's size; None where the answer does not say.
    """

    start: int
    stop: int | None
    total: int | None


def stretch_of(status: int, headers: Mapping[str, str], *, uri: str, request_id: str | None = None) -> Stretch:
    """What a good answer says of itself.

    Raises:
        ProtocolError: A part whose range is not said, or is of another length than the part.
    """
    length = length_of(headers)
    if status != HTTPStatus.PARTIAL_CONTENT:
        return Stretch(0, length, length)
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        raise ProtocolError("a part without its range", uri=uri, request_id=request_id)
    start, stop = int(found[1]), int(found[2]) + 1
    if length is not None and length != stop - start:
        raise ProtocolError("a part of another length than its range", uri=uri, request_id=request_id)
    return Stretch(start, stop, None if found[3] == "*" else int(found[3]))


def length_of(headers: Mapping[str, str]) -> int | None:
    """Content-Length; None if it is missing, or no number."""
    said = headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) <= _MOST_DIGITS else None


async def counted(chunks: AsyncIterator[bytes], answer: Answer, *, uri: str) -> AsyncIterator[bytes]:
    """The same bytes.

    Raises:
        BrokenBodyError: They end before the announced length, or behind it.
    """
    left = None if answer.stop is None else answer.stop - answer.start
    async for chunk in chunks:
        if left is not None:
            left -= len(chunk)
        yield chunk
    if left:
        raise BrokenBodyError(f"{left} bytes are missing", uri=uri, request_id=answer.request_id)
