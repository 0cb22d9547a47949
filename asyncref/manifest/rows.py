"""Rows in two forms: logical, as a user sees them, and compact, as they are spooled, stored and hashed.

`asyncref.model` states the rules of the compact form. One rule more holds here: where a row has no ETag, no
MD5 and no digest of its own, its digest is its reference (as W&B has it for references by mere URL).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from asyncref.manifest.columns import (
    Column,
    base64_rows,
    fixed_column,
    fixed_rows,
    hex_rows,
    is_empty,
    mask_of,
    pc,
    text_column,
    text_rows,
    unhex_rows,
)
from asyncref.model import ENTRY_SCHEMA, Entry, Pin, Source

_LOGICAL: Final[list[tuple[str, pa.DataType, bool]]] = [
    ("path", pa.string(), False),
    ("ref", pa.string(), False),
    ("size", pa.int64(), True),  # bytes
    ("digest", pa.string(), False),
    ("etag", pa.string(), True),
    ("version", pa.string(), True),
    ("checksum", pa.string(), True),
    ("modified", pa.timestamp("us", tz="UTC"), True),
    ("source", pa.int16(), False),
]
LOGICAL_SCHEMA: Final = pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in _LOGICAL])
_HEX_ETAG: Final = r'\A"[0-9a-f]{32}"\z'
_HEX_MD5: Final = r"\Amd5:[0-9a-f]{32}\z"
_NO_TEXT: Final = pa.scalar(None, pa.string())
_ENTRIES_A_STEP: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def refs(batch: pa.RecordBatch, sources: Sequence[Source]) -> Column:
    """The reference of every row of a compact batch."""
    given = batch["ref"]
    if given.null_count == 0:
        return given
    derived = _derived_refs(batch, sources)
    return derived if is_empty(given) else _first_of(given, derived)


def digests(batch: pa.RecordBatch, sources: Sequence[Source]) -> Column:
    """W&B's digest of every row of a compact batch."""
    given = batch["digest"]
    derived = _derived_digests(batch, sources)
    return derived if is_empty(given) else _first_of(given, derived)


def expand(batch: pa.RecordBatch, sources: Sequence[Source]) -> pa.RecordBatch:
    """The logical form (`LOGICAL_SCHEMA`) of a compact batch; nothing left out."""
    etag, checksum = batch["etag"], batch["checksum"]
    if not is_empty(batch["etag16"]):
        etag = pc.coalesce(_quoted_hex(batch["etag16"]), etag)
    if not is_empty(batch["md5"]):
        hexes = text_column(hex_rows(fixed_rows(batch["md5"])), batch["md5"])
        checksum = pc.coalesce(pc.binary_join_element_wise("md5:", hexes, ""), checksum)
    columns = {
        "path": batch["path"],
        "ref": refs(batch, sources),
        "size": batch["size"],
        "digest": digests(batch, sources),
        "etag": etag,
        "version": batch["version"],
        "checksum": checksum,
        "modified": batch["modified"],
        "source": batch["source"],
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in LOGICAL_SCHEMA.names], schema=LOGICAL_SCHEMA)


def compact(batch: pa.RecordBatch, sources: Sequence[Source]) -> pa.RecordBatch:
    """The one compact form (`ENTRY_SCHEMA`) of a logical batch; the reverse of `expand`."""
    given = {field.name: batch[field.name] for field in LOGICAL_SCHEMA}
    empty = {name: pa.nulls(len(batch), pa.binary(16)) for name in ("etag16", "md5")}
    columns = [{**given, **empty}[name] for name in ENTRY_SCHEMA.names]
    return canonical(pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA), sources)


def canonical(batch: pa.RecordBatch, sources: Sequence[Source]) -> pa.RecordBatch:
    """The same rows with everything that follows from another column left out.

    Costs nothing but four look-ups where `ref`, `etag`, `digest` and `checksum` are all null.
    """
    batch = _packed(batch, "etag", "etag16", _HEX_ETAG, head=1)
    batch = _packed(batch, "checksum", "md5", _HEX_MD5, head=4)
    if not is_empty(batch["ref"]):
        batch = _without(batch, "ref", _derived_refs(batch, sources))
    if not is_empty(batch["digest"]):
        batch = _without(batch, "digest", _derived_digests(batch, sources))
    return batch


def batch_of(entries: Iterable[Entry], sources: Sequence[Source]) -> pa.RecordBatch:
    """A compact batch of entries, in their order."""
    rows = [
        (
            entry.path,
            entry.ref,
            entry.pin.size,
            entry.digest,
            entry.pin.etag,
            entry.pin.version,
            entry.pin.checksum,
            entry.pin.modified,
            entry.source,
        )
        for entry in entries
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(LOGICAL_SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, LOGICAL_SCHEMA, strict=True)]
    return compact(pa.RecordBatch.from_arrays(arrays, schema=LOGICAL_SCHEMA), sources)


