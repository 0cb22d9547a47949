"""Writes a synthetic bucket to a folder: its keys, and every listing entry as it goes over the wire.

    keys.bin keys.off           the keys, one after the other, and where each begins (int64, one more than keys)
    list.bin list.off list.row  ListObjectsV2 entries; `row` counts the entries before each key
    versions.*                  ListObjectVersions entries, delete markers in their place
    list.url.*, versions.url.*  the same under `encoding-type=url`, for layouts whose keys differ there

A page is then a head, one slice of a mapped file and a foot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import quote_plus

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.store.layouts import NEEDS_URL_FORM, digits_column, hex_column, join, key_chunks, matrix_column

KINDS: Final = ("list", "versions")
BODY: Final = bytes(range(256)) * 4096
"""What objects are made of, over and over: 1 MiB."""
_ID_ALPHABET: Final = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz.", dtype=np.uint8)
_OWNER: Final = (
    b"<Owner><ID>" + b"79a59df900b949e55d96a1e698fbaced" * 2 + b"</ID><DisplayName>bench</DisplayName></Owner>"
)
_CHECKSUM: Final = b"<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
_NEWEST_S: Final = 1_735_689_600  # 2025-01-01: times are fixed, so that the same spec gives the same bytes
_SPAN_S: Final = 3 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A synthetic bucket; equal specs give equal bytes.

    Attributes:
        layout: One of `layouts.LAYOUTS`.
        keys: How many.
        versioned: False: version listings give the id `null`, as a bucket that never was versioned.
        versions: Versions of each key.
        deep_versions: Versions of the middle key of the layout `deep`.
        delete_share: Share of the versions that are delete markers.
        checksum_share: Share of the entries with ChecksumAlgorithm and ChecksumType.
        multipart_share: Share of the ETags that end in `-PARTS`.
        object_bytes: Size of every object, whose ETag is then its true MD5; None: sizes spread as in real buckets.
        seed: Of everything random.
        kinds: Listings to render; the others answer 501.
    """

    layout: str = "uuid"
    keys: int = 1000
    versioned: bool = True
    versions: int = 1
    deep_versions: int = 100_000
    delete_share: float = 0.0
    checksum_share: float = 0.0
    multipart_share: float = 0.0
    object_bytes: int | None = None
    seed: int = 0
    kinds: tuple[str, ...] = KINDS

    @property
    def name(self) -> str:
        """A folder name for this bucket."""
        values = repr([(field.name, getattr(self, field.name)) for field in fields(self)])
        return f"{self.layout}-{self.keys}-{hashlib.sha256(values.encode()).hexdigest()[:12]}"

    @property
    def url_form(self) -> bool:
        """Whether the keys look different under `encoding-type=url`."""
        return self.layout in NEEDS_URL_FORM


def content_md5(size: int) -> str:
    """MD5 in hex of an object of `size` bytes made of `BODY`."""
    digest = hashlib.md5()
    for start in range(0, size, len(BODY)):
        digest.update(BODY[: min(len(BODY), size - start)])
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Rows:
    """The versions of one chunk of keys, newest first within a key; columns of equal length."""

    key: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.int64]
    deleted: npt.NDArray[np.bool_]
    version: pa.Array[Any]
    modified: pa.Array[Any]
    etag: pa.Array[Any]
    checksum: pa.Array[Any]
    size: pa.Array[Any]


def _version_ids(spec: Spec, ordinal: npt.NDArray[np.int64], random: np.random.Generator) -> pa.Array[Any]:
    rows = len(ordinal)
    if not spec.versioned:
        return join(b"null", pa.array([b""] * rows, pa.binary()))
    sextets = random.integers(0, 64, (rows, 32), dtype=np.uint8)
    for place in range(4):  # the ordinal, masked by random sextets: ids look random, yet a marker is found at once
        part = (ordinal >> (6 * place)) & 63
        sextets[:, 28 + place] = sextets[:, place] ^ part.astype(np.uint8)
    return matrix_column(_ID_ALPHABET[sextets])


