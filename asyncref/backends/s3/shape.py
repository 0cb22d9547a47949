"""Where the values of a listing's entries lie in its bytes: offsets by column, every tag verified.

The compiled `asyncref._entries` finds them in a tenth of a millisecond for 1,000 entries. Where it is missing, or gives a
page up, numpy does, in six times that: between two values of an entry stands nothing but tags, the same bytes in every
entry of the same elements. So entries of one kind are a matrix of the offsets of `<`, one row an entry, and one gathered
comparison a run of tags proves that all rows are what the first one is; those that differ are a matrix of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

Offsets = npt.NDArray[np.int64]
_Found = tuple[int, bytes, int, tuple[tuple[bytes | None, bytes | None, int, Any], ...]]

_TAG: Final = re.compile(
    rb"<(?:/(?P<closing>[A-Za-z][A-Za-z0-9]*)[ \t\r\n]*|"
    rb"""(?P<opening>[A-Za-z][A-Za-z0-9]*)(?:[ \t\r\n](?:[^<>"']|"[^<>"]*"|'[^<>']*')*?)?(?P<empty>/?))>"""
)
_LT: Final = ord("<")
MARK: Final = b"<AsyncrefEntries/>"
"""Stands in an envelope where the entries were."""
_ENDS_BYTES: Final = 4096
_MOST_SHAPES: Final = 24  # a page with more kinds of entries than this is left to a real XML parser


class OddPageError(Exception):
    """A page that the column reader does not understand; a real XML parser may."""


class Span:
    """The values of one element.

    Args:
        starts: Where they start; -1 where a row has none.
        ends: Where they end, exclusive.
        ready: The values as the extension converted them, in the form asked for. Most pages need nothing else, and have
            no offsets then.
        rows: How many, where there are no offsets.
    """

    __slots__ = ("_ends", "_rows", "_starts", "ready")

    def __init__(
        self,
        starts: Offsets | bytes | None,
        ends: Offsets | bytes | None,
        ready: Any = None,
        rows: int = 0,
    ) -> None:
        self._starts, self._ends, self.ready, self._rows = starts, ends, ready, rows

    @property
    def starts(self) -> Offsets:
        """Where the values start."""
        assert self._starts is not None
        return np.frombuffer(self._starts, np.int64) if isinstance(self._starts, bytes) else self._starts

    @property
    def ends(self) -> Offsets:
        """Where they end."""
        assert self._ends is not None
        return np.frombuffer(self._ends, np.int64) if isinstance(self._ends, bytes) else self._ends

    def __len__(self) -> int:
        return self._rows or len(self.starts)

    def taken(self, rows: npt.NDArray[np.intp]) -> Span:
        """Some of the rows."""
        return Span(self.starts[rows], self.ends[rows])


@dataclass(frozen=True, slots=True)
class Shape:
    """Where everything lies.

    Attributes:
        rows: Entries of the page.
        kinds: For every row the index of its element's name, as asked for.
        columns: For every element's name its values.
        envelope: What stands before the first and after the last entry, with `MARK` between them if there are any.
        alike: All rows are surely of the first kind, with every flag set.
        is_read: Every value was converted: nobody will look at the bytes again.
    """

    rows: int
    kinds: npt.NDArray[np.int8]
    columns: dict[bytes, Span]
    envelope: bytes
    alike: bool = False
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class _Template:
    """The elements of one entry: tags by the number of their `<` within the entry."""

    values: tuple[tuple[bytes, int, int], ...]  # name, number of the opening `<`, length of the opening tag
    runs: tuple[tuple[int, bytes], ...]  # number of the first `<`, the bytes from there to the next value


def find(body: memoryview | bytes, names: tuple[bytes, ...], wanted: tuple[bytes, ...], forms: bytes) -> Shape:
    """Find every entry and the values directly inside it.

    Args:
        body: The whole page.
        names: What entries are called, such as `Version` and `DeleteMarker`.
        wanted: Elements that there have to be columns of, if any entry has them; there may be others.
        forms: A letter for each, as `_entries.entries` has them: what it may convert them to.

    Raises:
        OddPageError: Comments, CDATA, an element twice in one entry, too many kinds of entries.
    """
    first, end = _extent(body, names)
    if not end:
        return Shape(0, np.empty(0, np.int8), {}, bytes(body))
    envelope = b"".join([body[:first], MARK, body[end:]])
    found = _entries.entries(body, first, end, names, wanted, forms) if _entries is not None else None
    if found is not None:
        return _compiled(found, wanted, envelope)
    body = bytes(body)
    tags = np.flatnonzero(np.frombuffer(body, np.uint8)[first:end] == _LT)
    tags += first
    shape = _by_kind(body, tags, names, end)
    return Shape(shape.rows, shape.kinds, shape.columns, envelope)


def _compiled(found: _Found, wanted: tuple[bytes, ...], envelope: bytes) -> Shape:
    """What the extension found, without the columns that no entry has."""
    rows, kinds, alike, spans = found
    columns = {
        name: Span(starts, ends, ready, rows)
        for name, (starts, ends, filled, ready) in zip(wanted, spans, strict=True)
        if filled
    }
    is_read = all(ready is not None and starts is None for starts, _, filled, ready in spans if filled)
    return Shape(rows, np.frombuffer(kinds, np.int8), columns, envelope, bool(alike), is_read)


def _extent(body: memoryview | bytes, names: tuple[bytes, ...]) -> tuple[int, int]:
    """Where the first entry starts and the last one ends; (0, 0) if there are none.

    Looked for at both ends of the page first, and all through it only where they show none.
    """
    for reach in (_ENDS_BYTES, len(body)):
        head, tail = bytes(body[:reach]), bytes(body[-reach:])
        begins = [at for name in names if (at := head.find(b"<%b>" % name)) >= 0]
        ends = [at + len(name) + 3 for name in names if (at := tail.rfind(b"</%b>" % name)) >= 0]
        if begins and ends:
            break
    if not begins and not ends:
        return 0, 0
    first = min(begins, default=len(body))
    end = len(body) - len(tail) + max(ends) if ends else 0
    if end <= first:
        raise OddPageError("an entry that does not end")
    return first, end


def _by_kind(body: bytes, tags: Offsets, names: tuple[bytes, ...], end: int) -> Shape:
    """One matrix a kind of entries."""
    opening = _openings(body, tags, names)
    if not len(opening) or opening[0] != 0:
        raise OddPageError("the first element is no entry")
    rows = len(opening)
    periods = np.diff(opening, append=len(tags))
    kinds = np.full(rows, -1, np.int8)
    columns: dict[bytes, Span] = {}
    pending = [np.flatnonzero(periods == period) for period in np.unique(periods)]
    for _ in range(_MOST_SHAPES):
        if not pending:
            return Shape(rows, kinds, columns, b"")
        chosen = pending.pop()
        one = int(chosen[0])
        start, period = int(tags[opening[one]]), int(periods[one])
        kind, stop = _entry(body, start, names)
        if stop > (int(tags[opening[one + 1]]) if one + 1 < rows else end):
            raise OddPageError("an entry within an entry")
        template = _template(body[start:stop], period)
        matrix = np.ascontiguousarray(tags[opening[chosen][:, None] + np.arange(period)].T)
        differing = _differing(body, matrix, template)
        if differing is not None:
            pending.append(chosen[differing])
            chosen, matrix = chosen[~differing], matrix[:, ~differing]
        kinds[chosen] = kind
        for name, at, width in template.values:
            nowhere = Span(np.full(rows, -1, np.int64), np.full(rows, -1, np.int64))
            span = columns.setdefault(name, nowhere)
            span.starts[chosen] = matrix[at] + width
            span.ends[chosen] = matrix[at + 1]
    raise OddPageError("too many kinds of entries")


def _openings(body: bytes, tags: Offsets, names: tuple[bytes, ...]) -> Offsets:
    """Which tags open an entry.

    Eight bytes tell the names apart. Where an entry's first element follows at once, only tags with that gap to
    the next one are looked at: a fifth of them.
    """
    gaps = [len(name) + 2 for name in names]
    if int(tags[1] - tags[0]) in gaps:
        between = np.diff(tags)
        chosen = np.flatnonzero(np.logical_or.reduce([between == gap for gap in gaps]))
    else:
        chosen = np.arange(len(tags))
    windows = _windows(body, 8, "<u8")
    words = windows[np.minimum(tags[chosen] + 1, len(windows) - 1)]
    marks = [np.frombuffer((name + b">")[:8].ljust(8, b"\0"), "<u8")[0] for name in names]
    return chosen[np.logical_or.reduce([words == mark for mark in marks])]


def _entry(body: bytes, start: int, names: tuple[bytes, ...]) -> tuple[int, int]:
    """Which kind of entry starts here, and where it ends."""
    for kind, name in enumerate(names):
        if body.startswith(b"<%b>" % name, start):
            stop = body.find(b"</%b>" % name, start)
            if stop >= 0:
                return kind, stop + len(name) + 3
    raise OddPageError("an entry that does not end")


def _template(entry: bytes, period: int) -> _Template:
    tokens = list(_TAG.finditer(entry))
    if len(tokens) != period or tokens[0].start():
        raise OddPageError("something other than elements and text")
    values: list[tuple[bytes, int, int]] = []
    runs: list[tuple[int, bytes]] = []
    open_names: list[bytes] = []
    run = 0
    for at, token in enumerate(tokens):
        name = token["opening"]
        if name is None:
            if not open_names or open_names.pop() != token["closing"]:
                raise OddPageError("tags that do not match")
        elif not token["empty"]:
            if at + 1 < period and tokens[at + 1]["closing"] == name:
                runs.append((run, entry[tokens[run].start() : token.end()]))
                run = at + 1
                if len(open_names) == 1:
                    values.append((name, at, len(token[0])))
            open_names.append(name)
    runs.append((run, entry[tokens[run].start() :]))
    if open_names or len({name for name, _, _ in values}) != len(values):
        raise OddPageError("an element twice, or never closed")
    return _Template(tuple(values), tuple(runs))


def _differing(body: bytes, matrix: Offsets, template: _Template) -> npt.NDArray[np.bool_] | None:
    """Rows whose tags are not the template's; None if there are none."""
    rows = matrix.shape[1]
    differing: npt.NDArray[np.bool_] | None = None
    for at, run in template.runs:
        starts = matrix[at]
        windows = _windows(body, len(run))
        got = windows[np.minimum(starts, len(windows) - 1)]
        if got.tobytes() == _repeated(run, rows):
            continue
        odd = (got.view(np.uint8).reshape(rows, len(run)) != np.frombuffer(run, np.uint8)).any(axis=1)
        differing = odd if differing is None else differing | odd
    return differing


@lru_cache(maxsize=128)
def _repeated(run: bytes, rows: int) -> bytes:
    """Kept: pages of one bucket have the same tags, and most the same number of rows. At most about 10 MB in all."""
    return run * rows


def _windows(body: bytes, width: int, dtype: str = "") -> npt.NDArray[Any]:
    """Every run of `width` bytes of the body as one item; nothing is copied until it is indexed."""
    return np.ndarray((len(body) - width + 1,), dtype or f"V{width}", body, 0, (1,))


def gather(body: bytes, starts: Offsets, width: int) -> bytes:
    """The `width` bytes at every start, one after the other. A start too near the end gives what lies before it."""
    windows = _windows(body, width)
    return windows[np.minimum(starts, len(windows) - 1)].tobytes()
