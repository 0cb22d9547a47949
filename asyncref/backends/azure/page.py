"""One page of List Blobs from its bytes, complete or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.azure import columns
from asyncref.backends.azure.tags import Flags, OddPageError, Offsets, Tags, gathered
from asyncref.model import PAGE_SCHEMA

_ROOT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?<EnumerationResults[\s>]")
_ROOT_END: Final = b"</EnumerationResults>"
_ENTRIES: Final = re.compile(rb"<Blobs\s*(/?)>")
_ENTRIES_END: Final = b"</Blobs>"
_MARKER: Final = re.compile(rb"\s*<NextMarker(?:\s*/>|>([^<]*)</NextMarker>)\s*</EnumerationResults>\s*")
_ENCODED: Final = b' Encoded="true">'
_BLOB: Final = 0
_FOLDER_TAGS: Final = (b"hdi_isfolder", b"Hdi_isfolder")  # Hadoop and AzCopy; some SDKs write a capital

Values = tuple[Offsets, Offsets, Offsets]


@dataclass(frozen=True, slots=True)
class Rows:
    """One page.

    Attributes:
        keys: The names of all blobs in the server's order, older versions and folder stubs included.
        batch: The rows kept, of `PAGE_SCHEMA`.
        folders: `BlobPrefix` names.
        stubs: Blobs that stand for folders, which are no rows.
        marker: Where to go on; empty at the end.
    """

    keys: pa.StringArray
    batch: pa.RecordBatch
    folders: tuple[str, ...]
    stubs: int
    marker: str


def is_whole(body: bytes) -> bool:
    """Whether an answer ends as a page does."""
    return body[-64:].rstrip().endswith(_ROOT_END)


def read(body: bytes, *, stored: bool = False) -> Rows:
    """Read one page. About 10 ms for 5,000 blobs.

    Args:
        body: The answer, whole.
        stored: Keep every version; otherwise the current ones only.

    Raises:
        OddPageError: Not a page of this kind.
    """
    if not _ROOT.match(body):
        raise OddPageError("the answer is no EnumerationResults")
    opening = _ENTRIES.search(body)
    closing = body.rfind(_ENTRIES_END)
    if opening is None or (closing < 0 and not opening[1]):
        raise OddPageError("a page without Blobs")
    found = _MARKER.fullmatch(body, opening.end() if opening[1] else closing + len(_ENTRIES_END))
    if found is None:
        raise OddPageError("nothing tells whether more follows")
    try:
        marker = columns.unescaped((found[1] or b"").decode())
    except UnicodeDecodeError as error:
        raise OddPageError("a marker that is no UTF-8") from error
    if opening[1]:
        return Rows(pa.array([], pa.string()), _EMPTY, (), 0, marker)
    tags = Tags(body, opening.end(), closing, entries=(b"Blob", b"BlobPrefix"), foreign=b"Metadata")
    return _rows(body, tags, marker, stored=stored)


_EMPTY: Final = pa.RecordBatch.from_pylist([], schema=PAGE_SCHEMA)


def _rows(body: bytes, tags: Tags, marker: str, *, stored: bool) -> Rows:
    names = _names(body, tags)
    is_blob: Flags = tags.kinds == _BLOB
    folders = names.filter(pa.array(~is_blob)).to_pylist()
    versions = tags.values(b"VersionId")
    versions = _those(versions, versions[2] > versions[1])
    keep = is_blob.copy()
    if not stored:
        # A blob written while versioning was off has no version id, and is the current one beside older versions.
        keep[versions[0]] = False
        keep[_saying(body, tags.values(b"IsCurrentVersion"), b"true")] = True
    stubs = is_blob & _stubs(body, tags)
    keep &= is_blob & ~stubs
    chosen = np.flatnonzero(keep)
    keys = names.take(pa.array(chosen))
    if not stored and len(keys) > 1 and pc.any(pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1))).as_py():
        raise OddPageError("two current versions of one blob")
    blobs = names.filter(pa.array(is_blob)) if folders else names
    batch = _batch(body, tags, chosen, keys, versions) if len(chosen) else _EMPTY
    return Rows(blobs, batch, tuple(folders), int(np.count_nonzero(stubs)), marker)


def _names(body: bytes, tags: Tags) -> pa.StringArray:
    rows, starts, ends = tags.values(b"Name")
    encoded, encoded_starts, encoded_ends = tags.values(b"Name", tail=_ENCODED)
    if len(encoded):
        rows = np.concatenate([rows, encoded])
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        starts = np.concatenate([starts, encoded_starts])[order]
        ends = np.concatenate([ends, encoded_ends])[order]
    if len(rows) != tags.entries or (rows != np.arange(len(rows))).any():
        raise OddPageError("an entry without a name")
    names = columns.texts(body, starts, ends)
    if len(encoded):
        chosen = set(encoded.tolist())
        plain = names.to_pylist()
        names = pa.array(
            [columns.decoded(name) if at in chosen else name for at, name in enumerate(plain)], pa.string()
        )
    return names


def _stubs(body: bytes, tags: Tags) -> Flags:
    """Blobs that stand for folders: in hierarchical namespaces by their type, elsewhere by Hadoop's metadata."""
    stubs: Flags = np.zeros(tags.entries, np.bool_)
    stubs[_saying(body, tags.values(b"ResourceType"), b"directory")] = True
    for name in _FOLDER_TAGS:
        stubs[_saying(body, tags.values(name, foreign=True), b"true")] = True
    return stubs


