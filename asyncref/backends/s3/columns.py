"""Values at known offsets of a page as Arrow columns: no Python object a value on the usual way.

The compiled `asyncref._entries` converts values of the usual forms; numpy and Arrow do where it is missing, and
wherever a value is of another form.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.s3.shape import OddPageError, Span, gather
from asyncref.model import PAGE_SCHEMA

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

# How a quote stands in XML (AWS and Ceph; Go's encoder; none), and the length of a plain ETag then.
_QUOTES: Final = ((b"&quot;", 44), (b"&#34;", 42), (b'"', 34))
_PLAIN_ETAG: Final = '^"[0-9a-f]{32}"$'
_TIME: Final = pa.timestamp("us", tz="UTC")
_ISO_BYTES: Final = 24  # 2024-05-06T07:08:09.000Z
_ENTITY: Final = re.compile(rb"&(#[0-9]+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);")
_ENTITY_MARK, _ENCODED, _WIDE, _ANY = 1, 2, 4, 7
"""`&`; `%` or `+`; a byte beyond ASCII; any of them may be there."""
_UNORDERED, _EMPTY = 8, 16
"""Of keys: one is not greater than that before it; one is empty."""
_HEX: Final = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
_LOWER_HEX: Final = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))


def texts(body: bytes, span: Span) -> pa.StringArray:
    """Text values with their entities resolved and their UTF-8 checked."""
    column, marks = _raw(body, span)
    return _checked(*_unescaped(column, marks))


def plain_keys(span: Span, *, url: bool) -> tuple[pa.StringArray, bool] | None:
    """Keys that the extension found, which stand on the page as they are, and whether they ascend; None for any others."""
    if span.ready is None:
        return None
    data, offsets, marks = span.ready
    if marks & (_ENTITY_MARK | _WIDE | _EMPTY) or (url and (marks & _ENCODED or b" " in data)):
        return None
    column = pa.StringArray.from_buffers(len(span), pa.py_buffer(offsets), pa.py_buffer(data), None, 0)
    return column, not marks & _UNORDERED


def keys(body: bytes, span: Span, *, url: bool) -> pa.StringArray:
    """Keys; decoded as a form is, `+` for a space, where the page says that they are encoded.

    Raises:
        OddPageError: A broken escape, bytes that are no UTF-8, or a character that no encoding leaves as it is.
    """
    column, marks = _raw(body, span)
    column, marks = _unescaped(column, marks)
    if url and _holds_plain(column, marks):
        raise OddPageError("a key that is not encoded on a page that says its keys are")
    if not url or not marks & _ENCODED:
        return _checked(column, marks)
    return _checked(_form_decoded(column), _ANY)


def _holds_plain(column: pa.BinaryArray, marks: int) -> bool:
    """Whether values that should be encoded hold a space or a byte beyond ASCII. Cost: about 1 µs a page."""
    data = _data(column)
    return b" " in data or (bool(marks & _WIDE) and not data.isascii())


def sizes(body: bytes, span: Span) -> pa.Int64Array:
    """Sizes in bytes, none negative."""
    data = span.ready
    if data is None and _entries is not None:
        data = _entries.integers(body, span.starts, span.ends)
    if data is not None:
        return pa.Int64Array.from_buffers(pa.int64(), len(span), [None, pa.py_buffer(data)])
    column = _raw(body, span)[0].view(pa.string()).cast(pa.int64())  # a number is no bad UTF-8, so it is not checked
    if len(column) and pc.min(column).as_py() < 0:
        raise OddPageError("a negative size")
    return column


def times(body: bytes, span: Span) -> pa.TimestampArray:
    """ISO times as microseconds, UTC; null for an empty or missing one."""
    rows, moments = len(span), span.ready
    if moments is None and _entries is not None:
        moments = _entries.moments(body, span.starts, span.ends)
    if moments is not None:
        return pa.TimestampArray.from_buffers(_TIME, rows, [None, pa.py_buffer(moments)])
    if rows and not (span.ends - span.starts - _ISO_BYTES).any():
        data = pa.py_buffer(_cells(body, span, 0, _ISO_BYTES))
        column = pa.StringArray.from_buffers(rows, pa.py_buffer(_steps(rows, _ISO_BYTES)), data)
        try:
            return column.cast(_TIME)
        except pa.ArrowInvalid:
            pass  # a form of 24 characters that Arrow does not know
    return pa.array([_time(text) for text in _raw(body, span)[0].cast(pa.string()).to_pylist()], _TIME)


def flags(body: bytes, span: Span) -> npt.NDArray[np.bool_]:
    """`true` and `false`, nothing else."""
    found = span.ready
    if found is None and _entries is not None:
        found = _entries.flags(body, span.starts, span.ends)
    if found is not None:
        return np.frombuffer(found, np.bool_)
    starts, ends = span.starts, span.ends
    heads = np.frombuffer(gather(body, starts, 4), "<u4")
    tails = np.frombuffer(gather(body, ends - 1, 1), "u1")
    lengths = ends - starts
    true: npt.NDArray[np.bool_] = (heads == np.frombuffer(b"true", "<u4")) & (lengths == len("true"))
    false = (heads == np.frombuffer(b"fals", "<u4")) & (lengths == len("false")) & (tails == ord("e"))
    if not (true | false).all():
        raise OddPageError("a flag that is neither true nor false")
    return true


def etags(body: bytes, span: Span) -> tuple[pa.FixedSizeBinaryArray, pa.StringArray]:
    """The columns `etag16` and `etag`: 16 raw bytes where the ETag is plain, else the ETag as sent."""
    rows, found = len(span), span.ready
    if found is None and _entries is not None:
        found = _entries.etags(body, span.starts, span.ends)
    if found is not None and found[2] == rows:
        raw = pa.py_buffer(found[0])
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [None, raw]), nulls(rows, "etag")
    plain, raw = _plain_etags(body, span) if found is None else _writable(found)
    if plain.all():
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(raw)]), nulls(rows, "etag")
    rest = np.flatnonzero(~plain)
    others = texts(body, span.taken(rest))
    for at in np.flatnonzero(pc.match_substring_regex(others, _PLAIN_ETAG).to_numpy(zero_copy_only=False)):
        raw[rest[at]] = np.frombuffer(bytes.fromhex(others[int(at)].as_py()[1:-1]), np.uint8)
        plain[rest[at]] = True
    others = pc.if_else(pc.equal(others, pa.scalar("")), pa.scalar(None, pa.string()), others)
    valid = pa.py_buffer(np.packbits(plain, bitorder="little").tobytes())
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [valid, pa.py_buffer(raw)])
    places = np.zeros(rows, np.int32)
    places[rest] = np.arange(len(rest), dtype=np.int32)
    return column, others.take(pa.array(places, mask=plain))


def _writable(found: tuple[bytes, bytes, int]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """What `_entries.etags` gave, to be filled up."""
    raw, plain, _ = found
    return np.frombuffer(plain, np.bool_).copy(), np.frombuffer(raw, np.uint8).reshape(-1, 16).copy()


def _plain_etags(body: bytes, span: Span) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Which ETags are plain as most are (any may be that is written with more entities), and their 16 bytes each."""
    starts, ends, rows = span.starts, span.ends, len(span)
    plain: npt.NDArray[np.bool_] = np.zeros(rows, np.bool_)
    raw: npt.NDArray[np.uint8] = np.zeros((rows, 16), np.uint8)
    for quote, length in _QUOTES:
        chosen = np.flatnonzero(ends - starts == length)
        if len(chosen) == rows:
            return _hex16(body, span, quote)
        if len(chosen):
            plain[chosen], raw[chosen] = _hex16(body, span.taken(chosen), quote)
    return plain, raw