def ordinal_of(version: bytes) -> int:
    """Which version of its key (0 is the newest) a marker made by `_version_ids` names; -1 if it is none."""
    alphabet = _ID_ALPHABET.tobytes()
    places = [alphabet.find(version[place : place + 1]) for place in (0, 1, 2, 3, 28, 29, 30, 31)]
    if len(version) != 32 or min(places) < 0:
        return -1
    return sum((places[place] ^ places[4 + place]) << (6 * place) for place in range(4))


def _chosen(random: np.random.Generator, rows: int, share: float, text: bytes) -> pa.Array[Any]:
    picked = pa.array(random.random(rows) < share)
    return _either(picked, text, b"")


def _either(choice: pa.Array[Any], yes: bytes | pa.Array[Any], no: bytes | pa.Array[Any]) -> pa.Array[Any]:
    typed: list[Any] = [pa.scalar(value, pa.binary()) if isinstance(value, bytes) else value for value in (yes, no)]
    return cast("pa.Array[Any]", pc.if_else(choice, *typed))


def _rows(spec: Spec, counts: npt.NDArray[np.int64], random: np.random.Generator) -> _Rows:
    total = int(counts.sum())
    key = np.repeat(np.arange(len(counts)), counts)
    ordinal = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    newest = random.integers(_NEWEST_S - _SPAN_S, _NEWEST_S, len(counts))
    moments = (newest[key] - ordinal * 61).astype("datetime64[s]")
    modified = pa.array(np.datetime_as_string(moments, unit="s").astype("S19"), pa.binary())
    if spec.object_bytes is None:
        etag = hex_column(random.integers(0, 256, (total, 16), dtype=np.uint8))
        parts = digits_column(random.integers(2, 99, total), 2)
        ending = _either(pa.array(random.random(total) < spec.multipart_share), join(b"-", parts), b"")
        etag = join(etag, ending)
        size = pa.array(np.minimum(random.lognormal(11.0, 2.5, total), 5e11).astype(np.int64))
    else:
        etag = join(content_md5(spec.object_bytes).encode(), pa.array([b""] * total, pa.binary()))
        size = pa.array(np.full(total, spec.object_bytes, dtype=np.int64))
    return _Rows(
        key=key,
        ordinal=ordinal,
        deleted=random.random(total) < spec.delete_share,
        version=_version_ids(spec, ordinal, random),
        modified=modified,
        etag=etag,
        checksum=_chosen(random, total, spec.checksum_share, _CHECKSUM),
        size=size.cast(pa.string()).cast(pa.binary()),
    )


def _list_entries(keys: pa.Array[Any], rows: _Rows) -> tuple[pa.Array[Any], npt.NDArray[np.int64]]:
    chosen = np.flatnonzero((rows.ordinal == 0) & ~rows.deleted)
    current, key = pa.array(chosen, pa.int64()), rows.key[chosen]
    entries = join(
        b"<Contents><Key>", keys.take(pa.array(key, pa.int64())),
        b"</Key><LastModified>", rows.modified.take(current),
        b".000Z</LastModified><ETag>&quot;", rows.etag.take(current),
        b"&quot;</ETag>", rows.checksum.take(current),
        b"<Size>", rows.size.take(current), b"</Size><StorageClass>STANDARD</StorageClass></Contents>",
    )  # fmt: skip
    return entries, key


def _version_entries(keys: pa.Array[Any], rows: _Rows) -> tuple[pa.Array[Any], npt.NDArray[np.int64]]:
    latest = _either(pa.array(rows.ordinal == 0), b"true", b"false")
    key = keys.take(pa.array(rows.key, pa.int64()))
    head = (key, b"</Key><VersionId>", rows.version, b"</VersionId><IsLatest>", latest,
            b"</IsLatest><LastModified>", rows.modified, b".000Z</LastModified>")  # fmt: skip
    entries = join(
        b"<Version><Key>", *head, b"<ETag>&quot;", rows.etag, b"&quot;</ETag>", rows.checksum,
        b"<Size>", rows.size, b"</Size><StorageClass>STANDARD</StorageClass>" + _OWNER + b"</Version>",
    )  # fmt: skip
    if rows.deleted.any():
        markers = join(b"<DeleteMarker><Key>", *head, _OWNER + b"</DeleteMarker>")
        entries = _either(pa.array(rows.deleted), markers, entries)
    return entries, rows.key


