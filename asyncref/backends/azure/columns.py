"""Values at known offsets of a page as Arrow columns: no Python object a value on the usual way."""

from __future__ import annotations

import binascii
import re
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.azure.tags import Flags, OddPageError, Offsets, gathered

_TIME: Final = pa.timestamp("us", tz="UTC")
_DATE_BYTES: Final = 29  # Mon, 23 Nov 2026 23:45:31 GMT
_DATE_FIXED: Final = np.array([3, 4, 7, 11, 16, 19, 22, 25, 26, 27, 28])
_DATE_TEXT: Final = np.frombuffer(b",    :: GMT", np.uint8)
_DIGITS: Final = np.array([5, 6, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24])
_MONTHS: Final = np.frombuffer(b"JanFebMarAprMayJunJulAugSepOctNovDec", np.uint8).reshape(12, 3)
_MONTH_CODES: Final = _MONTHS.astype(np.int64) @ np.array([65536, 256, 1])
_MONTH_ORDER: Final = np.argsort(_MONTH_CODES)
_MD5_CHARS: Final = 24
_BASE64: Final = np.isin(
    np.arange(256), np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
)
_ENTITY: Final = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_PLAIN_TAG: Final = re.compile('"[0-9a-f]{32}"')


def texts(body: bytes, starts: Offsets, ends: Offsets) -> pa.StringArray:
    """Text values, entities resolved, their UTF-8 checked.

    Raises:
        OddPageError: Neither UTF-8 nor XML.
    """
    rows = len(starts)
    if not rows:
        return pa.array([], pa.string())
    offsets = np.empty(2 * rows, np.int32)  # values and gaps in turn over the page itself
    offsets[0::2], offsets[1::2] = starts, ends
    pairs = pa.BinaryArray.from_buffers(pa.binary(), 2 * rows - 1, [None, pa.py_buffer(offsets), pa.py_buffer(body)])
    raw = pairs.take(pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32)))
    try:
        column = raw.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise OddPageError("text that is no UTF-8") from error
    data = raw.buffers()[2]
    if data is not None and b"&" in data.to_pybytes():
        return pa.array([unescaped(value) for value in column.to_pylist()], pa.string())
    return column


def unescaped(text: str) -> str:
    """A text with XML's five entities and its character references resolved.

    Raises:
        OddPageError: Any other `&`.
    """
    if "&" not in text:
        return text
    if text.count("&") != len(_ENTITY.findall(text)):
        raise OddPageError("an entity that XML does not have")
    return _ENTITY.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    decimal, digits, name = found.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:  # noqa: PLR2004  Unicode's end, and surrogates
        raise OddPageError("a reference to no character")
    return chr(code)


def decoded(text: str) -> str:
    """A percent-encoded name: Azure's form of those that XML cannot hold (U+FFFE, control characters).

    Raises:
        OddPageError: It is no UTF-8.
    """
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise OddPageError("a name that is no UTF-8") from error


def sizes(body: bytes, starts: Offsets, ends: Offsets) -> pa.Int64Array:
    """Sizes in bytes, none negative."""
    try:
        column = texts(body, starts, ends).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise OddPageError("a size that is no number") from error
    if len(column) and pc.min(column).as_py() < 0:
        raise OddPageError("a negative size")
    return column


def etags(column: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """The columns `etag16` and `etag`, with the quotes that the header has and the listing leaves out."""
    rows = len(column)
    bare = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    if pc.starts_with(column, '"').true_count or pc.equal(pc.binary_length(column), 32).true_count:
        quoted = [tag and f'"{tag.strip(chr(34))}"' for tag in bare.to_pylist()]
        plain = [bytes.fromhex(tag[1:-1]) if tag and _PLAIN_TAG.fullmatch(tag) else None for tag in quoted]
        rest = [None if raw else tag for raw, tag in zip(plain, quoted, strict=True)]
        return pa.array(plain, pa.binary(16)), pa.array(rest, pa.string())
    return pa.nulls(rows, pa.binary(16)), pc.binary_join_element_wise('"', bare, '"', "")


def times(body: bytes, starts: Offsets, ends: Offsets) -> pa.TimestampArray:
    """HTTP dates as microseconds, UTC."""
    if not len(starts):
        return pa.array([], _TIME)
    if not (ends - starts - _DATE_BYTES).any():
        text = gathered(body, starts, _DATE_BYTES)
        digits = text[:, _DIGITS].astype(np.int64) - ord("0")
        codes = text[:, 8:11].astype(np.int64) @ np.array([65536, 256, 1])
        place = np.minimum(np.searchsorted(_MONTH_CODES[_MONTH_ORDER], codes), 11)
        month = _MONTH_ORDER[place]
        fixed = (text[:, _DATE_FIXED] == _DATE_TEXT).all()
        if fixed and ((digits >= 0) & (digits <= 9)).all() and (_MONTH_CODES[month] == codes).all():  # noqa: PLR2004
            return _moments(digits, month)
    return pa.array([_moment(text) for text in texts(body, starts, ends).to_pylist()], _TIME)


def _moments(digits: npt.NDArray[np.int64], month: npt.NDArray[np.intp]) -> pa.TimestampArray:
    def number(first: int, count: int = 2) -> npt.NDArray[np.int64]:
        return digits[:, first : first + count] @ 10 ** np.arange(count - 1, -1, -1)

    months = (number(2, 4) - 1970) * 12 + month
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + number(0) - 1
    seconds = ((days * 24 + number(6)) * 60 + number(8)) * 60 + number(10)
    return pa.array(seconds * 1_000_000).view(_TIME)


def _moment(text: str) -> object:
    try:
        return parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError) as error:
        raise OddPageError(f"{text!r} is no time") from error


def md5s(body: bytes, starts: Offsets, ends: Offsets) -> tuple[Flags, npt.NDArray[np.uint8]]:
    """Which values are the base64 of 16 bytes, and those bytes. Others are an uploader's own nonsense."""
    rows = len(starts)
    good = ends - starts == _MD5_CHARS
    raw: npt.NDArray[np.uint8] = np.zeros((rows, 16), np.uint8)
    chosen = np.flatnonzero(good)
    if len(chosen):
        text = gathered(body, starts[chosen], _MD5_CHARS)
        fits = _BASE64[text[:, :22]].all(axis=1) & (text[:, 22:] == ord("=")).all(axis=1)
        text = np.where(fits[:, None], text, ord("A")).astype(np.uint8)
        text[:, 22:] = ord("A")  # a decoder stops at padding: 18 bytes each instead, of which the last two are dropped
        raw[chosen] = np.frombuffer(binascii.a2b_base64(text.tobytes()), np.uint8).reshape(-1, 18)[:, :16]
        good[chosen] = fits
    return good, raw


def fixed16(rows: int, at: Offsets, raw: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """A column with 16 bytes in some rows and nulls in the others."""
    valid: Flags = np.zeros(rows, np.bool_)
    valid[at] = True
    data: npt.NDArray[np.uint8] = np.zeros((rows, 16), np.uint8)
    data[at] = raw
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [bitmap, pa.py_buffer(data)])
