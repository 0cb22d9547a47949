"""Pins rows that a listing cannot pin: one `stat` an object (a HEAD, or a file read for its MD5), bounded; or by name."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.base import Backend, NamesFiles
from asyncref.engine.flow import Lane, Lanes, Meter, one_error
from asyncref.errors import NotFoundError, ProtocolError
from asyncref.model import ENTRY_SCHEMA, PAGE_SCHEMA, Pin, Source

_MD5 = ENTRY_SCHEMA.get_field_index("md5")
ANNOUNCE_ABOVE = 100_000
"""More paid requests than this are announced to the user before they are sent."""


@dataclass(slots=True)
class Pinner:
    """Replaces the pins of rows by those that `stat` gives; rows of objects that are gone are dropped.

    Args:
        backend: Asked once a row.
        source: Gives a row's key.
        lanes: Gives the way there.
        lenient: What is not found is left out; otherwise it is an error.
    """

    backend: Backend
    source: Source
    lanes: Lanes
    lenient: bool = True
    lane: Lane = field(init=False)
    meter: Meter = field(init=False)
    _asked: int = 0

    def __post_init__(self) -> None:
        self.lane, self.meter = self.lanes.of("stat", self.backend), self.lanes.meter

    async def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with new pins, in order; a file whose MD5 the listing knew is not asked for. Memory: the page's."""
        known = rows.column(_MD5).is_valid()
        if self.backend.traits.listing_pins or not known.true_count:
            return await self._pinned(rows)
        asked = await self._pinned(rows.filter(pc.invert(known)))
        joined = pa.concat_batches([rows.filter(known), asked])
        return joined.take(pc.sort_indices(joined.column(0)))

    async def _pinned(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        self._announce(rows.num_rows)
        keys = _keys_of(rows, self.source)
        pins: list[Pin | None] = [None] * len(keys)
        todo: Iterator[tuple[int, str]] = iter(enumerate(keys))

        async def worker() -> None:
            for index, key in todo:
                pins[index] = await self._stat(key)

        with one_error():
            async with anyio.create_task_group() as group:
                for _ in range(min(len(keys), self.lane.controller.most)):
                    group.start_soon(worker)
        return _with_pins(rows, pins)

    async def _stat(self, key: str) -> Pin | None:
        try:
            return await self.lane.call(lambda: self.backend.stat(key))
        except NotFoundError as error:
            if error.code == "folder":
                raise ProtocolError("listed as a file, and it is a folder", uri=error.uri) from error
            if not self.lenient:
                raise
            self.meter.skipped["vanished"] += 1
            return None

    def _announce(self, count: int) -> None:
        self._asked += count
        if self._asked > ANNOUNCE_ABOVE and self.backend.traits.prices_requests:
            self.meter.note(
                f"the listing of {self.source.uri} gives no version ids, so every object costs one HEAD request "
                f"(more than {ANNOUNCE_ABOVE:,} by now); allow s3:ListBucketVersions, or scan with heads='never'"
            )


@dataclass(slots=True)
class Namer:
    """Gives rows of files that are not to be read (`checksum=False`) W&B's digest of their resolved path.

    Args:
        backend: Makes the digests.
        source: Gives a row's key.
    """

    backend: Backend
    source: Source

    def __post_init__(self) -> None:
        if isinstance(self.backend, NamesFiles):
            self.backend.leave_content()

    async def __call__(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with digests. Cost: up to 20 µs a row for the path's links, in a thread."""
        rows = rows.set_column(_MD5, ENTRY_SCHEMA.field(_MD5), pa.nulls(rows.num_rows, pa.binary(16)))
        index = ENTRY_SCHEMA.get_field_index("digest")
        digests = await anyio.to_thread.run_sync(self._digests, rows)
        return rows.set_column(index, ENTRY_SCHEMA.field(index), digests)

    def _digests(self, rows: pa.RecordBatch) -> pa.StringArray:
        name, paths, refs = self.backend.digest_by_name, rows.column(0), rows.column(1)
        if isinstance(self.backend, NamesFiles) and refs.null_count == len(refs):
            if self.source.name:
                paths = pc.utf8_slice_codeunits(paths, start=len(self.source.name) + 1)
            return self.backend.digests_by_name(self.source.prefix, paths)
        return pa.array([name(key) for key in _keys_of(rows, self.source)], pa.string())


def _keys_of(rows: pa.RecordBatch, source: Source) -> list[str]:
    paths, refs = rows.column(0).to_pylist(), rows.column(1)
    if refs.null_count < len(refs):
        return [source.key_of(ref or source.ref_of(path)) for path, ref in zip(paths, refs.to_pylist(), strict=True)]
    prefix, named = source.prefix, len(source.name) + 1 if source.name else 0
    return [f"{prefix}{path[named:]}" for path in paths]


def _with_pins(rows: pa.RecordBatch, pins: list[Pin | None]) -> pa.RecordBatch:
    kept = [pin for pin in pins if pin is not None]
    if len(kept) < len(pins):
        rows = rows.filter(pa.array([pin is not None for pin in pins]))
    pinned = page_of_pins([""] * len(kept), kept)
    return pa.RecordBatch.from_arrays(
        [rows.column(0), rows.column(1), *pinned.columns[1:], rows.column(rows.num_columns - 1)], schema=ENTRY_SCHEMA
    )


def page_of_pins(keys: list[str], pins: list[Pin]) -> pa.RecordBatch:
    """Rows of `PAGE_SCHEMA` in their compact form, for keys that were asked one by one."""
    etags = [_split_hex(pin.etag, '"', '"') for pin in pins]
    sums = [_split_hex(pin.checksum, "md5:", "") for pin in pins]
    columns: list[list[object]] = [
        list(keys),
        [pin.size for pin in pins],
        [raw for raw, _ in etags],
        [text for _, text in etags],
        [_digest(pin, raw_md5) for pin, (raw_md5, _) in zip(pins, sums, strict=True)],
        [pin.version for pin in pins],
        [raw for raw, _ in sums],
        [text for _, text in sums],
        [pin.modified for pin in pins],
    ]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, PAGE_SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


def _split_hex(text: str | None, before: str, after: str) -> tuple[bytes | None, str | None]:
    """The 16 bytes of `before` + 32 lower-case hex digits + `after`, or the text itself."""
    if text is None:
        return None, None
    inner = text[len(before) : len(text) - len(after)]
    if text == f"{before}{inner}{after}" and len(inner) == 32 and not set(inner) - set("0123456789abcdef"):  # noqa: PLR2004
        return bytes.fromhex(inner), None
    return None, text


def _digest(pin: Pin, md5: bytes | None) -> str | None:
    """The explicit digest, unless it follows."""
    if pin.digest is None:
        return None
    if pin.etag is not None:
        derived = pin.etag.removeprefix("W/").strip('"')
    else:
        derived = base64.b64encode(md5).decode() if md5 else ""
    return None if pin.digest == derived else pin.digest
