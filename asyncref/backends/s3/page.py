"""One page of an S3 listing from its bytes, complete or not at all.

What the column reader does not understand is read by a real XML parser and written again in the plain
form, so that there is one way from bytes to columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_plus
from xml.etree import ElementTree  # noqa: ICN001  a name that says what it is
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.s3 import columns
from asyncref.backends.s3.shape import MARK, OddPageError, Shape, Span, find
from asyncref.model import PAGE_SCHEMA

Keep = Literal["objects", "latest", "stored", "all"]

_ROOTS: Final = {
    "objects": b"ListBucketResult",
    "latest": b"ListVersionsResult",
    "stored": b"ListVersionsResult",
    "all": b"ListVersionsResult",
}
_ENTRIES: Final = {b"ListBucketResult": (b"Contents",), b"ListVersionsResult": (b"Version", b"DeleteMarker")}
_ANY_ENTRY: Final = frozenset(name.decode() for names in _ENTRIES.values() for name in names)
_ENVELOPE: Final = frozenset(
    {"IsTruncated", "EncodingType", "KeyCount", "NextContinuationToken", "NextKeyMarker", "NextVersionIdMarker"}
)
_COLUMNS: Final = (b"Key", b"VersionId", b"IsLatest", b"LastModified", b"ETag", b"Size")
_FORMS: Final = b"ktfmei"
_OTHER_ENCODING: Final = re.compile(rb"""\s*<\?xml[^>]*encoding=(?!["']utf-8["'])""", re.IGNORECASE)
_ROOT: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<([A-Za-z]+)[\s>]")
# An envelope as most are: ASCII, a root, elements with nothing but text, no entities. Anything else is a real parser's,
# which takes three times as long.
_PROLOG: Final = rb"""(?:<\?xml version="1\.0" encoding="(?:UTF|utf)-8"\?>\s*)?"""
_LEAVES: Final = rb"(?:<([A-Za-z]+)>[ !-%'-;=?-~]*</\3>|<[A-Za-z]+/>)*"
_USUAL: Final = re.compile(_PROLOG + rb"""<([A-Za-z]+)(?: xmlns="[ !#-%%'-;=?-~]*")?>(%b)</\1>\s*""" % _LEAVES)
_MARK: Final = MARK[1:-2].decode()
_LEAF: Final = re.compile(rb"<([A-Za-z]+)>([^<]*)<")


@dataclass(frozen=True, slots=True)
class Rows:
    """One page.

    Attributes:
        keys: The keys of all raw rows in the server's order, delete markers and older versions included; of a
            version listing in key order if the server sends the two kinds one after the other (moto does).
        latest: For every raw row of a version listing whether the server called it the latest.
        batch: The rows kept, of `PAGE_SCHEMA`.
        envelope: The page's own elements that matter: `IsTruncated`, markers, `EncodingType`, `KeyCount`.
        ascends: The keys surely ascend strictly; and if this is a version listing, all are latest objects.
    """

    keys: pa.StringArray
    latest: npt.NDArray[np.bool_] | None
    batch: pa.RecordBatch
    envelope: dict[str, str]
    ascends: bool = False

    def without_first(self) -> Rows:
        """The same page without its first row, which is one that was kept."""
        latest = None if self.latest is None else self.latest[1:]
        return Rows(self.keys.slice(1), latest, self.batch.slice(1), self.envelope, self.ascends)

    def with_first_older(self, *, dropped: bool) -> Rows:
        """The same page with its first row, a latest version, taken for an older one; `dropped`: those are not kept."""
        assert self.latest is not None
        latest = self.latest.copy()
        latest[0] = False
        is_kept = self.batch.num_rows > 0 and self.batch.column(0)[0] == self.keys[0]  # a delete marker was not
        return Rows(self.keys, latest, self.batch.slice(dropped and is_kept), self.envelope)


def root_of(body: memoryview | bytes) -> bytes:
    """The name of an answer's root element; empty if it is not plain XML."""
    found = _ROOT.match(body)
    return found[1] if found else b""


def is_whole(body: memoryview | bytes) -> bool:
    """Whether an answer ends with its root element's closing tag (as far as its root is plain)."""
    root = root_of(body)
    return len(body) > 0 if not root else bytes(body[-256:]).rstrip().endswith(b"</%b>" % root)


def read(body: memoryview | bytes, keep: Keep) -> Rows:
    """Read one page.

    Args:
        body: The answer; nothing of it is kept.
        keep: `objects`: ListObjectsV2. Of ListObjectVersions `latest`: current objects; `stored`: every version,
            without delete markers; `all`: with them, as rows without a size.

    Raises:
        OddPageError: Not a whole page of this kind, by a real XML parser's judgement too.
    """
    root = _ROOTS[keep]
    try:
        return _read(body, keep, root)
    except (OddPageError, pa.ArrowInvalid):
        plain = _plain(bytes(body), root)
    try:
        return _read(plain, keep, root)
    except pa.ArrowInvalid as error:
        raise OddPageError(str(error)) from error


def _read(body: memoryview | bytes, keep: Keep, root: bytes) -> Rows:
    if root_of(body) != root or not is_whole(body):
        raise OddPageError(f"not a whole {root.decode()}")
    if _OTHER_ENCODING.match(body):
        raise OddPageError("not in UTF-8")
    shape = find(body, _ENTRIES[root], _COLUMNS, _FORMS)
    body = b"" if shape.is_read else bytes(body)
    envelope = _envelope(shape.envelope)
    if not shape.rows:
        latest = None if keep == "objects" else np.empty(0, np.bool_)
        return Rows(pa.array([], pa.string()), latest, _EMPTY, envelope)
    keys, ascends = _keys(body, shape, url=envelope.get("EncodingType") == "url")
    if keep == "objects":
        return Rows(keys, None, _batch(body, shape, keys, versions=False), envelope, ascends)
    return _versions(body, shape, keep, Rows(keys, None, _EMPTY, envelope, ascends))


def _versions(body: bytes, shape: Shape, keep: Keep, rows: Rows) -> Rows:
    """The same of a version listing, whose keys and envelope are read."""
    keys, envelope = rows.keys, rows.envelope
    latest = columns.flags(body, _span(shape, b"IsLatest"))
    if shape.alike:  # most pages of most buckets
        return Rows(keys, latest, _batch(body, shape, keys, versions=True), envelope, rows.ascends)
    whole, kinds = shape, shape.kinds
    kept = kinds == 0
    if keep == "latest":
        kept &= latest
    if not kept.all():
        shape = _only(shape, np.flatnonzero(kept))
        stored = keys.take(pa.array(np.flatnonzero(kept)))
    else:
        stored = keys
    batch = _batch(body, shape, stored, versions=True)
    if keep == "all" and not kept.all():
        batch = _with_markers(body, whole, batch, keys, kept)
    if 0 < np.count_nonzero(kinds) < len(kinds) and np.count_nonzero(np.diff(kinds)) == 1:
        order = pc.sort_indices(keys)
        keys, latest = keys.take(order), latest[order.to_numpy()]
        if keep == "all":
            batch = _apart(batch.take(order), keys, latest)
    return Rows(keys, latest, batch, envelope)


def _keys(body: bytes, shape: Shape, *, url: bool) -> tuple[pa.StringArray, bool]:
    """The keys, and whether they surely ascend."""
    span = _span(shape, b"Key")
    plain = columns.plain_keys(span, url=url)
    if plain is not None:
        return plain
    keys = columns.keys(body, span, url=url)
    ends = np.frombuffer(keys.buffers()[1], np.int32)[keys.offset : keys.offset + len(keys) + 1]
    if (ends[1:] == ends[:-1]).any():
        raise OddPageError("an entry without a key")  # or with markup in it, which the columns do not see
    return keys, False


def _with_markers(
    body: bytes, shape: Shape, stored: pa.RecordBatch, keys: pa.StringArray, kept: npt.NDArray[np.bool_]
) -> pa.RecordBatch:
    """The stored versions and, between them in the page's order, its delete markers."""
    at = np.flatnonzero(~kept)
    markers = _only(shape, at)
    columns_of = {
        "key": keys.take(pa.array(at)),
        "version": columns.texts(body, _span(markers, b"VersionId")),
        "modified": columns.times(body, _span(markers, b"LastModified")),
    }
    batch = pa.RecordBatch.from_arrays(
        [columns_of.get(column.name, columns.nulls(len(at), column.name)) for column in PAGE_SCHEMA],
        schema=PAGE_SCHEMA,
    )
    order = np.argsort(np.concatenate([np.flatnonzero(kept), at]), kind="stable")
    return pa.concat_batches([stored, batch]).take(pa.array(order))


def _apart(batch: pa.RecordBatch, keys: pa.StringArray, latest: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Rows of a page that had its two kinds apart: the latest first within a key, since their times may be equal."""
    ids = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)  # numbered as they come, so in key order
    return batch.take(pa.array(np.lexsort((~latest, ids))))


_EMPTY: Final = pa.RecordBatch.from_pylist([], schema=PAGE_SCHEMA)


def _batch(body: bytes, shape: Shape, keys: pa.StringArray, *, versions: bool) -> pa.RecordBatch:
    if not len(keys):
        return _EMPTY
    rows = len(keys)
    etag16, etag = columns.nulls(rows, "etag16"), columns.nulls(rows, "etag")
    if b"ETag" in shape.columns:
        etag16, etag = columns.etags(body, shape.columns[b"ETag"])
    has_times = b"LastModified" in shape.columns
    return pa.RecordBatch.from_arrays(
        [
            keys,
            columns.sizes(body, _span(shape, b"Size")),
            etag16,
            etag,
            columns.nulls(rows, "digest"),
            columns.texts(body, _span(shape, b"VersionId")) if versions else columns.nulls(rows, "version"),
            columns.nulls(rows, "md5"),
            columns.nulls(rows, "checksum"),
            columns.times(body, shape.columns[b"LastModified"]) if has_times else columns.nulls(rows, "modified"),
        ],
        schema=PAGE_SCHEMA,
    )


def _span(shape: Shape, name: bytes) -> Span:
    """The values of an element that every row has to have."""
    span = shape.columns.get(name)
    if span is None or (span.ready is None and (span.starts < 0).any()):
        raise OddPageError(f"an entry without {name.decode()}")
    return span


def _only(shape: Shape, rows: npt.NDArray[np.intp]) -> Shape:
    spans = {name: span.taken(rows) for name, span in shape.columns.items()}
    return Shape(len(rows), shape.kinds[rows], spans, shape.envelope)


def _envelope(text: bytes) -> dict[str, str]:
    """What stands around the entries, by a real XML parser: nothing may be left open or unopened there."""
    leaves = _leaves(text)
    if any(name in _ANY_ENTRY for name, _ in leaves):
        raise OddPageError("an entry that is written as no other is")
    found = [leaf for leaf in leaves if leaf[0] in _ENVELOPE]
    envelope = dict(found)
    if len(envelope) != len(found) or envelope.get("IsTruncated") not in {"true", "false"}:
        raise OddPageError("no IsTruncated, or an element twice")
    encoding = envelope.get("EncodingType", "")
    if encoding not in {"", "url"}:
        raise OddPageError(f"keys encoded as {encoding!r}")
    if encoding and "NextKeyMarker" in envelope:
        try:
            envelope["NextKeyMarker"] = unquote_plus(envelope["NextKeyMarker"], errors="strict")
        except UnicodeDecodeError as error:
            raise OddPageError("a marker that is no UTF-8") from error
    return envelope


def _leaves(text: bytes) -> list[tuple[str, str]]:
    """The names of the root's elements, without those of their namespaces, and their texts."""
    usual = _USUAL.fullmatch(text)
    if usual is None:
        leaves = [(_local(child), child.text or "") for child in _parsed(text)]
        if MARK in text and (_MARK, "") not in leaves:
            raise OddPageError("entries within another element than the root")
        return leaves
    return [(name.decode(), value.decode()) for name, value in _LEAF.findall(usual[2])]


def _parsed(text: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise OddPageError("a document type, which no listing has")
    try:
        return ElementTree.fromstring(text)  # noqa: S314  without a document type there are no entities to expand
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: an encoding that is none
        raise OddPageError(f"not XML: {error}") from error


def _plain(body: bytes, root: bytes) -> bytes:
    """The same page, read by a real XML parser and written in the form that the column reader knows."""
    tree = _parsed(body)
    if _local(tree).encode() != root:
        raise OddPageError(f"the answer is a {_local(tree)}, not a {root.decode()}")
    parts: list[str] = []
    for child in tree:
        name = _local(child)
        if name.encode() in _ENTRIES[root]:
            inner = "".join(_element(leaf) for leaf in child if _local(leaf).encode() in _COLUMNS)
            parts.append(f"<{name}>{inner}</{name}>")
        elif not len(child):
            parts.append(_element(child))
    parts.sort(key=lambda part: part.startswith(tuple(f"<{name.decode()}>" for name in _ENTRIES[root])))
    return f"<{root.decode()}>{''.join(parts)}</{root.decode()}>".encode()


def _element(leaf: ElementTree.Element) -> str:
    name = _local(leaf)
    return f"<{name}>{escape(leaf.text or '')}</{name}>"


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
