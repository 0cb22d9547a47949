"""How rows lie on disk: the columns of a part, each in the encoding that measured best. Pure."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import pyarrow as pa

from asyncref.manifest.columns import Column, is_empty, pc, text_bytes
from asyncref.model import ENTRY_SCHEMA

DISK_SCHEMA: Final = pa.schema(
    [
        *(field for field in ENTRY_SCHEMA if field.name not in ("modified", "source")),
        # Storages tell whole seconds: kept apart they take 3.3 bytes a row, as microseconds 5.8.
        pa.field("modified_s", pa.int64()),
        pa.field("modified_us", pa.int32()),  # null: a whole second
        ENTRY_SCHEMA.field("source"),
    ]
)

# Measured on 131,072 keys, bytes and CPU time a row, with ZSTD: uuid paths PLAIN 18.4 and 0.17 us, DELTA_BYTE_ARRAY 17.9
# and 0.12 us, DELTA_LENGTH_BYTE_ARRAY 18.5 and 0.07 us (counters 0.6 bytes, not 0.1); random version ids PLAIN 26.0 and
# 0.09 us, DELTA_LENGTH_BYTE_ARRAY 24.0 and 0.07 us; lognormal sizes PLAIN 3.1 and 0.03 us, DELTA_BINARY_PACKED 3.0 and
# 0.01 us, of which ZSTD saves nothing more. 16 random bytes do not compress.
ENCODINGS: Final = {
    "path": "DELTA_LENGTH_BYTE_ARRAY",
    "ref": "DELTA_BYTE_ARRAY",
    "size": "DELTA_BINARY_PACKED",
    "etag16": "PLAIN",
    "etag": "DELTA_LENGTH_BYTE_ARRAY",
    "digest": "DELTA_LENGTH_BYTE_ARRAY",
    "version": "DELTA_LENGTH_BYTE_ARRAY",
    "md5": "PLAIN",
    "checksum": "DELTA_LENGTH_BYTE_ARRAY",
    "modified_s": "DELTA_BINARY_PACKED",
    "modified_us": "DELTA_BINARY_PACKED",
    "source": "DELTA_BINARY_PACKED",
}
_INCOMPRESSIBLE: Final = frozenset({"etag16", "md5", "modified_s", "size"})
COMPRESSION: Final[Any] = {name: "NONE" if name in _INCOMPRESSIBLE else "ZSTD" for name in ENCODINGS}
_UNIX_US: Final = 1_000_000
_SAMPLE_BYTES: Final = 16_384
_WORTH: Final = 0.7


def is_worth_it(versions: Column) -> bool:
    """Whether version ids become smaller by a third: random ones, as S3's, lose a quarter for 0.05 us a row."""
    sample = text_bytes(versions)[:_SAMPLE_BYTES]
    return len(sample) > 0 and len(pa.compress(sample, codec="zstd", asbytes=True)) < _WORTH * len(sample)


def on_disk(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A compact batch in `DISK_SCHEMA`."""
    columns = {name: batch[name] for name in DISK_SCHEMA.names if name in batch.schema.names}
    modified = batch["modified"]
    if is_empty(modified):
        seconds, rest = pa.nulls(len(batch), pa.int64()), pa.nulls(len(batch), pa.int32())
    else:
        moments = modified.cast(pa.int64())
        values = moments.fill_null(0).to_numpy()
        whole = values // _UNIX_US
        remainder = (values - whole * _UNIX_US).astype(np.int32)
        valid = moments.is_valid()
        seconds = pa.array(whole) if moments.null_count == 0 else pc.if_else(valid, pa.array(whole), None)
        rest = pa.array(remainder, mask=remainder == 0) if remainder.any() else pa.nulls(len(batch), pa.int32())
    columns["modified_s"], columns["modified_us"] = seconds, rest
    return pa.RecordBatch.from_arrays([columns[name] for name in DISK_SCHEMA.names], schema=DISK_SCHEMA)


def from_disk(table: pa.Table) -> pa.RecordBatch:
    """Rows of some columns of `DISK_SCHEMA`, compact; the others hold nothing."""
    rows = len(table)
    given = {name: _one_chunk(table.column(name)) for name in table.column_names}
    for field in DISK_SCHEMA:
        if field.name not in given:
            given[field.name] = pa.nulls(rows, field.type)
    moments = pc.multiply(given.pop("modified_s"), _UNIX_US)
    rest = given.pop("modified_us")
    if not is_empty(rest):
        moments = pc.add(moments, rest.fill_null(0).cast(pa.int64()))
    given["modified"] = moments.cast(pa.timestamp("us", tz="UTC"))
    return pa.RecordBatch.from_arrays([given[name] for name in ENTRY_SCHEMA.names], schema=ENTRY_SCHEMA)


def _one_chunk(column: pa.ChunkedArray[Any]) -> Column:
    return cast("Column", column.chunk(0) if column.num_chunks else pa.nulls(0, column.type))
