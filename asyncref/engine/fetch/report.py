"""What a fetch did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncref.model import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch did. A fetch of which part failed raises `FetchError` and gives no report.

    Attributes:
        root: The folder that now holds the entries.
        objects: Objects fetched.
        bytes: Bytes received, those of repeated requests included.
        skipped: Objects not fetched because they already lay there.
        cached: Objects taken from the cache.
        missing: Paths of entries that no longer exist or were overwritten, left out as allowed.
        unpinned: Objects fetched although nothing pins them (`checksum=False`).
        unchecked: Objects whose content no checksum confirmed, only size, ETag or version.
        requests: Requests sent, by kind.
        retries: Requests sent again.
        elapsed_s: Seconds.
        notes: Sentences for the user.
        sources: The manifest's, so that requests can be priced.
    """

    root: Path
    objects: int
    bytes: int
    skipped: int
    cached: int
    missing: tuple[str, ...]
    unpinned: int
    unchecked: int
    requests: dict[str, int]
    retries: int
    elapsed_s: float
    notes: tuple[str, ...]
    sources: tuple[Source, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values, `schema` first."""
        return {
            "schema": "asyncref.fetch/1",
            "root": str(self.root),
            "objects": self.objects,
            "bytes": self.bytes,
            "skipped": self.skipped,
            "cached": self.cached,
            "missing": list(self.missing),
            "failed": 0,
            "unpinned": self.unpinned,
            "unchecked": self.unchecked,
            "requests": dict(sorted(self.requests.items())),
            "retries": self.retries,
            "elapsed_s": round(self.elapsed_s, 6),
            "notes": list(self.notes),
        }
