"""Parts: runs of rows as Parquet, in memory or in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from asyncref.errors import ManifestFormatError, NotFoundError
from asyncref.manifest.columns import is_empty
from asyncref.manifest.disk import COMPRESSION, DISK_SCHEMA, ENCODINGS, from_disk, is_worth_it, on_disk

GROUP_ROWS: Final = 32_768
"""Rows a Parquet row group: what a look-up decodes and a reader holds at once (some 5 MB)."""

# What Arrow raises over damaged bytes: its own errors, but also bad UTF-8 and absurd sizes.
_DAMAGE: Final = (pa.ArrowException, OSError, ValueError, MemoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of rows in path order, stored as one Parquet file.

    Attributes:
        first: Path of the first row.
        last: Path of the last row.
        rows: How many.
        bytes: Size of the file.
        hash: sha256 of the file, hex; empty for an exported file, which stands alone.
        where: The file, or its bytes.
        stamp: What an exported file looked like when it was loaded (`stamp_of`).
        is_own: The file was written by this process, into a folder that is nobody else's.
        ends: First and last path of each row group of an exported file, as its rows say; those are checked, and the
            file's own statistics are not.
    """

    first: str
    last: str
    rows: int
    bytes: int
    hash: str
    where: Path | pa.Buffer
    stamp: tuple[int, int, int] | None = None
    is_own: bool = False
    ends: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a root lists it."""
        return {"hash": self.hash, "first": self.first, "last": self.last, "rows": self.rows, "bytes": self.bytes}

    def check(self) -> None:
        """Compare size and hash of the file with the root's; reads it once.

        Raises:
            ManifestFormatError: Missing, cut or edited.
        """
        if not isinstance(self.where, Path):
            return
        try:
            with self.where.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ManifestFormatError(f"a part cannot be read: {error.strerror}", uri=str(self.where)) from error
        if found != self.hash:
            raise ManifestFormatError("a part was damaged or edited: its hash differs", uri=str(self.where))


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of change: whether a file is still the one that was loaded; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Reader:
    """One Parquet file of rows, read a row group at a time.

    Args:
        where: The file, or its bytes.
        uri: What errors call it.
        ends: First and last path of each row group, where they are known.

    Raises:
        NotFoundError: No such file.
        ManifestFormatError: Not Parquet, cut, or other columns than a manifest has.
    """

    def __init__(
        self, where: Path | pa.Buffer, *, uri: str | None = None, ends: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._ends = ends
        self._uri = uri or (str(where) if isinstance(where, Path) else None)
        try:
            # No memory map: a file that is cut while it is read must be an error, not a bus fault.
            source = pa.OSFile(os.fspath(where), "rb") if isinstance(where, Path) else pa.BufferReader(where)
            self._file = pq.ParquetFile(source)
        except FileNotFoundError:
            raise NotFoundError("no such file", uri=self._uri) from None
        except _DAMAGE as error:
            raise ManifestFormatError(f"not a manifest: {_first_line(error)}", uri=self._uri) from error
        self.metadata = self._file.metadata
        self.groups: int = self.metadata.num_row_groups
        self.rows: int = self.metadata.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close(force=True)

    @property
    def key_values(self) -> dict[bytes, bytes]:
        """The file's own key-value metadata."""
        return dict(self.metadata.metadata or {})

    def check_schema(self) -> None:
        """Whether the columns are a manifest's.

        Raises:
            ManifestFormatError: Other columns, or other types.
        """
        schema = self._file.schema_arrow
        if schema.names != DISK_SCHEMA.names or schema.types != DISK_SCHEMA.types:  # an export holds them all
            raise ManifestFormatError("not a manifest: its columns are others", uri=self._uri)

    def bounds(self, group: int) -> tuple[str, str] | None:
        """First and last path of a row group; None if the file does not say."""
        if self._ends:
            return self._ends[group]
        column = self.metadata.row_group(group).column(0)  # of a damaged file this ends the process (pyarrow 26)
        if column.physical_type != "BYTE_ARRAY":  # pyarrow 26 ends the process over statistics of another type
            raise ManifestFormatError("damaged: its paths are no text", uri=self._uri)
        found: Any = column.statistics
        try:
            return (found.min, found.max) if found is not None and found.has_min_max else None
        except _DAMAGE as error:
            raise ManifestFormatError(f"damaged: {_first_line(error)}", uri=self._uri) from error

    def find(self, path: str) -> int:
        """The row group that holds a path if any does."""
        for number in range(self.groups - 1):
            bounds = self.bounds(number) or (None, self.group(number)["path"][-1].as_py())
            if bounds[1] >= path:
                return number
        return self.groups - 1

    def group(self, number: int) -> pa.RecordBatch:
        """One row group as a compact batch.

        Raises:
            ManifestFormatError: The bytes are damaged.
        """
        try:
            table = self._file.read_row_group(number, use_threads=False).combine_chunks()
        except _DAMAGE as error:
            raise ManifestFormatError(f"damaged: {_first_line(error)}", uri=self._uri) from error
        return from_disk(table)

    def columns(self, number: int, names: Sequence[str]) -> pa.Table:
        """Some columns of one row group as they are stored.

        Raises:
            ManifestFormatError: The bytes are damaged.
        """
        there = [name for name in names if name in self._file.schema_arrow.names]
        try:
            table = self._file.read_row_group(number, columns=there, use_threads=False)
        except _DAMAGE as error:
            raise ManifestFormatError(f"damaged: {_first_line(error)}", uri=self._uri) from error
        for at, name in enumerate(names):
            if name not in there:
                field = DISK_SCHEMA.field(name)
                table = table.add_column(at, field, pa.nulls(len(table), field.type))
        return table

    def batches(self, start: str | None = None) -> Iterator[pa.RecordBatch]:
        """Row groups in order, from the first that may hold `start` or what follows it."""
        for number in range(self.groups):
            bounds = self.bounds(number) if start is not None else None
            if bounds is None or start is None or bounds[1] >= start:
                yield self.group(number)