def _batch(body: bytes, tags: Tags, chosen: Offsets, keys: pa.StringArray, versions: Values) -> pa.RecordBatch:
    rows = len(chosen)
    places = np.full(tags.entries, -1, np.int64)
    places[chosen] = np.arange(rows)

    def values(name: bytes) -> Values:
        found = tags.values(name)
        found = _those(found, places[found[0]] >= 0)
        return places[found[0]], found[1], found[2]

    sizes = values(b"Content-Length")
    if len(sizes[0]) != rows:
        raise OddPageError("a blob without its length")
    etag_at, *etag_span = values(b"Etag")
    etag16, etag = columns.etags(_spread(columns.texts(body, *etag_span), etag_at, rows))
    time_at, *time_span = values(b"Last-Modified")
    md5_at, *md5_span = values(b"Content-MD5")
    good, raw = columns.md5s(body, *md5_span)
    versions = _those(versions, places[versions[0]] >= 0)
    columns_ = [
        keys,
        columns.sizes(body, sizes[1], sizes[2]),
        etag16,
        etag,
        pa.nulls(rows, pa.string()),
        _spread(columns.texts(body, versions[1], versions[2]), places[versions[0]], rows),
        columns.fixed16(rows, md5_at[good], raw[good]),
        pa.nulls(rows, pa.string()),
        _spread(columns.times(body, *time_span), time_at, rows),
    ]
    return pa.RecordBatch.from_arrays(columns_, schema=PAGE_SCHEMA)


def _those(values: Values, wanted: Flags) -> Values:
    return values if wanted.all() else (values[0][wanted], values[1][wanted], values[2][wanted])


def _spread(column: pa.Array, at: Offsets, rows: int) -> pa.Array:
    """The values at their rows, nulls in the others."""
    if len(column) == rows:
        return column
    places = np.zeros(rows, np.int64)
    missing: Flags = np.ones(rows, np.bool_)
    places[at] = np.arange(len(at))
    missing[at] = False
    return column.take(pa.array(places, mask=missing))


def _saying(body: bytes, values: Values, text: bytes) -> Offsets:
    """The entries whose value is exactly this text."""
    rows, starts, ends = values
    fits = np.flatnonzero(ends - starts == len(text))
    same = (gathered(body, starts[fits], len(text)) == np.frombuffer(text, np.uint8)).all(axis=1)
    found: Offsets = rows[fits[same]]
    return found
