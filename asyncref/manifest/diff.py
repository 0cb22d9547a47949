"""What changed between two manifests: a streaming merge join whose memory grows with the differences only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import pyarrow as pa

from asyncref.manifest.checks import equal_rows
from asyncref.manifest.columns import mask_of, pc
from asyncref.manifest.merge import position
from asyncref.manifest.parts import Part, Reader
from asyncref.manifest.rows import LOGICAL_SCHEMA, expand, logical_entries
from asyncref.model import Entry, Source

SCHEMA: Final = "asyncref.diff/1"
_CONTENT: Final = ("ref", "size", "digest")
_PIN: Final = ("etag", "version", "checksum")

Kind = Literal["added", "removed", "changed", "version_only"]


class Table(Protocol):
    """What a manifest has to offer to be compared."""

    @property
    def sources(self) -> tuple[Source, ...]: ...  # noqa: D102  as in Manifest
    @property
    def parts(self) -> tuple[Part, ...]: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    def __len__(self) -> int: ...
    def open(self, part: Part) -> Reader: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs.

    Attributes:
        kind: `added`, `removed`, `changed` (content or reference), `version_only` (same bytes, other pin).
        path: The path.
        old: Its entry before; None if added.
        new: Its entry after; None if removed.
    """

    kind: Kind
    path: str
    old: Entry | None
    new: Entry | None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of the same paths before and after, as two logical tables of equal length."""

    old: pa.Table
    new: pa.Table

    def __len__(self) -> int:
        return len(self.old)

    def __iter__(self) -> Iterator[tuple[Entry, Entry]]:
        return zip(logical_entries(self.old), logical_entries(self.new), strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What changed from one manifest to another. Iterates over `Change`s in path order.

    Attributes:
        added: Rows that only the new one has (logical table).
        removed: Rows that only the old one has.
        changed: Rows whose content (digest, size) or reference differs.
        version_only: Rows with the same content and reference whose pin (version id, ETag, checksum) differs.
        unchanged: How many rows are the same.
        old: Digest, identity, entries and bytes of the old manifest.
        new: The same of the new one.
    """

    added: pa.Table
    removed: pa.Table
    changed: Pairs
    version_only: Pairs
    unchanged: int
    old: dict[str, Any]
    new: dict[str, Any]

    @property
    def same_content(self) -> bool:
        """Whether both hold the same content at the same references; pins may differ."""
        return not (len(self.added) or len(self.removed) or len(self.changed))

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of each kind."""
        return {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "version_only": len(self.version_only),
            "unchanged": self.unchanged,
        }

    @property
    def bytes_added(self) -> int:
        """Bytes of the added rows and of the changed rows as they are now."""
        return _bytes(self.added) + _bytes(self.changed.new)

    @property
    def bytes_removed(self) -> int:
        """Bytes of the removed rows and of the changed rows as they were."""
        return _bytes(self.removed) + _bytes(self.changed.old)

    def __bool__(self) -> bool:
        """Whether anything differs, pins included."""
        return not self.same_content or bool(len(self.version_only))

    def __len__(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed) + len(self.version_only)

    def __iter__(self) -> Iterator[Change]:
        changes = [Change("added", entry.path, None, entry) for entry in logical_entries(self.added)]
        changes += [Change("removed", entry.path, entry, None) for entry in logical_entries(self.removed)]
        changes += [Change("changed", new.path, old, new) for old, new in self.changed]
        changes += [Change("version_only", new.path, old, new) for old, new in self.version_only]
        return iter(sorted(changes, key=lambda change: change.path))

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={count:,}" for name, count in self.counts.items())
        return f"Diff({counts})"

    def to_json(self) -> dict[str, Any]:
        """JSON values of schema `asyncref.diff/1`: both sides, counts, bytes, and every change in path order."""
        return {
            "schema": SCHEMA,
            "old": self.old,
            "new": self.new,
            "same_content": self.same_content,
            "counts": self.counts,
            "bytes_added": self.bytes_added,
            "bytes_removed": self.bytes_removed,
            "changes": [
                {"kind": change.kind, "path": change.path, "old": _shown(change.old), "new": _shown(change.new)}
                for change in self
            ],
        }


def diff(old: Table, new: Table) -> Diff:
    """Compare two manifests.

    One pass over both, side by side; parts that both have are skipped unread. Memory: two row groups and the
    differences.
    """
    found = _Found(old.sources, new.sources)
    before, after = _Cursor(old), _Cursor(new)
    same_sources = old.sources == new.sources
    while before.fill() and after.fill():
        if same_sources and (rows := before.skip(after)):
            found.unchanged += rows
            continue
        left, right = before.block(), after.block()
        bound = min(left["path"][-1].as_py(), right["path"][-1].as_py())
        found.join(before.take(bound), after.take(bound))
    while before.fill():
        found.removed.append(expand(before.rest(), old.sources))
    while after.fill():
        found.added.append(expand(after.rest(), new.sources))
    return found.result(_side(old), _side(new))


class _Cursor:
    """A position in a manifest: the next part, or what is left of a row group."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._next_part = 0
        self._groups: Iterator[pa.RecordBatch] | None = None
        self._block: pa.RecordBatch | None = None

    def fill(self) -> bool:
        """Whether anything is left."""
        while self._groups is not None and self._block is None:
            self._block = next(self._groups, None)
            if self._block is None:
                self._groups = None
        return self._block is not None or self._next_part < len(self._table.parts)

    def skip(self, other: _Cursor) -> int:
        """Pass over the next part of both if it is the same file; how many rows it has, or 0."""
        mine, theirs = self._at_part(), other._at_part()
        if mine is None or theirs is None or not mine.hash or mine.hash != theirs.hash:
            return 0
        self._next_part += 1
        other._next_part += 1
        return mine.rows

    def block(self) -> pa.RecordBatch:
        while self._block is None:
            if self._groups is None:
                self._groups = self._read(self._table.parts[self._next_part])
                self._next_part += 1
            self._block = next(self._groups)
        return self._block

    def take(self, bound: str) -> pa.RecordBatch:
        """The rows of the block up to a path."""
        block = self.block()
        rows = position(block["path"], bound, after=True)
        self._block = block.slice(rows) if rows < len(block) else None
        return block.slice(0, rows)

    def rest(self) -> pa.RecordBatch:
        block = self.block()
        self._block = None
        return block

    def _at_part(self) -> Part | None:
        return self._table.parts[self._next_part] if self._groups is None and self._block is None else None

    def _read(self, part: Part) -> Iterator[pa.RecordBatch]:
        with self._table.open(part) as reader:
            yield from reader.batches()


