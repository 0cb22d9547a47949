"""A file of rows that wait: batches appended as messages, and read again where they lie. Everything here blocks."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final

import pyarrow as pa

from asyncref.engine.scan.ledger import Block, Span
from asyncref.engine.scan.messages import Piece, packed, unpacked
from asyncref.errors import ManifestError

sync: Final = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


@dataclass(frozen=True, slots=True)
class Place:
    """One batch in a file.

    Attributes:
        ends: Its first and last path, where they are known without a look at it.
    """

    file: FileIO
    offset: int
    length: int
    ends: tuple[str, str] | None = None

    def read(self) -> pa.RecordBatch:
        """The batch.

        Raises:
            ManifestError: The file is damaged, or cannot be read.
        """
        try:
            return unpacked(_read_at(self.file, self.offset, self.length))
        except (OSError, pa.ArrowInvalid) as error:
            raise ManifestError(f"what was set aside cannot be read: {error}", uri=str(self.file.name)) from error


@dataclass(slots=True)
class Shelf:
    """The files of one folder, of which the last is this run's own and made when the first batch comes.

    Args:
        folder: Must exist and be the caller's own.
        is_checked: A checksum is kept of what is written.
    """

    folder: Path
    is_checked: bool = False
    end: int = 0
    _check: int = 0
    _started: int = 0
    _file: FileIO | None = None
    _files: list[FileIO] = field(default_factory=list)

    def open(self, blocks: Sequence[Block]) -> Mapping[str, FileIO]:
        """The files of an earlier run's blocks, by name.

        Raises:
            OSError: One cannot be opened.
        """
        files = {name: FileIO(self.folder / name) for name in sorted({block.file for block in blocks if block.rows})}
        self._files += files.values()
        return files

    def start(self) -> str:
        """Begin a span, whose end `span` states; the name of the file that it lies in."""
        if self._file is None:
            number = len(list(self.folder.glob("rows-*")))
            self._file = FileIO(self.folder / f"rows-{number:03d}.arrow", "x+")
            self._files.append(self._file)
        self._started, self._check = self.end, 0
        return Path(str(self._file.name)).name

    def add(self, batches: Sequence[pa.RecordBatch]) -> Place:
        """Append batches to the span, as one.

        Args:
            batches: Rows that follow each other, one at least in each.

        Raises:
            OSError: The disk is full, or whatever else it says. What was written of it is written over by the next.
        """
        assert self._file is not None
        pieces = packed(batches)
        _write_at(self._file, self.end, pieces)  # and not where a write that failed has left the file's own position
        if self.is_checked:
            for piece in pieces:
                self._check = zlib.crc32(piece, self._check)
        place = Place(self._file, self.end, sum(map(len, pieces)), (ends_of(batches[0])[0], ends_of(batches[-1])[1]))
        self.end += place.length
        return place

    def span(self) -> Span:
        """What was written since `start`, durable from here on.

        Raises:
            OSError: It cannot be made so.
        """
        assert self._file is not None
        sync(self._file.fileno())
        return Span(Path(str(self._file.name)).name, self._started, self.end - self._started, self._check)

    def clear(self) -> None:
        """Forget what this run wrote."""
        if self._file is not None:
            self._file.truncate(0)
            self.end = 0

    def close(self) -> None:
        """Close the files; no place can be read any more."""
        for file in self._files:
            file.close()


def ends_of(batch: pa.RecordBatch) -> tuple[str, str]:
    """The first and the last path of a batch that has rows."""
    paths = batch.column(0)
    return paths[0].as_py(), paths[-1].as_py()


def places(files: Mapping[str, FileIO], block: Block) -> Iterator[Place]:
    """Where an earlier run's block has its batches."""
    offset = block.offset
    for length in block.lengths:
        yield Place(files[block.file], offset, length)
        offset += length


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: The disk is full, or whatever else it says.
    """
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]


def _read_at(file: FileIO, offset: int, length: int) -> pa.Buffer:
    """The bytes that are there: fewer where the file ends."""
    if not hasattr(os, "preadv"):  # macOS
        return pa.py_buffer(os.pread(file.fileno(), length, offset))
    raw = pa.allocate_buffer(length)  # Arrow's memory is used again; Python's comes cleared from the system
    return raw.slice(0, os.preadv(file.fileno(), [raw], offset))


def _write_at(file: FileIO, offset: int, pieces: Sequence[Piece]) -> None:
    """Write all of them there, one behind the other; raises as `write_whole` does."""
    done = os.pwritev(file.fileno(), pieces, offset) if hasattr(os, "pwritev") else 0
    if done == sum(map(len, pieces)):
        return
    view = memoryview(b"".join(pieces))
    while done < len(view):
        written = os.pwrite(file.fileno(), view[done:], offset + done)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += written
