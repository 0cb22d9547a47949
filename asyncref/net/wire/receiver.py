"""One answer as it comes: its head, then its body in one bounded buffer, or straight in the caller's. Pure.

    buffer   [ head | body not yet taken      | room ]
                    ^ _start                  ^ _stop

Whatever the cuts between reads, the same bytes give the same answer.
"""

from __future__ import annotations

from typing import Final

from asyncref.net.wire.chunked import Chunked
from asyncref.net.wire.faults import MalformedError
from asyncref.net.wire.head import HEAD_BYTES, Ends, Head, parse_head

_WINDOW: Final = 4096
_MOST_INTERIM: Final = 16
_ORDINARY: Final = 200
_SWITCHING: Final = 101
_SIGN: Final = b"HTTP/1."
_SHOWN: Final = 40


class Receiver:
    """Takes the bytes of one answer.

    Args:
        buffer: Lent by the connection; at least twice `HEAD_BYTES`. It bounds what waits for a slow reader.
        bodyless: Whether a HEAD is answered.

    Attributes:
        buffer: The same.
        head: None until it is there.
        is_complete: The body has ended; what is left of it lies here.
        has_extra: Bytes came behind its end: the connection cannot be trusted any more.
        has_landed: The target of `aim` is full and more is to come. What is read before the next `aim` would be copied:
            up to a third of a large body, 8% of its cost.
    """

    __slots__ = (
        "_bodyless", "_chunked", "_enough", "_filled", "_interim", "_left", "_scanned", "_start", "_stop",
        "_target", "buffer", "has_extra", "has_landed", "head", "is_complete",
    )  # fmt: skip

    def __init__(self, buffer: memoryview, *, bodyless: bool) -> None:
        self.buffer = buffer
        self.head: Head | None = None
        self.is_complete = False
        self.has_extra = False
        self.has_landed = False
        self._bodyless = bodyless
        self._chunked: Chunked | None = None
        self._start = self._stop = self._scanned = 0
        self._interim = 0
        self._left: int | None = None  # of the announced length; None: another end
        self._enough = 0
        self._target: memoryview | None = None
        self._filled = 0

    @property
    def waiting(self) -> int:
        """Bytes of the body that lie here."""
        return self._stop - self._start if self.head is not None else 0

    @property
    def is_untouched(self) -> bool:
        """Whether not one byte came."""
        return not self._stop and self.head is None

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be read until some is taken."""
        return self._target is None and self._stop == len(self.buffer)

    @property
    def missing(self) -> str:
        """What an end of the connection now would cut off; for an error."""
        if self.head is None:
            return "within the head"
        if self._left is not None:
            return f"{self._left:,} of {self.head.length:,} bytes are missing"
        return "its last chunk is missing"

    def want(self, least: int) -> bool:
        """Whether `least` bytes lie here, or the rest; else `received` will tell when they do.

        What fits in the buffer is wanted to its end: a body of a few hundred KiB is worth one wake-up, not five.
        """
        self.has_landed = False
        room = len(self.buffer) - self._start
        fits = self._left is not None and self._left + self.waiting <= room
        self._enough = room + 1 if fits else min(least, room)
        return self.is_complete or self.waiting >= self._enough

    def aim(self, target: memoryview) -> None:
        """Let the next bytes of an announced length go straight to `target`, as far as it and they reach."""
        assert self._left is not None
        assert self._start == self._stop
        self._start = self._stop = 0
        self._target, self._filled = target[: self._left], 0
        self.has_landed = False

    def disarm(self) -> int:
        """End `aim`; how many bytes came."""
        self._target = None
        return self._filled

    def take(self) -> bytes:
        """All that lies here."""
        data = self.buffer[self._start : self._stop].tobytes()
        self._start = self._stop = 0
        return data

    def take_into(self, view: memoryview) -> int:
        """As much of it as fits; how many bytes that were."""
        count = min(len(view), self.waiting)
        view[:count] = self.buffer[self._start : self._start + count]
        self._start += count
        if self._start == self._stop:
            self._start = self._stop = 0
        return count

    def lying(self, most: int) -> memoryview:
        """At most so many bytes of what lies here; they stay until `poured`."""
        return self.buffer[self._start : min(self._stop, self._start + most)]

    def coming(self) -> int:
        """How many bytes of an announced length have not come yet."""
        return self._left or 0

    def poured(self, count: int) -> None:
        """Note that so many bytes went elsewhere: first those that lay here, then some that came by another way."""
        lay = min(count, self.waiting)
        self._start += lay
        if self._start == self._stop:
            self._start = self._stop = 0
        if count > lay:
            assert self._left is not None
            self._left -= count - lay
            self.is_complete = not self._left

    @property
    def can_aim(self) -> bool:
        """Whether `aim` may be used."""
        return self._left is not None and self._start == self._stop and not self.is_complete

    def space(self) -> memoryview:
        """Where the next bytes go; never empty unless `is_full`."""
        target = self._target
        return self.buffer[self._stop :] if target is None else target[self._filled :]

    def received(self, count: int) -> bool:
        """Note that `count` bytes came to the last `space`; whether what is waited for is here.

        Raises:
            MalformedError: This is no answer, or its body has no certain end.
        """
        target = self._target
        if target is not None:
            return self._received_there(target, count)
        fresh = self._stop
        self._stop += count
        if self.head is None:
            if not self._find_head():
                return False
            fresh = self._start
            self._frame(fresh)
            return self.want(0)
        self._frame(fresh)
        return self.is_complete or self._stop - self._start >= self._enough

    def _received_there(self, target: memoryview, count: int) -> bool:
        assert self._left is not None
        self._filled += count
        self._left -= count
        self.is_complete = not self._left
        if self._filled < len(target):
            return False
        self._target = None  # more may come before anyone wakes
        self.has_landed = not self.is_complete
        return True

    def ended(self) -> None:
        """Note that the connection was closed in order."""
        if self.head is not None and self.head.ends is Ends.CLOSE:
            self.is_complete = True

    def _frame(self, fresh: int) -> None:
        """Tell the body from what came at `fresh`."""
        extra = 0
        if self.is_complete:
            extra, self._stop = self._stop - fresh, fresh
        elif self._left is not None:
            extra = max(0, self._stop - fresh - self._left)
            self._stop -= extra
            self._left -= self._stop - fresh
            self.is_complete = not self._left
        elif self._chunked is not None:
            self._stop, extra = self._chunked.decode(self.buffer, fresh, self._stop)
            self.is_complete = self._chunked.is_complete
        self.has_extra = self.has_extra or extra > 0

    def _find_head(self) -> bool:
        while (end := self._find_end()) >= 0:
            head = parse_head(self.buffer[self._start : end].tobytes(), bodyless=self._bodyless)
            self._start = end + 4
            if head.status >= _ORDINARY:
                self.head = head
                self._left = head.length if head.ends is Ends.LENGTH else None
                self._chunked = Chunked() if head.ends is Ends.CHUNKS else None
                return True
            self._interim += 1
            if head.status == _SWITCHING or self._interim > _MOST_INTERIM:
                raise MalformedError(f"an answer of status {head.status} that nobody asked for")
            self._close_gap()
        return False

    def _close_gap(self) -> None:
        """Move what follows an interim answer to the front: the head's bound holds for each."""
        rest = self._stop - self._start
        self.buffer[:rest] = self.buffer[self._start : self._stop]
        self._start = self._scanned = 0
        self._stop = rest

    def _find_end(self) -> int:
        """Where the empty line behind the head begins; -1: not yet."""
        while self._scanned < self._stop:
            window = self.buffer[self._scanned : min(self._stop, self._scanned + _WINDOW)].tobytes()
            if not self._scanned and not window.startswith(_SIGN[: len(window)]):
                raise MalformedError(f"it begins with {window[:_SHOWN]!r}")
            found = window.find(b"\r\n\r\n")
            if found >= 0 and self._scanned + found <= HEAD_BYTES:
                return self._scanned + found
            if b"\n\n" in window:  # never an end for us, so do not wait for one
                raise MalformedError("a head whose lines end without a carriage return")
            self._scanned += max(0, len(window) - 3)  # the mark may begin in the last three
            if len(window) < _WINDOW:
                break
        if self._stop >= HEAD_BYTES + 4:
            raise MalformedError(f"a head of more than {HEAD_BYTES:,} bytes")
        return -1