def _hex16(body: bytes, span: Span, quote: bytes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Which values are 32 lower-case hex digits between two such quotes, and their 16 bytes each."""
    rows, width = len(span.starts), len(quote)
    digits = _cells(body, span, width, 32)
    heads, tails = _cells(body, span, 0, width), _cells(body, span, width + 32, width)
    if heads == tails == quote * rows and digits.lower() == digits:
        try:
            return np.ones(rows, np.bool_), np.frombuffer(binascii.unhexlify(digits), np.uint8).reshape(rows, 16)
        except binascii.Error:
            pass  # some are no hex: row by row
    table = np.frombuffer(digits, np.uint8).reshape(rows, 32)
    plain: npt.NDArray[np.bool_] = np.all(_LOWER_HEX[table], axis=1)
    for side in (heads, tails):
        plain = plain & (np.frombuffer(side, np.uint8).reshape(rows, width) == list(quote)).all(axis=1)
    nibbles = np.where(plain[:, None], _HEX[table], 0)
    return plain, nibbles[:, 0::2] * 16 + nibbles[:, 1::2]


@lru_cache(maxsize=512)
def nulls(rows: int, column: str) -> pa.Array:
    """A column of `PAGE_SCHEMA` without values; kept, since most pages have the same number of rows."""
    return pa.nulls(rows, PAGE_SCHEMA.field(column).type)


@lru_cache(maxsize=64)
def _steps(rows: int, width: int) -> npt.NDArray[np.int32]:
    return np.arange(0, width * (rows + 1), width, dtype=np.int32)


@lru_cache(maxsize=64)
def _even(rows: int) -> pa.Int32Array:
    return pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32))


def _cells(body: bytes, span: Span, at: int, width: int) -> bytes:
    """The same part of every value, one after the other."""
    return gather(body, span.starts + at, width)


def _raw(body: bytes, span: Span) -> tuple[pa.BinaryArray, int]:
    """The bytes of every value, and the marks that they have, as `_entries.texts` sums them up."""
    rows, found = len(span), span.ready
    if not rows:
        return pa.array([], pa.binary()), 0
    if found is None and _entries is not None:
        found = _entries.texts(body, span.starts, span.ends)
    if found is None:
        return _gathered(body, span), _ANY
    data, offsets, marks = found
    return pa.BinaryArray.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data)]), marks


def _gathered(body: bytes, span: Span) -> pa.BinaryArray:
    """The same by Arrow, which reads values and gaps in turn over the page itself, then keeps every other."""
    rows = len(span)
    passed = np.maximum(np.maximum.accumulate(span.ends), 0)  # where a row has no value, an empty one behind the last
    offsets = np.empty(2 * rows, np.int32)
    offsets[0::2] = np.where(span.starts < 0, passed, span.starts)
    offsets[1::2] = passed
    column = pa.BinaryArray.from_buffers(pa.binary(), 2 * rows - 1, [None, pa.py_buffer(offsets), pa.py_buffer(body)])
    return column.take(_even(rows))


def _data(column: pa.BinaryArray) -> bytes:
    """All values one after the other."""
    buffer = column.buffers()[2]
    return buffer.to_pybytes() if buffer is not None else b""


def _checked(column: pa.BinaryArray, marks: int) -> pa.StringArray:
    """The same as text; ASCII need not be looked at again."""
    if len(column) and not marks & _WIDE:
        return pa.StringArray.from_buffers(len(column), *column.buffers()[1:], None, 0, column.offset)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise OddPageError("text that is no UTF-8") from error


def _unescaped(column: pa.BinaryArray, marks: int) -> tuple[pa.BinaryArray, int]:
    """Without entities, and the marks then: a character reference may bring any character."""
    if not marks & _ENTITY_MARK or b"&" not in _data(column):
        return column, marks
    quoted = pc.replace_substring(column, b"&quot;", b'"')  # the usual ones, of ETags; one by one they took 2.5 us each
    if b"&" not in _data(quoted):
        return quoted, _ANY
    return _replaced(column, b"&", unescape), _ANY


def _replaced(column: pa.BinaryArray, mark: bytes, change: Callable[[bytes], bytes]) -> pa.BinaryArray:
    """Change the values that hold a mark, one by one: they are rare."""
    values = column.to_pylist()
    return pa.array([change(value) if mark in value else value for value in values], pa.binary())


def unescape(value: bytes) -> bytes:
    """Resolve XML's five entities and character references.

    Raises:
        OddPageError: Any other `&`.
    """
    if value.count(b"&") != len(_ENTITY.findall(value)):
        raise OddPageError("an entity that XML does not have")
    return _ENTITY.sub(_character, value)


def _character(found: re.Match[bytes]) -> bytes:
    name = found[1].decode()
    if name.startswith("#"):
        code = int(f"0{name[1:]}", 16) if name.startswith("#x") else int(name[1:])
        try:
            return chr(code).encode()  # html.unescape would map 128 to 159 as Windows-1252 does
        except (ValueError, OverflowError, UnicodeEncodeError) as error:
            raise OddPageError("a reference to no character") from error
    return html.unescape(found[0].decode()).encode()


def _form_decoded(column: pa.BinaryArray) -> pa.BinaryArray:
    """Undo form encoding in all values at once."""
    data = _data(column)
    if b"+" not in data and b"%" not in data:
        return column
    bytes_in = np.frombuffer(data.replace(b"+", b" "), np.uint8)
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    at = np.flatnonzero(bytes_in == ord("%"))
    row = np.searchsorted(offsets, at, side="right")
    if len(at) and (at + 2 >= offsets[row]).any():
        raise OddPageError("a key with a broken escape")
    high, low = _HEX[bytes_in[at + 1]], _HEX[bytes_in[at + 2]]
    if ((high | low) > 15).any():  # noqa: PLR2004  one hex digit
        raise OddPageError("a key with a broken escape")
    bytes_out = bytes_in.copy()
    bytes_out[at] = high * 16 + low
    stay = np.ones(len(bytes_in), np.bool_)
    stay[at + 1] = False
    stay[at + 2] = False
    moved = (offsets - 2 * np.searchsorted(at, offsets)).astype(np.int32)
    buffers = [None, pa.py_buffer(moved), pa.py_buffer(bytes_out[stay])]
    return pa.BinaryArray.from_buffers(pa.binary(), len(column), buffers)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OddPageError(f"{text!r} is no time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
