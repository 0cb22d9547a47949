"""What lay there at a past moment: of every key's versions the newest that is not younger. Pure.

A key's versions may span pages, so the last key of a page that is not the last one is held back: its row comes
with the first page that shows that the key has ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.errors import OptionError, OrderError, ProtocolError
from asyncref.model import PAGE_SCHEMA, Page

_SIZE: Final = PAGE_SCHEMA.get_field_index("size")
_MODIFIED: Final = PAGE_SCHEMA.get_field_index("modified")
_NOTHING: Final = pa.RecordBatch.from_pylist([], schema=PAGE_SCHEMA)


@dataclass(slots=True)
class Moment:
    """Picks rows of one range's pages, one after the other.

    The order of a key's versions is not relied on, only their times; of versions as old as each other the first is
    taken for the newer one.

    Args:
        at: The moment, UTC, inclusive.
        uri: For errors.
    """

    at: datetime
    uri: str
    _held: pa.RecordBatch = field(default_factory=lambda: _NOTHING)

    def __call__(self, page: Page) -> Page:
        """The page with one row for each key that had an object then. Cost: about 0.2 ms a 1,000 rows.

        Args:
            page: The next of its range, with all versions of its keys (see `Page.batch`).

        Raises:
            OrderError: Keys out of byte order, so that a key's versions may be apart.
            ProtocolError: A version without a time.
        """
        batch = page.batch
        if batch.column(_MODIFIED).null_count:
            raise ProtocolError("a version without a time: what lay there at a moment cannot be told", uri=self.uri)
        rows = pa.concat_batches([self._held, batch]) if self._held.num_rows else batch
        keys = rows.column(0)
        if len(keys) > 1 and not pc.all(pc.less_equal(keys.slice(0, len(keys) - 1), keys.slice(1))).as_py():
            raise OrderError("keys within a page are out of byte order", uri=self.uri)
        rows = rows.filter(pc.less_equal(rows.column(_MODIFIED), pa.scalar(self.at, rows.schema.field(_MODIFIED).type)))
        picked = rows.take(pa.array(_newest(rows))) if rows.num_rows else rows
        self._held = _NOTHING
        if page.cursor is not None and picked.num_rows:
            last = picked.column(0)[-1].as_py()
            if page.last is None or last == page.last:
                self._held = picked.slice(picked.num_rows - 1)
                picked = picked.slice(0, picked.num_rows - 1)
        return replace(page, batch=picked.filter(pc.is_valid(picked.column(_SIZE))), ascends=False)


def _newest(rows: pa.RecordBatch) -> npt.NDArray[np.intp]:
    """For each run of equal keys the index of the row with the latest time, the first of several."""
    keys = rows.column(0)
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1)).to_numpy(zero_copy_only=False)
    run = np.cumsum(begins)
    times = rows.column(_MODIFIED).cast(pa.int64()).to_numpy(zero_copy_only=False)
    order: npt.NDArray[np.intp] = np.lexsort((-times, run))  # stable: equal times keep their order
    return order[np.flatnonzero(begins)]


def moment_of(at: datetime | str) -> datetime:
    """The moment that a caller names, in UTC.

    Args:
        at: A time with its zone; as text in ISO 8601, such as `2026-01-31T12:00:00Z`.

    Raises:
        OptionError: No time, no zone, or in the future, of which nothing is known.
    """
    hint = "write it as 2026-01-31T12:00:00Z"
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError as error:
        raise OptionError(f"at={at!r} is no time", hint=hint) from error
    if moment.tzinfo is None:
        raise OptionError(f"at={str(at)!r} has no time zone", hint=hint)
    if moment > datetime.now(UTC):
        raise OptionError(f"at={str(at)!r} lies in the future")
    return moment.astimezone(UTC)
