"""What every row of a manifest must satisfy, checked on whole columns, with the first fault named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from asyncref.errors import BadKeyError, DuplicatePathError, OrderError, ProtocolError
from asyncref.manifest.columns import Column, Mask, is_empty, mask_of, pc
from asyncref.manifest.rows import refs
from asyncref.model import Source
from asyncref.texts import ascends

_PIN = ("size", "etag16", "etag", "digest", "version", "md5", "checksum")


def check_values(batch: pa.RecordBatch, sources: Sequence[Source]) -> None:
    """Refuse an empty path, a size below zero and a source that is not there; rows in path order.

    Raises:
        BadKeyError: An empty path.
        ProtocolError: A negative size, or an unknown source.
    """
    if not len(batch):
        return
    low, high = pc.min_max(batch["source"]).as_py().values()
    if low < 0 or high >= len(sources):
        raise ProtocolError(f"a row names source {high if low >= 0 else low}, and there are {len(sources)}")
    if not batch["path"][0].as_py():
        raise BadKeyError("a row has an empty path", keys=("",), count=1, uri=refs(batch, sources)[0].as_py())
    size = batch["size"]
    if not is_empty(size) and pc.min(size).as_py() < 0:
        row = int(np.argmax(mask_of(pc.less(size, 0))))
        raise ProtocolError(f"a size below zero: {size[row]}", uri=refs(batch, sources)[row].as_py())


def unique(batch: pa.RecordBatch, sources: Sequence[Source]) -> pa.RecordBatch:
    """Rows in path order, one a path: rows of one path and one pin collapse into the first source's.

    Costs one comparison of neighbours where paths ascend, which is nearly always.

    Raises:
        OrderError: Paths descend.
        DuplicatePathError: Two pins for one path.
    """
    if ascends(batch["path"]):
        return batch
    path = batch["path"]
    if pc.any(pc.greater(path[:-1], path[1:])).as_py():
        row = int(np.argmax(mask_of(pc.greater(path[:-1], path[1:]))))
        where = refs(batch, sources)
        raise OrderError(f"paths out of order: {where[row + 1]} follows", uri=where[row].as_py())
    keys = [("path", "ascending"), ("source", "ascending"), ("ref", "ascending"), ("modified", "ascending")]
    batch = batch.take(pc.sort_indices(batch, sort_keys=keys))
    path = batch["path"]
    again = mask_of(pc.equal(path[:-1], path[1:]))
    clash = again & ~_same_pin(batch[:-1], batch[1:])
    if clash.any():
        row = int(np.argmax(clash))
        where = refs(batch, sources)
        raise DuplicatePathError(
            f"two pins for the path {path[row]}: {_pin_of(batch, row, where)} and {_pin_of(batch, row + 1, where)}",
            uri=where[row].as_py(),
            hint="give each reference its own name=",
        )
    return batch.filter(pa.array(np.concatenate([[True], ~again])))


def _same_pin(left: pa.RecordBatch, right: pa.RecordBatch) -> Mask:
    return equal_rows(left, right, _PIN)


def equal_rows(left: pa.RecordBatch, right: pa.RecordBatch, names: Sequence[str]) -> Mask:
    """Row by row: whether two batches of equal length agree in these columns; null equals null."""
    same = np.ones(len(left), np.bool_)
    for name in names:
        one, other = left[name], right[name]
        if is_empty(one) and is_empty(other):
            continue
        if not one.equals(other):
            both_null = mask_of(one.is_null()) & mask_of(other.is_null())
            same &= mask_of(pc.equal(one, other)) | both_null
    return same


def _pin_of(batch: pa.RecordBatch, row: int, where: Column) -> str:
    version = batch["version"][row].as_py()
    return f"{where[row]}{f' version {version}' if version else ''}"