class Writer:
    """One Parquet file of rows, a row group a call; equal calls give equal bytes.

    Args:
        sink: Where the file goes; None keeps it in memory.
        root: JSON for the key-value metadata, for a file that stands alone.
        columns: Those to write, of `DISK_SCHEMA` and in its order; no row has values in the others.
        loose: Those that are not compressed, besides those that never are.
    """

    def __init__(
        self,
        sink: pa.NativeFile | None = None,
        root: bytes | None = None,
        columns: Sequence[str] = DISK_SCHEMA.names,
        loose: frozenset[str] = frozenset(),
    ) -> None:
        self._sink = sink or pa.BufferOutputStream()
        self._schema = pa.schema([DISK_SCHEMA.field(name) for name in columns])
        self._parquet = pq.ParquetWriter(
            self._sink,
            self._schema.with_metadata({"asyncref": root}) if root is not None else self._schema,
            version="2.6",
            compression={name: "NONE" if name in loose else COMPRESSION[name] for name in columns},
            use_dictionary=False,
            column_encoding={name: ENCODINGS[name] for name in columns},
            write_statistics=["path"],
            store_schema=root is not None,  # with it Arrow writes the schema's metadata, too
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        with suppress(pa.ArrowException, OSError, ValueError):  # else its finalizer writes to a closed file
            self._parquet.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a compact batch as one row group."""
        self.write_disk(on_disk(batch))

    def write_disk(self, batch: pa.RecordBatch) -> None:
        """Add a batch of `DISK_SCHEMA` as one row group."""
        columns = [batch.column(DISK_SCHEMA.get_field_index(name)) for name in self._schema.names]
        kept = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._parquet.write_batch(kept, row_group_size=max(1, len(batch)))

    def close(self) -> pa.Buffer | None:
        """Finish; the file's bytes if it was kept in memory."""
        self._parquet.close()
        return self._sink.getvalue() if isinstance(self._sink, pa.BufferOutputStream) else None


class PartWriter:
    """One part's Parquet bytes, in memory; columns in which no row has a value are left out.

    An empty column costs 4 us of CPU per 1,000 rows, and most rows have seven. Where a later row group is the first to
    have a column, what was written is written again: once a column at most, and seldom. Random version ids are not
    compressed.
    """

    def __init__(self) -> None:
        self._writer: Writer | None = None
        self._columns: tuple[str, ...] = ()
        self._loose: frozenset[str] = frozenset()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a compact batch as one row group."""
        given = on_disk(batch)
        there = {name for name, column in zip(given.schema.names, given.columns, strict=True) if not is_empty(column)}
        if self._writer is None or not there <= set(self._columns):
            before = self._writer.close() if self._writer is not None else None
            if "version" in there and "version" not in self._columns and not is_worth_it(batch["version"]):
                self._loose = frozenset({"version"})
            self._columns = tuple(name for name in DISK_SCHEMA.names if name in there or name in self._columns)
            self._writer = Writer(columns=self._columns, loose=self._loose)
            if before is not None:
                with Reader(before) as reader:
                    for group in reader.batches():
                        self._writer.write(group)
        self._writer.write_disk(given)

    def close(self) -> pa.Buffer:
        """Finish; the file's bytes."""
        assert self._writer is not None
        data = self._writer.close()
        assert data is not None
        return data


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
