"""What a fetch did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncref.model import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What a fetch did. A fetch of which part failed raises `FetchError`, whose `report` is one.

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
        failed: Entries that failed, by the name of the error's class.
        left: Entries that were not come to before the fetch ended with an error.
    """

    root: Path
    objects: int = 0
    bytes: int = 0
    skipped: int = 0
    cached: int = 0
    missing: tuple[str, ...] = ()
    unpinned: int = 0
    unchecked: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    failed: dict[str, int] = field(default_factory=dict)
    left: int = 0

    @property
    def bytes_per_s(self) -> float:
        """Bytes received a second."""
        return self.bytes / max(self.elapsed_s, 1e-6)

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
            "failed": sum(self.failed.values()),
            "failed_by_reason": dict(sorted(self.failed.items())),
            "left": self.left,
            "unpinned": self.unpinned,
            "unchecked": self.unchecked,
            "requests": dict(sorted(self.requests.items())),
            "retries": self.retries,
            "elapsed_s": round(self.elapsed_s, 6),
            "bytes_per_s": round(self.bytes_per_s, 1),
            "notes": list(self.notes),
        }