_ENTRIES: Final[dict[str, Callable[[pa.Array[Any], _Rows], tuple[pa.Array[Any], npt.NDArray[np.int64]]]]] = {
    "list": _list_entries,
    "versions": _version_entries,
}


def _xml_form(keys: pa.Array[Any]) -> pa.Array[Any]:
    text = keys.cast(pa.string())
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = pc.replace_substring(text, pattern=character, replacement=escape)
    return text.cast(pa.binary())


def _url_form(keys: pa.Array[Any]) -> pa.Array[Any]:
    return pa.array([quote_plus(cast("bytes", key), safe="/").encode() for key in keys.to_pylist()], pa.binary())


class Column:
    """Appends binary columns to one file and their running offsets to another."""

    def __init__(self, folder: Path, name: str, stack: ExitStack) -> None:
        self._data: IO[bytes] = stack.enter_context((folder / f"{name}.bin").open("wb"))
        self._offsets: IO[bytes] = stack.enter_context((folder / f"{name}.off").open("wb"))
        self._offsets.write(np.int64(0).tobytes())
        self._end = 0

    def append(self, column: pa.Array[Any]) -> None:
        """Add one chunk."""
        _, offsets, data = column.buffers()
        if not len(column) or offsets is None or data is None:
            return
        ends = np.frombuffer(memoryview(offsets), dtype=np.int32)
        ends = ends[column.offset : column.offset + len(column) + 1].astype(np.int64)
        self._data.write(memoryview(data)[int(ends[0]) : int(ends[-1])])
        self._offsets.write((ends[1:] - ends[0] + self._end).tobytes())
        self._end += int(ends[-1] - ends[0])


def _version_counts(spec: Spec, start: int, rows: int) -> npt.NDArray[np.int64]:
    counts = np.full(rows, spec.versions, dtype=np.int64)
    middle = spec.keys // 2
    if spec.layout == "deep" and start <= middle < start + rows:
        counts[middle - start] = spec.deep_versions
    return counts


def _chunks(spec: Spec) -> Iterator[tuple[pa.Array[Any], _Rows]]:
    start = 0
    for keys in key_chunks(spec.layout, spec.keys, spec.seed):
        random = np.random.default_rng([spec.seed, start])
        yield keys, _rows(spec, _version_counts(spec, start, len(keys)), random)
        start += len(keys)


def render(spec: Spec, folder: Path) -> None:
    """Write the bucket's files into an existing folder.

    3 to 4 s a 1,000,000 keys with one version each; memory is bounded by one chunk of keys.
    """
    forms: dict[str, Callable[[pa.Array[Any]], pa.Array[Any]]] = {"": _xml_form if spec.url_form else lambda keys: keys}
    if spec.url_form:
        forms[".url"] = _url_form
    before = dict.fromkeys(spec.kinds, 0)
    with ExitStack() as stack:
        key_column = Column(folder, "keys", stack)
        columns = {kind + form: Column(folder, kind + form, stack) for kind in spec.kinds for form in forms}
        counts = {kind: stack.enter_context((folder / f"{kind}.row").open("wb")) for kind in spec.kinds}
        for kind in spec.kinds:
            counts[kind].write(np.int64(0).tobytes())
        for keys, rows in _chunks(spec):
            key_column.append(keys)
            for form, shape in forms.items():
                shaped = shape(keys)
                for kind in spec.kinds:
                    entries, owner = _ENTRIES[kind](shaped, rows)
                    columns[kind + form].append(entries)
                    if not form:
                        ends = np.cumsum(np.bincount(owner, minlength=len(keys))) + before[kind]
                        counts[kind].write(ends.astype(np.int64).tobytes())
                        before[kind] = int(ends[-1])
