"""The fingerprint of a manifest's references: whether the same digests still lie under the same references."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from asyncref.manifest import Manifest
from asyncref.manifest.rows import refs


def refs_fingerprint(manifest: Manifest) -> str:
    """sha256 hex over every reference in path order, however the rows are cut into batches.

    One pass over the manifest, a batch in memory; about a second for ten million rows. Paths are not in it:
    the manifest's digest has them. Of rows that are referred to by mere URL, whose digest names no content, size and
    version (Last-Modified) are in it.
    """
    lengths, values, pins = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    unnamed = 0
    for batch in manifest.batches():
        column = refs(batch, manifest.sources)
        _, ends, data = column.buffers()
        if not len(column) or ends is None or data is None:
            continue
        bounds = np.frombuffer(memoryview(ends), "<i4", len(column) + 1, 4 * column.offset)
        lengths.update(np.diff(bounds).tobytes())
        values.update(memoryview(data)[int(bounds[0]) : int(bounds[-1])])
        for size, version in _pins_by_mere_url(batch):
            unnamed += 1
            pins.update(f"{size} {version}\n".encode())
    return hashlib.sha256(lengths.digest() + values.digest() + (pins.digest() if unnamed else b"")).hexdigest()


def _pins_by_mere_url(batch: pa.RecordBatch) -> list[tuple[int | None, str | None]]:
    """Size and version of the rows that have one of them, and neither an ETag nor a content digest."""
    named = [batch.column(name) for name in ("etag16", "etag", "md5", "digest")]
    if any(column.null_count == 0 for column in named):
        return []
    mere = np.logical_and.reduce([column.is_null().to_numpy(zero_copy_only=False) for column in named])
    rows = batch.filter(pa.array(mere))
    pairs = zip(rows.column("size").to_pylist(), rows.column("version").to_pylist(), strict=True)
    return [pair for pair in pairs if pair != (None, None)]
