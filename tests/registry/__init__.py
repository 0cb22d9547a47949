"""Tests of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from asyncref.manifest import Manifest
from asyncref.model import Entry, Pin, Source
from asyncref.record import Record

SOURCE = Source(uri="s3://bucket/data/", scheme="s3", container="bucket", prefix="data/")
WHEN = datetime(2024, 5, 1, tzinfo=UTC)


def manifest_of(
    rows: Sequence[tuple[str, str]] | dict[str, str],
    *,
    version: str | None = None,
    prefix: str = "data/",
    complete: bool = True,
) -> Manifest:
    """A manifest of paths with one-letter contents.

    Args:
        rows: Path and a hex digit that stands for its content.
        version: Every entry's version id.
        prefix: Where the objects lie in the bucket.
        complete: False for a partial scan.
    """
    source = Source(uri=f"s3://bucket/{prefix}", scheme="s3", container="bucket", prefix=prefix)
    entries = [
        Entry(
            path=path,
            ref=f"s3://bucket/{prefix}{path}",
            digest=digit * 32,
            pin=Pin(size=1, etag=f'"{digit * 32}"', version=version, digest=digit * 32),
        )
        for path, digit in sorted(dict(rows).items())
    ]
    record = Record(started=WHEN, ended=WHEN, complete=complete)
    return Manifest.from_entries(entries, sources=(source,), record=record)