def entries_of(batch: pa.RecordBatch, sources: Sequence[Source]) -> Iterator[Entry]:
    """The entries of a compact batch, in order. Costs some microseconds a row: for loops over few."""
    for start in range(0, len(batch), _ENTRIES_A_STEP):
        logical = expand(batch.slice(start, _ENTRIES_A_STEP), sources)
        yield from logical_entries(logical)


def logical_entries(rows: pa.RecordBatch | pa.Table) -> Iterator[Entry]:
    """The entries of a logical batch or table, in order."""
    columns = [rows.column(name).to_pylist() for name in LOGICAL_SCHEMA.names if name != "modified"]
    columns.insert(LOGICAL_SCHEMA.get_field_index("modified"), _moments(rows.column("modified")))
    for path, ref, size, digest, etag, version, checksum, modified, source in zip(*columns, strict=True):
        pin = Pin(size=size, etag=etag, version=version, checksum=checksum, digest=digest, modified=modified)
        yield Entry(path=path, ref=ref, digest=digest, pin=pin, source=source)


def _moments(column: Any) -> list[datetime | None]:
    # 0.5 us a value; Arrow's own conversion of times with a zone takes 3.
    counts = column.cast(pa.int64()).to_pylist()
    return [None if count is None else _EPOCH + timedelta(microseconds=count) for count in counts]


def replaced(batch: pa.RecordBatch, **columns: Column) -> pa.RecordBatch:
    """The batch with some columns exchanged."""
    arrays = [columns.get(field.name, batch[field.name]) for field in batch.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _derived_refs(batch: pa.RecordBatch, sources: Sequence[Source]) -> Column:
    path, index = batch["path"], batch["source"]
    used = pc.unique(index).to_pylist()
    if len(used) == 1:
        return _refs_of(sources[used[0]], path)
    derived: Column = pa.nulls(len(batch), pa.string())
    for number in used:
        derived = pc.if_else(pc.equal(index, number), _refs_of(sources[number], path), derived)
    return derived


def _refs_of(source: Source, path: Column) -> Column:
    relative = path
    if source.name:
        cut = pc.utf8_slice_codeunits(path, len(source.name) + 1)  # binary_slice fails on shorter values (Arrow 26)
        relative = pc.if_else(pc.starts_with(path, f"{source.name}/"), cut, path)
    found: Column = pc.binary_join_element_wise(f"{source.root}{source.prefix}", relative, "")
    return found


def _derived_digests(batch: pa.RecordBatch, sources: Sequence[Source]) -> Column:
    etag16, etag, md5 = batch["etag16"], batch["etag"], batch["md5"]
    found: list[Column] = []
    if not is_empty(etag16):
        found.append(text_column(hex_rows(fixed_rows(etag16)), etag16))
    if not is_empty(etag):
        found.append(pc.utf8_trim(pc.replace_substring_regex(etag, r"\AW/", ""), '"'))
    if not is_empty(md5):
        found.append(text_column(base64_rows(fixed_rows(md5)), md5))
    derived: Column | None = pc.coalesce(*found) if found else None
    if derived is not None and derived.null_count == 0:
        return derived
    fallback = refs(batch, sources)
    return fallback if derived is None else _first_of(derived, fallback)


def _first_of(*columns: Column) -> Column:
    found: Column = pc.coalesce(*columns)
    return found


def _quoted_hex(column: Column) -> Column:
    chars = np.full((len(column), 34), ord('"'), np.uint8)
    chars[:, 1:33] = hex_rows(fixed_rows(column))
    return text_column(chars, column)


def _packed(batch: pa.RecordBatch, text: str, fixed: str, pattern: str, *, head: int) -> pa.RecordBatch:
    """Move texts that are hex into their column of raw bytes; `head` characters stand before the digits."""
    if is_empty(batch[text]):
        return batch
    found = pc.match_substring_regex(batch[text], pattern)
    mask = mask_of(found)
    if not mask.any():
        return batch
    chosen = batch[text].filter(pa.array(mask))
    width = text_width(chosen)
    values = np.zeros((len(batch), 16), np.uint8)
    values[mask] = unhex_rows(text_rows(chosen, width)[:, head : head + 32])
    raw = fixed_column(values, mask)
    if not is_empty(batch[fixed]):
        raw = pc.coalesce(batch[fixed], raw)
    return replaced(batch, **{text: pc.if_else(pa.array(mask), _NO_TEXT, batch[text]), fixed: raw})


def text_width(column: Column) -> int:
    """Bytes of the first value of a string column whose values are all equally long."""
    return len(column[0].as_py().encode())


def _without(batch: pa.RecordBatch, name: str, derived: Column) -> pa.RecordBatch:
    same = pc.equal(batch[name], derived).fill_null(False)
    if not pc.any(same).as_py():
        return batch
    return replaced(batch, **{name: pc.if_else(same, _NO_TEXT, batch[name])})
