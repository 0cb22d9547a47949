"""Where the values of a listing's items lie in its bytes: offsets by field, every byte between them verified.

Without a backslash every quote of a JSON text opens or closes a string. So the items of a page whose values are all
strings (the JSON API writes 64-bit numbers as strings) are a matrix of the offsets of quotes, one row an item, and one
gathered comparison a field proves that all rows are what the first one is. No Python object is made an
item: of a page of 1,000 that takes a third of the time of orjson's dicts, and leaves nothing for the garbage collector.

The compiled `asyncref._entries` does the same row by row, in a third of that again; numpy where it is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

Offsets = npt.NDArray[np.int64]
Span = tuple[Offsets, Offsets]

_QUOTE: Final = ord('"')
_ITEMS: Final = b'"items":'
_MOST_STRINGS: Final = 64  # of one item: more is no listing of ours
_TWO_ITEMS: Final = 1 << 13  # bytes; a name has 1,024 at most
_WIDE: Final = 4  # of `_entries.texts`: a byte beyond ASCII


@dataclass(frozen=True, slots=True)
class Spans:
    """Where everything lies.

    Attributes:
        rows: Items of the page.
        fields: For every field of an item where its values start and end, exclusive.
        envelope: What stands around the items, read; `items` is an empty list.
    """

    rows: int
    fields: dict[bytes, Span]
    envelope: dict[str, Any]


def find(body: bytes) -> Spans | None:
    """Find every value of every item; None where the page has to be read as JSON: its items are not all alike."""
    at = body.find(_ITEMS)
    if at < 0 or b"\\" in body:
        return None
    start, stop = body.find(b"[", at) + 1, body.rfind(b"]")
    if not 0 < start < stop:
        return None
    try:
        envelope = orjson.loads(body[:start] + body[stop:])
    except orjson.JSONDecodeError:
        return None
    if not isinstance(envelope, dict) or envelope.get("items") != []:
        return None
    fields = _compiled(body, start, stop) if _entries is not None else _matrix(body, start, stop)
    return Spans(len(next(iter(fields.values()))[0]), fields, envelope) if fields else None


def _compiled(body: bytes, start: int, stop: int) -> dict[bytes, Span]:
    """The fields of all items, by the extension; none if the items are not all alike."""
    quotes = _quotes(body, start, min(stop, start + _TWO_ITEMS))[: 2 * _MOST_STRINGS + 3].tolist()
    names = _names(body, quotes, start)
    if not names or len(set(names)) < len(names):
        return {}
    first, strings = quotes[0], 4 * len(names)
    runs = [body[first : quotes[2] + 1]]
    runs += [body[quotes[place - 1] : quotes[place + 2] + 1] for place in range(4, strings, 4)]
    runs.append(body[quotes[strings - 1] : quotes[strings + 2] + 1] if len(quotes) > strings + 2 else b"")
    if runs[-1] and not _joins(runs[-1], runs[0]):
        return {}
    found = _entries.items(body, first, stop, tuple(runs))
    if found is None or body[found[2] + 1 : stop].strip() != b"}":
        return {}
    sides = np.frombuffer(found[1], np.int64).reshape(2 * len(names), found[0])
    return {name: (sides[2 * place], sides[2 * place + 1]) for place, name in enumerate(names)}


def _matrix(body: bytes, start: int, stop: int) -> dict[bytes, Span]:
    """The same by numpy."""
    quotes = _quotes(body, start, stop)
    names = _names(body, quotes[: 2 * _MOST_STRINGS + 1].tolist(), start)
    if not names or len(quotes) % (4 * len(names)):
        return {}
    matrix = np.ascontiguousarray(quotes.reshape(-1, 4 * len(names)).T)
    if not _alike(body, matrix, stop):
        return {}
    fields = {name: (matrix[4 * place + 2] + 1, matrix[4 * place + 3]) for place, name in enumerate(names)}
    return fields if len(fields) == len(names) else {}


def _quotes(body: bytes, start: int, stop: int) -> Offsets:
    quotes: Offsets = np.flatnonzero(np.frombuffer(body, np.uint8)[start:stop] == _QUOTE)
    quotes += start
    return quotes


def _names(body: bytes, quotes: list[int], start: int) -> list[bytes]:
    """The fields of the first item; none if it is not made of strings alone."""
    names: list[bytes] = []
    before = start
    for place in range(0, len(quotes) - 3, 4):
        key_from, key_to, value_from, value_to = quotes[place : place + 4]
        between = body[before:key_from].strip()
        if body[key_to + 1 : value_from].strip() != b":" or between != (b"," if names else b"{"):
            return []
        names.append(body[key_from + 1 : key_to])
        before = value_to + 1
        following = quotes[place + 4] if place + 4 < len(quotes) else len(body)
        if body[before:following].lstrip()[:1] == b"}":
            return names
    return []


def _alike(body: bytes, matrix: Offsets, stop: int) -> bool:
    """Whether what stands between values is in every row what it is in the first."""
    rows = matrix.shape[1]
    for place in range(3, len(matrix) - 1, 4):
        opening = matrix[place + 3]
        run = body[int(matrix[place][0]) : int(opening[0]) + 1]
        if not _repeats(body, matrix[place], opening, run, rows):
            return False
    last, first = matrix[-1], matrix[2]
    if body[int(last[-1]) + 1 : stop].strip() != b"}":
        return False
    if rows == 1:
        return True
    head = body[int(matrix[0][0]) : int(first[0]) + 1]
    run = body[int(last[0]) : int(first[1]) + 1]
    return _joins(run, head) and _repeats(body, last[:-1], first[1:], run, rows - 1)


def _joins(run: bytes, head: bytes) -> bool:
    """Whether what stands between two items ends one and begins the other, as the first one begins."""
    return b"".join(run[1 : len(run) - len(head)].split()) == b"},{" and run.endswith(head)


def _repeats(body: bytes, starts: Offsets, stops: Offsets, run: bytes, rows: int) -> bool:
    """Whether from each start to its stop (a quote each, both included) stands this run."""
    return not (stops - starts - (len(run) - 1)).any() and gathered(body, starts, len(run)) == _repeated(run, rows)


@lru_cache(maxsize=64)
def _repeated(run: bytes, rows: int) -> bytes:
    """Kept: pages of one bucket have the same fields, and most the same number of rows."""
    return run * rows


def gathered(body: bytes, starts: Offsets, width: int) -> bytes:
    """The `width` bytes at every start, one after the other. Nothing but these is copied."""
    windows = np.ndarray((len(body) - width + 1,), f"V{width}", body, 0, (1,))
    return windows[np.minimum(starts, len(windows) - 1)].tobytes()


def raw(body: bytes, span: Span) -> pa.BinaryArray:
    """The bytes of every value. Without the extension Arrow reads values and gaps in turn over the page itself, then keeps every other."""
    starts, ends = span
    if _entries is not None:
        data, offsets, _ = _entries.texts(body, starts, ends)
        return pa.BinaryArray.from_buffers(pa.binary(), len(starts), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    rows = len(starts)
    offsets = np.empty(2 * rows, np.int32)
    offsets[0::2] = starts
    offsets[1::2] = ends
    column = pa.BinaryArray.from_buffers(pa.binary(), 2 * rows - 1, [None, pa.py_buffer(offsets), pa.py_buffer(body)])
    return column.take(_even(rows))


@lru_cache(maxsize=64)
def _even(rows: int) -> pa.Int32Array:
    return pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32))


def texts(body: bytes, span: Span) -> pa.StringArray:
    """Text values, their UTF-8 checked.

    Raises:
        pyarrow.ArrowInvalid: It is none.
    """
    if _entries is not None:
        data, offsets, marks = _entries.texts(body, *span)
        if not marks & _WIDE:  # ASCII is UTF-8
            return pa.StringArray.from_buffers(len(span[0]), pa.py_buffer(offsets), pa.py_buffer(data), None, 0)
    return raw(body, span).cast(pa.string())


def integers(body: bytes, span: Span) -> pa.Int64Array:
    """Decimal numbers.

    Raises:
        pyarrow.ArrowInvalid: One is none.
    """
    data = _entries.integers(body, *span) if _entries is not None else None
    if data is None:
        return raw(body, span).view(pa.string()).cast(pa.int64())  # a number is no bad UTF-8, so it is not checked
    return pa.Int64Array.from_buffers(pa.int64(), len(span[0]), [None, pa.py_buffer(data)])


def md5s(body: bytes, span: Span) -> bytes | None:
    """MD5s in base64 as 16 bytes each; None if there are others, or nobody can tell."""
    return _entries.md5s(body, *span) if _entries is not None else None


def moments(body: bytes, span: Span) -> bytes | None:
    """ISO times with milliseconds or none as int64 microseconds; None if there are others, or nobody can tell."""
    return _entries.moments(body, *span) if _entries is not None else None


def fixed(body: bytes, span: Span, width: int) -> bytes | None:
    """Values that are all as wide as that, one after the other; None if they are not."""
    starts, ends = span
    return None if (ends - starts - width).any() else gathered(body, starts, width)
