"""The synthetic store as Azure Blob: List Blobs over rendered entries, with prefix, delimiter and opaque markers.

`python -m benchmarks.store.azure '{...}'` starts it as `benchmarks.store.server` does the other. No blobs, no start key,
no check of who asks. Entries are as the service writes those of an account that keeps no versions.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa

from benchmarks.store import wire
from benchmarks.store.bucket import NAME, Bucket, Reply
from benchmarks.store.layouts import CHUNK_KEYS, digits_column, join, key_chunks, matrix_column
from benchmarks.store.process import Service
from benchmarks.store.render import Column, Spec
from benchmarks.store.server import main

ACCOUNT: Final = "benchaccount"
FOLDERS: Final = "folders"
"""A layout of its own: 1,000 numbered folders of as many numbered names."""
MOST: Final = 5000
_FOLDERS: Final = 1000
_PATH: Final = f"/{ACCOUNT}/{NAME}".encode()
_HEX: Final = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_BASE64: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_OLDEST_S: Final = 1_641_000_000
_SPAN_S: Final = 90_000_000
_MIDDLE: Final = (
    b"</Content-Length><Content-Type>image/jpeg</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
)
_TAIL: Final = (
    b"<Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>"
    b"<AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
    b"<ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
)


def render(spec: Spec, folder: Path) -> None:
    """Write keys and entries as `benchmarks.store.render` does: 4 s and 0.8 GB a 1,000,000 keys."""
    with ExitStack() as stack:
        names, entries = Column(folder, "keys", stack), Column(folder, "list", stack)
        rows = stack.enter_context((folder / "list.row").open("wb"))
        rows.write(np.arange(spec.keys + 1, dtype=np.int64).tobytes())
        for number, keys in enumerate(_chunks(spec)):
            names.append(keys)
            entries.append(_entries(keys, np.random.default_rng([spec.seed, number])))


AZURE: Final = Service(scheme="az", module="benchmarks.store.azure", render=render)


def _chunks(spec: Spec) -> Iterator[pa.Array[Any]]:
    if spec.layout != FOLDERS:
        return key_chunks(spec.layout, spec.keys, spec.seed)
    each = max(1, -(-spec.keys // _FOLDERS))
    starts = range(0, spec.keys, CHUNK_KEYS)
    chunks = (np.arange(start, min(start + CHUNK_KEYS, spec.keys), dtype=np.uint64) for start in starts)
    return (
        join(b"data/", digits_column(chunk // each, 4), b"/", digits_column(chunk % each, 8), b".jpg")
        for chunk in chunks
    )


def _entries(keys: pa.Array[Any], random: np.random.Generator) -> pa.Array[Any]:
    rows = len(keys)
    moments = (_OLDEST_S + random.integers(0, _SPAN_S, rows)).astype("datetime64[s]")
    days = np.array([b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"])
    months = np.array(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], dtype="S3")
    iso = np.datetime_as_string(moments, unit="s").astype("S19").view("S1").reshape(rows, 19)
    date = join(
        pa.array(days[moments.astype("datetime64[D]").astype(np.int64) % 7], pa.binary()), b", ",
        pa.array(iso[:, 8:10].copy().view("S2").ravel(), pa.binary()), b" ",
        pa.array(months[moments.astype("datetime64[M]").astype(np.int64) % 12], pa.binary()), b" ",
        pa.array(iso[:, :4].copy().view("S4").ravel(), pa.binary()), b" ",
        pa.array(iso[:, 11:].copy().view("S8").ravel(), pa.binary()), b" GMT",
    )  # fmt: skip
    md5 = random.integers(0, 64, (rows, 22), dtype=np.uint8)
    md5[:, -1] &= 0x30
    sizes = np.minimum(random.lognormal(11.0, 2.5, rows), 5e11).astype(np.int64)
    return join(
        b"<Blob><Name>", _escaped(keys), b"</Name><Properties><Creation-Time>", date,
        b"</Creation-Time><Last-Modified>", date, b"</Last-Modified><Etag>0x8D",
        matrix_column(_HEX[random.integers(0, 16, (rows, 13))]), b"</Etag><Content-Length>",
        pa.array(sizes).cast(pa.string()).cast(pa.binary()), _MIDDLE,
        b"<Content-MD5>", matrix_column(_BASE64[md5]), b"==</Content-MD5>" + _TAIL,
    )  # fmt: skip


def _escaped(keys: pa.Array[Any]) -> pa.Array[Any]:
    joined = b"".join(keys.to_pylist())
    if not any(mark in joined for mark in (b"&", b"<", b">")):
        return keys
    return pa.array([escape(key.decode()).encode() for key in keys.to_pylist()], pa.binary())


class AzureContainer(Bucket):
    """The same rendered rows behind Azure's protocol."""

    def answer(self, method: str, path: bytes, query: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Reply:
        """The answer to one request; only List Blobs of one container is known."""
        del headers
        if method != "GET" or path != _PATH or query.get("comp") != "list":
            return Reply(wire.error(404, "ContainerNotFound", "The specified container does not exist."), "other")
        prefix = query.get("prefix", "").encode()
        first, stop = self.table.rows_under("list", prefix)
        if marker := query.get("marker"):
            first = max(first, int(base64.b64decode(marker.partition("!")[2])))
        most = min(int(query.get("maxresults") or MOST), self.page_rows)
        if query.get("delimiter") == "/":
            pieces, row, rows = self._level(prefix, first, stop, most)
            return Reply(self._page(prefix, pieces, row, stop), "folders", first, rows)
        last = max(first, min(first + most, stop))
        return Reply(
            self._page(prefix, [self.table.entries("list").span(first, last)], last, stop), "list", first, last - first
        )

    def _level(self, prefix: bytes, row: int, stop: int, most: int) -> tuple[wire.Pieces, int, int]:
        """What lies right under a prefix: blobs as they are, folders by their names; the row behind, and the blobs."""
        entries = self.table.entries("list")
        pieces: wire.Pieces = []
        blobs = 0
        while row < stop and len(pieces) < most:
            key = self.table.keys[row]
            slash = key.find(b"/", len(prefix))
            if slash < 0:
                pieces.append(entries.span(row, row + 1))
                blobs += 1
                row += 1
            else:
                child = key[: slash + 1]
                pieces.append(b"<BlobPrefix><Name>%b</Name></BlobPrefix>" % escape(child.decode()).encode())
                row = self.table.rows_under("list", child)[1]
        return [b"".join(pieces)], row, blobs

    def _page(self, prefix: bytes, pieces: wire.Pieces, row: int, stop: int) -> wire.Pieces:
        shown = escape(prefix.decode()).encode()
        head = (
            b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint='
            b'"https://%b.blob.core.windows.net/" ContainerName="%b"><Prefix>%b</Prefix><Blobs>'
        ) % (ACCOUNT.encode(), NAME.encode(), shown)
        marker = b"<NextMarker>2!%b</NextMarker>" % base64.b64encode(b"%d" % row) if row < stop else b"<NextMarker />"
        return wire.response(200, [head, *pieces, b"</Blobs>" + marker + b"</EnumerationResults>"])


if __name__ == "__main__":
    main(sys.argv[1], AzureContainer)
