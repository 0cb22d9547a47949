"""Which parts of a large object lie in its temporary, noted beside it, so that a killed fetch goes on there.

    .asyncref-MARK.part      the temporary
    .asyncref-MARK.journal   32 bytes: what is fetched, in which parts, into which inode, since which start of this machine
                             then 8 bytes a finished part: its number, and a check of both, little-endian

A part is noted after its bytes were written, without forcing either to the disk: a killed process loses neither. A power
cut may, and then the machine's start is another one, so the journal is void. A journal is removed before its temporary
is emptied, renamed or removed, so one that lies there is never about bytes that lay there before. Blocking calls only.
"""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from asyncref.engine.fetch.disk import machine_start
from asyncref.engine.fetch.plan import Part, Parts
from asyncref.model import Pin

_RECORD: Final = struct.Struct("<II")
_HEAD_BYTES: Final = 32


class Journal:
    """The journal of one temporary, which its holder has locked.

    Args:
        path: Its file.
        ref: The object's reference.
        pin: Of its bytes.
        parts: As it is cut.
        inode: Of the temporary.

    Attributes:
        done: Numbers of the parts that lie there.
    """

    def __init__(self, path: str, ref: str, pin: Pin, parts: Parts, *, inode: int) -> None:
        self.path = path
        self.done: set[int] = set()
        self._parts = parts
        self._head = _head(ref, pin, parts, inode)
        self._fd = -1

    def load(self) -> bool:
        """Read what an earlier run noted; False if there is nothing, or it is about something else."""
        try:
            data = Path(self.path).read_bytes()
        except FileNotFoundError:
            return False
        if data[:_HEAD_BYTES] != self._head:
            return False
        body = data[_HEAD_BYTES:]
        for number, check in _RECORD.iter_unpack(body[: len(body) // _RECORD.size * _RECORD.size]):
            if check == self._check(number) and number < len(self._parts):
                self.done.add(number)
        return True

    def has(self, part: Part) -> bool:
        """Whether a part lies there."""
        return bool(self.done) and part.start // self._parts.step_bytes in self.done

    def note(self, part: Part) -> None:
        """Note a part whose bytes were written."""
        number = part.start // self._parts.step_bytes
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            if not self.done:
                flags |= os.O_TRUNC
            self._fd = os.open(self.path, flags, 0o666)
            if not self.done:
                os.write(self._fd, self._head)
            else:
                held = os.fstat(self._fd).st_size
                os.ftruncate(self._fd, held - (held - _HEAD_BYTES) % _RECORD.size)  # of a record that was cut
        os.write(self._fd, _RECORD.pack(number, self._check(number)))
        self.done.add(number)

    def forget(self) -> None:
        """Remove it: nothing that lies there counts any more. Idempotent."""
        self.close()
        self.done.clear()
        forget(self.path)

    def close(self) -> None:
        """Close it; it stays. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self, number: int) -> int:
        return crc32(number.to_bytes(4, "little"), crc32(self._head))


def journal_beside(temporary: str) -> str:
    """The journal's path."""
    return temporary.removesuffix(".part") + ".journal"


def forget(path: str) -> None:
    """Remove a journal; nothing if there is none."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  beside its temporary, whose path is text too


def _head(ref: str, pin: Pin, parts: Parts, inode: int) -> bytes:
    fields = (ref, pin.size, pin.etag, pin.version, pin.checksum, parts.step_bytes, inode, machine_start())
    return hashlib.sha256(repr(fields).encode("utf-8", "surrogatepass")).digest()
