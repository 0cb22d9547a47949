"""From a backend's page (by key) to a manifest's rows (by path): trimming, markers, bad keys, globs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.base import NamesPaths
from asyncref.engine.scan.paths import BAD_SEGMENT, EMPTY, FOLDER, ODD, marks_of, split
from asyncref.errors import BadKeyError, ProtocolError
from asyncref.globs import Filter
from asyncref.manifest.columns import nulls
from asyncref.model import ENTRY_SCHEMA, KeyRange, Source

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

BadKeys = Literal["raise", "skip"]
_NAMED_BAD_KEYS: Final = 20
_PATH, _REF, _SOURCE = (ENTRY_SCHEMA.field(name) for name in ("path", "ref", "source"))


def trim(batch: pa.RecordBatch, keys: KeyRange) -> pa.RecordBatch:
    """The rows of an ordered page within a range; the page itself (no copy) where all are."""
    column = batch.column(0)
    if not len(column):
        return batch
    first, last = column[0].as_py(), column[-1].as_py()
    start, stop = 0, len(column)
    if keys.after is not None and first <= keys.after:
        start = _bisect_right(column, keys.after)
    if keys.last is not None and last > keys.last:
        stop = _bisect_right(column, keys.last)
    return batch.slice(start, max(0, stop - start)) if (start, stop) != (0, len(column)) else batch


def _bisect_right(column: pa.StringArray, key: str) -> int:
    low, high = 0, len(column)
    while low < high:
        middle = (low + high) // 2
        if column[middle].as_py() <= key:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(slots=True)
class RowMaker:
    """Turns the pages of one source into rows of `ENTRY_SCHEMA`, in the pages' order.

    Args:
        source: Its prefix is stripped, its name put before the path.
        index: The source's place in the manifest.
        wanted: Globs over the path relative to the prefix.
        bad_keys: What to do with keys that no path can stand for.
        folder_markers: Keys of zero bytes that end in `/` stand for folders.
        skipped: Counts what was left out, by reason.
        naming: Makes paths and references of keys that are no paths as they stand; None: keys are.
    """

    source: Source
    index: int
    wanted: Filter = field(default_factory=Filter)
    bad_keys: BadKeys = "raise"
    folder_markers: bool = True
    skipped: Counter[str] = field(default_factory=Counter)
    naming: NamesPaths | None = None

    def __call__(self, page: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of one page. Cost: about 0.1 ms a 1,000 rows, independent of what is left out.

        Raises:
            BadKeyError: Bad keys, unless they are to be skipped.
        """
        paths, marks = self._relative(page.column(0))
        keep = self._keep(page.column(0), paths, page.column(1), marks)
        if keep is not None:
            page, paths = page.filter(keep), paths.filter(keep)
        refs = nulls(pa.string(), len(paths))
        if self.naming is not None:
            refs = pa.array([self.naming.reference(key) for key in page.column(0).to_pylist()], pa.string())
        if self.source.name and len(paths):
            paths = pc.binary_join_element_wise(f"{self.source.name}/", paths, "")
        rows = page.set_column(0, _PATH, paths).add_column(1, _REF, refs)  # half of what a batch of its own costs
        return rows.append_column(_SOURCE, constant(self.index, len(paths)))

    def single(self, page: pa.RecordBatch, path: str, ref: str) -> pa.RecordBatch:
        """The row of one object under a path of its own choice; `page` has exactly one row."""
        derived = self.source.ref_of(path) == ref
        return pa.RecordBatch.from_arrays(
            [
                pa.array([path], pa.string()),
                pa.array([None if derived else ref], pa.string()),
                *page.columns[1:],
                constant(self.index, 1),
            ],
            schema=ENTRY_SCHEMA,
        )

    def _keep(
        self, keys: pa.StringArray, paths: pa.StringArray, size: pa.Int64Array, marks: int
    ) -> pa.BooleanArray | None:
        """Which rows stay; None for all of them, found without a look at single paths."""
        keep: pa.BooleanArray | None = None
        if self.folder_markers and marks & (EMPTY | FOLDER) and (markers := pc.ends_with(keys, "/")).true_count:
            folders = pc.and_(markers, pc.equal(size, 0)).fill_null(False)
            self.skipped["folder_marker"] += folders.true_count
            keep = pc.invert(folders)
        if marks & (EMPTY | ODD):
            bad = pc.match_substring_regex(paths, BAD_SEGMENT)
            if keep is not None:
                bad = pc.and_(bad, keep)
            if bad.true_count:
                self.refuse(keys.filter(bad).to_pylist())
                keep = pc.invert(bad) if keep is None else pc.and_not(keep, bad)
        if self.wanted and len(paths):
            taken = self._wanted(paths)
            self.skipped["filtered"] += len(taken) - taken.true_count
            keep = taken if keep is None else pc.and_(keep, taken)
        return keep

    def refuse(self, bad: Sequence[str]) -> None:
        """Raise for keys that no path can stand for, or count them, as `bad_keys` says.

        Raises:
            BadKeyError: There are some, and they are not to be skipped.
        """
        if not bad:
            return
        if self.bad_keys == "raise":
            named = tuple(bad[:_NAMED_BAD_KEYS])
            raise BadKeyError(
                f"{len(bad)} of its keys cannot be a path, such as {named[0]!r}",
                keys=named,
                count=len(bad),
                uri=self.source.uri,
            )
        self.skipped["bad_key"] += len(bad)

    def _relative(self, keys: pa.StringArray) -> tuple[pa.StringArray, int]:
        """The paths of keys, and what is so of any of them (`paths.split`)."""
        found = split(keys, self.source.prefix)
        if found is None:
            raise ProtocolError(f"a key that does not start with {self.source.prefix!r}", uri=self.source.uri)
        if self.naming is None:
            return found
        paths = pa.array([self.naming.path_of(key) for key in found[0].to_pylist()], pa.string())
        return paths, marks_of(paths)

    def _wanted(self, paths: pa.StringArray) -> pa.BooleanArray:
        taken: pa.BooleanArray | None = None
        if include := self.wanted.include_regex:
            taken = pc.match_substring_regex(paths, include)
        if exclude := self.wanted.exclude_regex:
            left_out = pc.match_substring_regex(paths, exclude)
            taken = pc.invert(left_out) if taken is None else pc.and_not(taken, left_out)
        assert taken is not None
        return taken


def total(sizes: pa.Int64Array) -> int:
    """The sum of what is known, in bytes."""
    data = sizes.buffers()[1]
    if _entries is not None and data is not None and not sizes.null_count:
        found = _entries.total(data, sizes.offset, len(sizes))
        if found is not None:
            return found
    return sum(size for size in sizes.to_pylist() if size)


_CONSTANTS: Final[dict[int, pa.Array]] = {}
_RESERVE: Final = 4096


def constant(value: int, count: int) -> pa.Array:
    """A column of one small number; up to 4,096 rows a slice of one made before."""
    if count > _RESERVE:
        return pa.array(np.full(count, value, np.int16))
    if value not in _CONSTANTS:
        _CONSTANTS[value] = pa.array(np.full(_RESERVE, value, np.int16))
    return _CONSTANTS[value].slice(0, count)
