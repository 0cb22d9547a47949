"""What the manifest tests share: entries of every kind, pages of rows, and digests as a person would compute them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from asyncref.manifest import Run
from asyncref.manifest.columns import fixed_column
from asyncref.manifest.rows import batch_of
from asyncref.model import ENTRY_SCHEMA, Entry, Pin, Source
from asyncref.record import Record

SOURCES = (
    Source(uri="s3://bucket/data/", scheme="s3", container="bucket", prefix="data/"),
    Source(uri="s3://other/x", scheme="s3", container="other", prefix="x/", name="named"),
    Source(uri="file:///mount/a", scheme="file", prefix="/mount/a/"),
)
RECORD = Record(started=datetime(2026, 1, 2, tzinfo=UTC), ended=datetime(2026, 1, 3, tzinfo=UTC), notes=("a note",))

hexes = st.binary(min_size=16, max_size=16).map(bytes.hex)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
paths = st.one_of(
    st.sampled_from(
        ["a", "a/b", "a b", "a+b", "100%", "a//b", "é", "🎉/x", "\uffff", "\U0001f600", "named/k", "named"]
    ),
    texts.filter(bool),
)
etags = st.one_of(
    st.none(),
    hexes.map(lambda digits: f'"{digits}"'),
    hexes.map(lambda digits: f'"{digits}-12"'),
    hexes.map(lambda digits: f'"{digits.upper()}"'),
    hexes.map(lambda digits: f'W/"{digits}"'),
    hexes,
    texts,
)
checksums = st.one_of(st.none(), hexes.map(lambda digits: f"md5:{digits}"), st.just("crc32c:0a1b2c3d"), texts)
times = st.one_of(
    st.none(),
    st.integers(-(10**15), 7 * 10**15).map(lambda us: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)),
    st.integers(0, 10**9).map(lambda seconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)


@st.composite
def entry(draw, path: str | None = None) -> Entry:
    path = draw(paths) if path is None else path
    number = draw(st.integers(0, len(SOURCES) - 1))
    derived = SOURCES[number].ref_of(path)
    ref = draw(st.one_of(st.just(derived), texts))
    etag = draw(etags)
    checksum = draw(checksums)
    digest = draw(st.one_of(st.just((etag or ref).strip('"')), hexes, st.just(ref), texts))
    pin = Pin(
        size=draw(st.one_of(st.none(), st.integers(0, 2**50))),
        etag=etag,
        version=draw(st.one_of(st.none(), st.just("null"), texts)),
        checksum=checksum,
        digest=digest,
        modified=draw(times),
    )
    return Entry(path=path, ref=ref, digest=digest, pin=pin, source=number)


@st.composite
def entries(draw, max_size: int = 12) -> list[Entry]:
    """Entries in path order, one a path."""
    chosen = draw(st.lists(paths, unique=True, max_size=max_size))
    return [draw(entry(path)) for path in sorted(chosen)]


def s3_entry(
    path: str, *, content: str = "", version: str | None = None, size: int | None = 1, source: int = 0
) -> Entry:
    etag = hashlib.md5((content or path).encode()).hexdigest()
    ref = SOURCES[source].ref_of(path)
    pin = Pin(size=size, etag=f'"{etag}"', version=version, digest=etag)
    return Entry(path=path, ref=ref, digest=etag, pin=pin, source=source)


def run_of(rows: Sequence[Entry], *, batch_rows: int = 5) -> Run:
    """A run of entries in path order, cut into batches."""
    whole = batch_of(rows, SOURCES)
    batches = [whole.slice(start, batch_rows) for start in range(0, len(whole), batch_rows)]
    return Run(rows[0].path, rows[-1].path, len(rows), lambda: iter(batches))


def page(names: Sequence[str], *, seed: int = 0, source: int = 0) -> pa.RecordBatch:
    """Rows with random ETags, sizes and times, made by column: for tests with many."""
    random, rows = np.random.default_rng(seed), len(names)
    given = {
        "path": pa.array(names, pa.string()),
        "size": pa.array(np.exp(random.normal(11, 2, rows)).astype(np.int64)),
        "etag16": fixed_column(random.integers(0, 256, (rows, 16), np.uint8)),
        "modified": pa.array(random.integers(16 * 10**8, 17 * 10**8, rows) * 10**6, pa.timestamp("us", tz="UTC")),
        "source": pa.array(np.full(rows, source, np.int16)),
    }
    columns = [given[field.name] if field.name in given else pa.nulls(rows, field.type) for field in ENTRY_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=ENTRY_SCHEMA)


def runs_of(batch: pa.RecordBatch, rows: int = 1000) -> list[Run]:
    """One run for every `rows` rows of a sorted batch, as pages come."""
    pieces = [batch.slice(start, rows) for start in range(0, len(batch), rows)]
    return [Run(p["path"][0].as_py(), p["path"][-1].as_py(), len(p), lambda p=p: iter([p])) for p in pieces]


def reference_digest(rows: Iterable[Entry]) -> str:
    """W&B's digest, from its definition."""
    whole = hashlib.md5(b"wandb-artifact-manifest-v1\n")
    for row in sorted(rows, key=lambda row: row.path):
        whole.update(f"{row.path}:{row.digest}\n".encode())
    return whole.hexdigest()
