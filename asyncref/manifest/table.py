"""Manifest: a sorted table of pinned entries, read from its parts as it is asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import IOBase
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from asyncref.errors import AsyncrefError, ManifestFormatError
from asyncref.globs import Filter
from asyncref.manifest.checks import check_values
from asyncref.manifest.columns import pc
from asyncref.manifest.diff import Diff, diff
from asyncref.manifest.digest import Digests
from asyncref.manifest.files import written_whole
from asyncref.manifest.merge import position
from asyncref.manifest.parts import Part, Reader, Writer, stamp_of
from asyncref.manifest.roots import Root
from asyncref.manifest.rows import LOGICAL_SCHEMA, batch_of, entries_of, expand
from asyncref.manifest.writer import Scratch, Written, write
from asyncref.model import Entry, Source
from asyncref.record import Record
from asyncref.texts import ascends

_ENTRIES_A_BATCH = 65_536


class Manifest:
    """A sorted table of pinned entries.

    Rows lie in Parquet parts, in files or (below 1 MiB) in memory; every operation but `to_arrow` holds
    some row groups of 32,768 rows at most. Made by `build`, `load`, `from_entries`, `select`.

    Attributes:
        sources: Where the entries lie; an entry's `source` counts in it.
        record: How the manifest was made; outside its digests.
        parts: Its files, in path order.
        digest: W&B's artifact digest, md5 hex: names the content.
        identity: sha256 hex over all pins and sources: names exactly what is pinned.
        size: Bytes of all objects whose size is known.
    """

    __slots__ = (
        "__weakref__",
        "_group",
        "_keep",
        "_rows",
        "_unchecked",
        "digest",
        "identity",
        "parts",
        "record",
        "size",
        "sources",
    )

    def __init__(self, root: Root, parts: Sequence[Part], *, keep: Scratch | None = None, checked: bool = True) -> None:
        self.sources = root.sources
        self.record = root.record
        self.parts = tuple(parts)
        self.digest = root.digest
        self.identity = root.identity
        self.size = root.size
        self._rows = root.rows
        self._keep = keep
        self._unchecked = set() if checked else {part.hash for part in parts}
        self._group: tuple[Part, int, pa.RecordBatch] | None = None

    @classmethod
    def of(cls, written: Written, *, sources: Sequence[Source], record: Record) -> Manifest:
        """The manifest of rows that were just written."""
        root = Root(
            identity=written.identity,
            digest=written.digest,
            rows=written.rows,
            size=written.size,
            sources=tuple(sources),
            record=record,
        )
        return cls(root, written.parts, keep=written.scratch)

    @classmethod
    def from_entries(
        cls, entries: Iterable[Entry], *, sources: Sequence[Source], record: Record | None = None
    ) -> Manifest:
        """A manifest of entries in any order; holds them all in memory while it is made.

        Raises:
            DuplicatePathError: Two pins for one path.
            BadKeyError: An empty path.
            ProtocolError: A negative size, or an unknown source.
        """
        ordered = sorted(entries, key=attrgetter("path"))
        steps = range(0, len(ordered), _ENTRIES_A_BATCH)
        batches = (batch_of(ordered[start : start + _ENTRIES_A_BATCH], sources) for start in steps)
        now = datetime.now(UTC)
        return cls.of(write(batches, sources), sources=sources, record=record or Record(started=now, ended=now))

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Open an exported file (`save`) and check every row of it; 0.3 ms per 1,000 rows.

        The rows stay in the file: it has to stay as it is while the manifest is used.

        Raises:
            ManifestFormatError: Not a manifest, cut, damaged or edited.
            ManifestVersionError: Written in a newer format.
        """
        where = Path(path)
        uri = str(where)
        with Reader(where) as reader:
            text = reader.key_values.get(b"asyncref")
            if text is None:
                raise ManifestFormatError("a Parquet file, but not a manifest", uri=uri)
            root = Root.load(text, uri=uri)
            reader.check_schema()
            parts = []
            if reader.rows:
                stamp, size = stamp_of(where), where.stat().st_size
                parts = [Part(first="", last="", rows=reader.rows, bytes=size, hash="", where=where, stamp=stamp)]
        ends = cls(root, parts).check(uri=uri)
        return cls(root, [replace(part, first=ends[0][0], last=ends[-1][1], ends=ends) for part in parts])

    def save(self, path: str | Path) -> None:
        """Export one Parquet file, whole or not at all, that `load` opens anywhere.

        Raises:
            ManifestError: It cannot be written; nothing is left then.
        """
        with written_whole(Path(path)) as file:
            sink = pa.PythonFile(cast("IOBase", file), mode="w")
            with Writer(sink, root=self.root().dump()) as writer:
                for batch in self.batches():
                    writer.write(batch)

    def root(self) -> Root:
        """What the manifest says of itself, without its parts."""
        return Root(
            identity=self.identity,
            digest=self.digest,
            rows=self._rows,
            size=self.size,
            sources=self.sources,
            record=self.record,
        )

    def check(self, *, uri: str | None = None) -> tuple[tuple[str, str], ...]:
        """Read every row and compare with what the manifest says of itself.

        Returns:
            First and last path of each row group.

        Raises:
            ManifestFormatError: Rows out of order, two of one path, negative sizes, other digests or counts.
        """
        where = uri or self.identity
        ends: list[tuple[str, str]] = []
        digests, rows, size, before = Digests(self.sources), 0, 0, ""
        for batch in self.batches():
            path = batch["path"]
            try:
                batch.validate(full=True)
                if not ascends(path) or (rows and path[0].as_py() <= before):
                    raise ManifestFormatError("two rows of one path, or rows out of order")
                check_values(batch, self.sources)
            except (pa.ArrowInvalid, AsyncrefError) as error:
                raise ManifestFormatError(f"damaged or edited: {error}", uri=where) from error
            digests.update(batch)
            rows, size, before = rows + len(batch), size + (pc.sum(batch["size"]).as_py() or 0), path[-1].as_py()
            ends.append((path[0].as_py(), before))
        found = (rows, size, digests.digest, digests.identity)
        if found != (self._rows, self.size, self.digest, self.identity):
            raise ManifestFormatError("damaged or edited: its rows do not match its digests", uri=where)
        return tuple(ends)

    def __len__(self) -> int:
        return self._rows

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"Manifest({self._rows:,} entries, {self.size:,} bytes, digest={self.digest!r})"

    def __rich_repr__(self) -> Iterator[Any]:
        yield "entries", self._rows
        yield "bytes", self.size
        yield "digest", self.digest

    def __iter__(self) -> Iterator[Entry]:
        for batch in self.batches():
            yield from entries_of(batch, self.sources)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._find(path) is not None

    def __getitem__(self, path: str) -> Entry:
        """The entry of one path; reads one row group, and none again for a path beside the last one.

        Raises:
            KeyError: No such path.
        """
        found = self._find(path)
        if found is None:
            raise KeyError(path)
        return next(entries_of(found, self.sources))

    def batches(self, start: str = "", stop: str | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of `ENTRY_SCHEMA` in path order, some 32,768 a batch.

        Args:
            start: Leave out row groups that end before it (not single rows).
            stop: Leave out row groups that begin at it or later.
        """
        for part in self.parts:
            if part.last < start or (stop is not None and part.first >= stop):
                continue
            with self.open(part) as reader:
                for batch in reader.batches(start or None):
                    if stop is not None and batch["path"][0].as_py() >= stop:
                        return
                    yield batch

    def open(self, part: Part) -> Reader:
        """A reader of one part, its hash checked the first time if it came from a store.

        Raises:
            ManifestFormatError: The part is missing, was damaged or edited, or changed since `load`.
        """
        if part.hash in self._unchecked:
            part.check()
            self._unchecked.discard(part.hash)
        elif part.stamp is not None and isinstance(part.where, Path) and part.stamp != stamp_of(part.where):
            raise ManifestFormatError("the file was changed after it was loaded", uri=str(part.where))
        reader = Reader(part.where, ends=part.ends)
        if reader.rows != part.rows:
            raise ManifestFormatError("a part has another number of rows than its root says", uri=str(part.where))
        return reader

    def to_arrow(self) -> pa.Table:
        """All rows in their logical form (`path ref size digest etag version checksum modified source`).

        The one operation whose memory grows with the manifest: some 200 bytes a row.
        """
        return pa.Table.from_batches((expand(batch, self.sources) for batch in self.batches()), LOGICAL_SCHEMA)

    def select(
        self,
        *,
        prefix: str | None = None,
        include: Iterable[str] | str | None = None,
        exclude: Iterable[str] | str | None = None,
    ) -> Manifest:
        """A manifest of some of the entries, with digests of its own; sources and record are kept.

        Args:
            prefix: `a/b` takes the entry `a/b` and what lies under `a/b/`, never `a/b2`; `a/b/` what lies under it.
            include: Globs of which one has to match; all if None.
            exclude: Globs of which none may match.
        """
        chosen = Filter.of(include, exclude)
        start, stop = (prefix, _after(prefix)) if prefix else ("", None)
        rows = (_chosen(batch, prefix, chosen) for batch in self.batches(start, stop))
        return Manifest.of(write(rows, self.sources), sources=self.sources, record=self.record)

    def diff(self, new: Manifest) -> Diff:
        """What changed from this manifest to a newer one; see `asyncref.manifest.diff`."""
        return diff(self, new)

    def _find(self, path: str) -> pa.RecordBatch | None:
        index = bisect_left(self.parts, path, key=attrgetter("last"))
        if index == len(self.parts) or path < self.parts[index].first:
            return None
        batch = self._group_of(self.parts[index], path)
        row = position(batch["path"], path)
        found = batch.slice(row, 1)
        return found if len(found) and found["path"][0].as_py() == path else None

    def _group_of(self, part: Part, path: str) -> pa.RecordBatch:
        held = self._group
        if held is not None and held[0] is part and _spans(held[2], path):
            return held[2]
        with self.open(part) as reader:
            number = reader.find(path)
            batch = reader.group(number)
        self._group = (part, number, batch)
        return batch


def _spans(batch: pa.RecordBatch, path: str) -> bool:
    column = batch["path"]
    return bool(column[0].as_py() <= path <= column[-1].as_py())


def _after(prefix: str) -> str:
    """The least path greater than all that `prefix` takes; `0` is the character after `/`."""
    return f"{prefix.removesuffix('/')}0"


def _chosen(batch: pa.RecordBatch, prefix: str | None, chosen: Filter) -> pa.RecordBatch:
    path = batch["path"]
    masks = []
    if prefix:
        under = pc.starts_with(path, prefix if prefix.endswith("/") else f"{prefix}/")
        masks.append(pc.or_(under, pc.equal(path, prefix)))
    if chosen.include_regex:
        masks.append(pc.match_substring_regex(path, chosen.include_regex))
    if chosen.exclude_regex:
        masks.append(pc.invert(pc.match_substring_regex(path, chosen.exclude_regex)))
    for mask in masks[1:]:
        masks[0] = pc.and_(masks[0], mask)
    return batch.filter(masks[0]) if masks else batch
