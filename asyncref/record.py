"""What a manifest says of its own making: when, by how many requests, and the counts that prove it whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Proof:
    """The counts that show what became of every row that a scan was sent.

    Attributes:
        pages: Answers of listings.
        ranges: Ranges of keys, or folders, listed to their end.
        seen: Rows in those answers.
        other: Rows that stand for no object: older versions, delete markers, folders.
        repeated: Rows beyond the end of their range, which the next range has.
        left_out: Rows left out by filter, as folder markers, as bad keys, or gone before they could be pinned.
        kept: Rows that are entries now; the same path with the same pin in two sources is one entry.
    """

    pages: int = 0
    ranges: int = 0
    seen: int = 0
    other: int = 0
    repeated: int = 0
    left_out: int = 0
    kept: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row is accounted for."""
        return self.seen == self.other + self.repeated + self.left_out + self.kept


@dataclass(frozen=True, slots=True)
class Record:
    """What a manifest says of its own making; outside its digest.

    Attributes:
        started: When the first request was sent, UTC.
        ended: When the last answer was complete, UTC.
        complete: False for a scan that ended early and was allowed to: entries are missing.
        requests: Requests sent, retries included, by kind (`list`, `stat`, ...).
        skipped: What was left out, by reason (`bad_key`, `filtered`, `folder_marker`).
        resumes: How often the scan was interrupted and continued.
        notes: Sentences for the user, such as a relisting and its reason.
        proof: What became of every row; None for a manifest that no scan made.
    """

    started: datetime
    ended: datetime
    complete: bool = True
    requests: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    resumes: int = 0
    notes: tuple[str, ...] = ()
    proof: Proof | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times in ISO 8601 with offset."""
        return {
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat(),
            "complete": self.complete,
            "requests": dict(sorted(self.requests.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "resumes": self.resumes,
            "notes": list(self.notes),
            "proof": None if self.proof is None else asdict(self.proof),
        }