class _Found:
    """The differences so far, in logical form."""

    def __init__(self, old: Sequence[Source], new: Sequence[Source]) -> None:
        self._old, self._new = old, new
        self.added: list[pa.RecordBatch] = []
        self.removed: list[pa.RecordBatch] = []
        self._changed: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []
        self._pins: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []
        self.unchanged = 0

    def join(self, old: pa.RecordBatch, new: pa.RecordBatch) -> None:
        """Compare rows of both that span the same stretch of paths."""
        if not old["path"].equals(new["path"]):
            kept, came = mask_of(pc.is_in(old["path"], new["path"])), mask_of(pc.is_in(new["path"], old["path"]))
            if not kept.all():
                self.removed.append(expand(_where(old, ~kept), self._old))
            if not came.all():
                self.added.append(expand(_where(new, ~came), self._new))
            old, new = _where(old, kept), _where(new, came)
        if not len(old):
            return
        before, after = expand(old, self._old), expand(new, self._new)
        content = equal_rows(before, after, _CONTENT)
        pins = equal_rows(before, after, _PIN)
        # A URL as the digest names no content: what pins such a row (size, Last-Modified) is all that tells it from another.
        content &= pins | ~mask_of(pc.equal(before["digest"], before["ref"]))
        if not content.all():
            self._changed.append((_where(before, ~content), _where(after, ~content)))
        if not (pins | ~content).all():
            self._pins.append((_where(before, content & ~pins), _where(after, content & ~pins)))
        self.unchanged += int((content & pins).sum())

    def result(self, old: dict[str, Any], new: dict[str, Any]) -> Diff:
        return Diff(
            added=_table(self.added),
            removed=_table(self.removed),
            changed=_pairs(self._changed),
            version_only=_pairs(self._pins),
            unchanged=self.unchanged,
            old=old,
            new=new,
        )


def _where(batch: pa.RecordBatch, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.RecordBatch:
    return batch.filter(pa.array(mask))


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches(batches, LOGICAL_SCHEMA)


def _pairs(batches: list[tuple[pa.RecordBatch, pa.RecordBatch]]) -> Pairs:
    return Pairs(_table([old for old, _ in batches]), _table([new for _, new in batches]))


def _bytes(table: pa.Table) -> int:
    return pc.sum(table["size"]).as_py() or 0


def _side(table: Table) -> dict[str, Any]:
    return {"digest": table.digest, "identity": table.identity, "entries": len(table), "bytes": table.size}


def _shown(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    values = {"ref": entry.ref, "digest": entry.digest, "size": entry.size}
    return values | {"etag": entry.pin.etag, "version": entry.pin.version, "checksum": entry.pin.checksum}
