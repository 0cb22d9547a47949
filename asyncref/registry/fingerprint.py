"""The fingerprint of a manifest's references: whether the same digests still lie under the same references."""

from __future__ import annotations

import hashlib

import numpy as np

from asyncref.manifest import Manifest
from asyncref.manifest.rows import refs


def refs_fingerprint(manifest: Manifest) -> str:
    """sha256 hex over every reference in path order, however the rows are cut into batches.

    One pass over the manifest, a batch in memory; about a second for ten million rows. Paths are not in it:
    the manifest's digest has them.
    """
    lengths, values = hashlib.sha256(), hashlib.sha256()
    for batch in manifest.batches():
        column = refs(batch, manifest.sources)
        _, ends, data = column.buffers()
        if not len(column) or ends is None or data is None:
            continue
        bounds = np.frombuffer(memoryview(ends), "<i4", len(column) + 1, 4 * column.offset)
        lengths.update(np.diff(bounds).tobytes())
        values.update(memoryview(data)[int(bounds[0]) : int(bounds[-1])])
    return hashlib.sha256(lengths.digest() + values.digest()).hexdigest()
