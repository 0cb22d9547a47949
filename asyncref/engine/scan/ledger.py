"""What of a listing is safe on disk: which ranges of keys are covered, kept as lines that survive a cut at any byte.

A *block* is a range of keys whose rows all lie in one place of a spool file, and nothing else does. Blocks of one
listing never overlap, so what is left to list is what no block covers (`remaining`): nothing has to be known of
the workers that made them. Every flush adds one line, after the rows that it speaks of are durable; a line that
is torn, or was damaged, fails its checksum and is as if it had never been written. So is one whose rows do.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import orjson
import pyarrow as pa

from asyncref.engine.flow import Tally
from asyncref.model import KeyRange, Page

FORMAT: Final = "asyncref.ledger/5"
_CHECK_BYTES: Final = 9  # eight hex digits and a space before each line


@dataclass(slots=True)
class Covered:
    """What one page settles of the range that is being listed.

    Attributes:
        keys: All rows of these keys have come: `after` is where the former page's ended.
        first: The first key kept of them; None if none was.
        beyond: The first key behind the range, if this page ends it and has one (see `seams`).
        skipped: Rows of them that were left out, by reason.
        size: Bytes of the objects that were not.
        listed: What became of the rows of its page, and of pages before it that settled nothing.
    """

    keys: KeyRange
    first: str | None = None
    beyond: str | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    listed: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Coverage:
    """How far one range is settled, page by page. Pure.

    Args:
        position: Every key up to here is settled; at first the range's exclusive lower end.
        repeats: A key may go on behind the page on which it stands (listings of versions).
    """

    position: str | None
    repeats: bool

    def saw(
        self, page: Page, kept: pa.RecordBatch, *, last: str | None, ended: bool, beyond: str | None = None
    ) -> Covered | None:
        """Take in a page.

        Args:
            page: As the server sent it.
            kept: Its rows within the range.
            last: The range's upper end as it is now.
            ended: The range was listed to that end.
            beyond: The first key behind it, if known.

        Returns:
            What it settles; None if that is nothing. Its keys hold every row of `kept`.
        """
        to = last if ended else self._settled(page)
        if not ended and (to is None or (self.position is not None and to <= self.position)):
            return None
        covered = Covered(KeyRange(self.position, to), kept.column(0)[0].as_py() if kept.num_rows else None, beyond)
        self.position = to
        return covered

    def _settled(self, page: Page) -> str | None:
        """The last key that needs no further page.

        A key whose versions may go on is settled if its row has come, else it is not: the key before it is.
        """
        if not self.repeats or page.last is None:
            return page.last
        row: str | None = page.batch.column(0)[-1].as_py() if page.batch.num_rows else None
        if row == page.last:
            return row
        return max((key for key in (row, page.first) if key is not None and key < page.last), default=None)


@dataclass(frozen=True, slots=True)
class Block:
    """A range of keys, and where its rows lie.

    Attributes:
        keys: The range.
        first: The first key kept of it, before any filter; None if there is none.
        beyond: The first key behind it, where a worker's range ended here and such a key was seen.
        file: Name of a spool file.
        offset: Bytes before its batches, which follow each other.
        lengths: Bytes of each batch; none if there are no rows.
        rows: How many rows they hold.
    """

    keys: KeyRange
    first: str | None
    beyond: str | None
    file: str
    offset: int
    lengths: tuple[int, ...]
    rows: int

    @property
    def stop(self) -> int:
        """Bytes of the file up to the end of its batches."""
        return self.offset + sum(self.lengths)

    def to_json(self) -> list[Any]:
        """As a list, in the order of the fields."""
        keys = self.keys
        return [keys.after, keys.last, self.first, self.beyond, self.file, self.offset, self.lengths, self.rows]

    @classmethod
    def from_json(cls, values: Sequence[Any]) -> Self:
        """The opposite of `to_json`."""
        after, last, first, beyond, file, offset, lengths, rows = values
        return cls(KeyRange(after, last), first, beyond, file, offset, tuple(lengths), rows)


@dataclass(frozen=True, slots=True)
class Span:
    """Where one flush's rows lie, and what they add up to.

    Attributes:
        file: Name of a spool file.
        offset: Bytes before them.
        length: Their bytes.
        check: Their CRC-32.
    """

    file: str
    offset: int
    length: int
    check: int

    def to_json(self) -> list[Any]:
        """As a list, in the order of the fields."""
        return [self.file, self.offset, self.length, self.check]


@dataclass(slots=True)
class Ledger:
    """What an interrupted scan left behind.

    Attributes:
        request: What was asked for; another request must not use it.
        started: When its first run began, UTC.
        resumes: How often it was continued.
        blocks: Its blocks, in the order in which they were written.
        skipped: Rows left out, by reason.
        requests: Requests sent, by kind.
        size: Bytes of the objects listed.
        listed: What became of every row.
        damaged: Lines whose rows are not what was written, and count for nothing.
        text: If there are any: the ledger without them.
    """

    request: dict[str, Any]
    started: datetime
    resumes: int = 0
    blocks: list[Block] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    size: int = 0
    listed: Tally = field(default_factory=Tally)
    damaged: int = 0
    text: bytes = b""

    @classmethod
    def load(cls, text: bytes, holds: Callable[[Span], bool] = lambda _: True) -> Self | None:
        """Read the lines that are whole; None if the first one is not, or of another format.

        Args:
            text: The ledger.
            holds: Whether rows are what was written; a line whose rows are not counts for nothing.
        """
        lines = [(raw, values) for raw in text.split(b"\n") if (values := _parsed(raw)) is not None]
        if not lines or lines[0][1].get("format") != FORMAT:
            return None
        first = lines[0][1]
        ledger = cls(first["request"], datetime.fromisoformat(first["started"]))
        for index, (_, value) in enumerate(lines[1:], 1):
            if "rows" in value and not holds(Span(*value["rows"])):
                ledger.damaged += 1
                value = {"requests": value["requests"]}  # noqa: PLW2901  they were sent all the same
                lines[index] = line(value).strip(), value
            ledger.resumes += value.get("resumed", 0)
            ledger.blocks += map(Block.from_json, value.get("blocks", ()))
            ledger.skipped.update(value.get("skipped", {}))
            ledger.requests.update(value.get("requests", {}))
            ledger.size += value.get("size", 0)
            ledger.listed.add(Tally(**value.get("listed", {})))
        if ledger.damaged:
            ledger.text = b"".join(b"\n%s\n" % raw for raw, _ in lines)
        return ledger


def header(request: Mapping[str, Any], started: datetime) -> bytes:
    """A ledger's first line."""
    return line({"format": FORMAT, "request": request, "started": started.isoformat()})


