"""The spool's files: where rows lie after a write that failed."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import pyarrow as pa
import pytest

from asyncref.engine.scan.ledger import Covered, Ledger, header
from asyncref.engine.scan.resume import _holds
from asyncref.engine.scan.spool import Keep, Spool
from asyncref.errors import ManifestError
from asyncref.model import ENTRY_SCHEMA, KeyRange

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond: the system writes what still fits, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def rows(first: str) -> pa.RecordBatch:
    paths = [f"{first}{number:03d}" for number in range(300)]
    columns = [paths if field.name == "path" else [0] * 300 for field in ENTRY_SCHEMA if not field.nullable]
    there = dict(zip((field.name for field in ENTRY_SCHEMA if not field.nullable), columns, strict=True))
    return pa.RecordBatch.from_pylist(
        [dict(zip(there, values, strict=True)) for values in zip(*there.values(), strict=True)], schema=ENTRY_SCHEMA
    )


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    ledger = FileIO(tmp_path / "ledger", "a")
    first_line = header({}, STARTED)
    ledger.write(first_line)
    made = Spool(tmp_path)
    made.attach(Keep(tmp_path, ledger, first_line, dict), [])
    yield made
    made.close()


async def test_rows_behind_a_write_that_failed_lie_where_the_ledger_says(spool: Spool, tmp_path: Path) -> None:
    await spool.append(1, rows("a"), Covered(KeyRange(None, "a999")))
    await spool.flush()
    size = (tmp_path / "rows-000.arrow").stat().st_size
    await spool.append(2, rows("b"), Covered(KeyRange("b", "b999")))
    with largest_file(size + 100), pytest.raises(ManifestError, match="cannot be set aside"):
        await spool.flush()
    assert (tmp_path / "rows-000.arrow").stat().st_size == size + 100
    await spool.append(3, rows("c"), Covered(KeyRange("c", "c999")))
    await spool.flush()
    ledger = Ledger.load((tmp_path / "ledger").read_bytes(), lambda span: _holds(tmp_path, span))
    assert ledger is not None
    assert not ledger.damaged
    assert [block.keys for block in ledger.blocks] == [KeyRange(None, "a999"), KeyRange("c", "c999")]
    again = Spool(tmp_path)
    again.attach(Keep(tmp_path, FileIO(tmp_path / "ledger", "a"), b"", dict), ledger.blocks)
    found = [pa.Table.from_batches(run.read()).column("path").to_pylist() for run in again.runs()]
    again.close()
    assert found == [rows("a").column(0).to_pylist(), rows("c").column(0).to_pylist()]
