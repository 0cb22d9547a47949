"""Chunked bodies, decoded in place: what comes is moved down over the sizes between. Pure."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from asyncref.net.wire.faults import MalformedError

_LINE_BYTES: Final = 4096
_TRAILER_BYTES: Final = 2**14
_WINDOW: Final = 64  # a line is mostly shorter
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_SHOWN: Final = 40


class _Expects(Enum):
    SIZE = auto()
    BREAK = auto()
    TRAILER = auto()
    NOTHING = auto()


class Chunked:
    """The state of one body between reads; it keeps no payload."""

    __slots__ = ("_expects", "_left", "_line", "_trailer_bytes")

    def __init__(self) -> None:
        self._expects = _Expects.SIZE
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether the body has ended, trailers and all."""
        return self._expects is _Expects.NOTHING

    def decode(self, buffer: memoryview, start: int, stop: int) -> tuple[int, int]:
        """Turn what came into payload, from `start` on.

        Args:
            buffer: Holds it.
            start: Where it begins.
            stop: Where it ends.

        Returns:
            Where the payload ends, and how many bytes came behind the body's end.

        Raises:
            MalformedError: A size, a line end or the trailers are not as they should be.
        """
        out = at = start
        while at < stop and self._expects is not _Expects.NOTHING:
            if not self._left:
                at = self._read_line(buffer, at, stop)
                continue
            count = min(self._left, stop - at)
            buffer[out : out + count] = buffer[at : at + count]  # overlapping is as memmove has it
            out += count
            at += count
            self._left -= count
        return out, stop - at

    def _read_line(self, buffer: memoryview, at: int, stop: int) -> int:
        piece = buffer[at : min(stop, at + _WINDOW)].tobytes()
        end = piece.find(b"\n") + 1
        self._line += piece[:end] if end else piece
        if len(self._line) > _LINE_BYTES:
            raise MalformedError("a line of a chunked body is too long")
        if not end:
            return at + len(piece)
        line, self._line = self._line, b""
        self._take(line)
        return at + end

    def _take(self, line: bytes) -> None:
        if self._expects is _Expects.SIZE:
            found = _SIZE.fullmatch(line)
            if found is None:
                raise MalformedError(f"a chunk's size {line[:_SHOWN]!r}")
            self._left = int(found[1], 16)
            self._expects = _Expects.BREAK if self._left else _Expects.TRAILER
        elif self._expects is _Expects.BREAK:
            if line != b"\r\n":
                raise MalformedError(f"a chunk ends with {line[:_SHOWN]!r}")
            self._expects = _Expects.SIZE
        elif line == b"\r\n":
            self._expects = _Expects.NOTHING
        else:
            self._trailer_bytes += len(line)
            if not line.endswith(b"\r\n") or self._trailer_bytes > _TRAILER_BYTES:
                raise MalformedError("trailers without an end")