def line(values: Mapping[str, Any]) -> bytes:
    """One line, with its checksum and an end on both sides, so that it stands behind a torn one."""
    text = orjson.dumps(values)
    return b"\n%08x %s\n" % (zlib.crc32(text), text)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    text = raw[_CHECK_BYTES:]
    if not text or raw[:_CHECK_BYTES] != b"%08x " % zlib.crc32(text):
        return None
    return dict(orjson.loads(text))


def remaining(covered: Iterable[KeyRange]) -> list[KeyRange]:
    """The ranges of keys, ascending, that none of those covers; empty if nothing is left to list. Pure."""
    left: list[KeyRange] = []
    reached: str | None = None  # everything up to here is covered
    for keys in sorted(covered, key=_lower_end):
        if keys.after is not None and (reached is None or keys.after > reached):
            left.append(KeyRange(reached, keys.after))
        if keys.last is None:
            return left
        reached = keys.last if reached is None else max(reached, keys.last)
    left.append(KeyRange(reached, None))
    return left


def chains(blocks: Iterable[Block]) -> list[list[Block]]:
    """Blocks in ascending order, those that follow each other without a gap or a worker's end between them together."""
    found: list[list[Block]] = []
    for block in sorted(blocks, key=lambda block: _lower_end(block.keys)):
        before = found[-1][-1] if found else None
        if before is not None and before.beyond is None and before.keys.last == block.keys.after is not None:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def _lower_end(keys: KeyRange) -> str:
    return keys.after or ""
