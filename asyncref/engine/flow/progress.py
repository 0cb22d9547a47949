"""What a running scan, fetch or stream has done so far: plain counters, read by whoever shows them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts of what was listed; the same names as in `Proof`."""

    pages: int = 0
    ranges: int = 0
    seen: int = 0
    other: int = 0
    repeated: int = 0
    left_out: int = 0
    kept: int = 0

    def add(self, more: Tally) -> None:
        """Count what another one counted. Cost: under 1 µs."""
        self.pages += more.pages
        self.ranges += more.ranges
        self.seen += more.seen
        self.other += more.other
        self.repeated += more.repeated
        self.left_out += more.left_out
        self.kept += more.kept


@dataclass(slots=True)
class Meter:
    """Counters of one run. The engine counts; a display polls. Nothing here blocks or awaits.

    Attributes:
        verb: `scan`, `fetch`, `verify`, ... for the display.
        objects: Objects listed, fetched or checked.
        objects_total: How many there will be; None if unknown.
        bytes: Bytes of the objects listed, or of the bodies received.
        bytes_total: How many there will be; None if unknown.
        requests: Requests sent, retries included, by kind.
        retries: Requests sent again.
        throttled: Answers that asked to slow down.
        skipped: What was left out, by reason.
        listed: What became of every row of a scan's listings.
        failed: Entries that failed.
        notes: Sentences for the user.
        trouble: What a request that took long ended in, while it is asked again; empty once one succeeds, or is given up.
        started_s: Monotonic time of the start.
        states: By kind of request and container, a call that gives the limits' state.
    """

    verb: str = "scan"
    objects: int = 0
    objects_total: int | None = None
    bytes: int = 0
    bytes_total: int | None = None
    requests: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    throttled: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    listed: Tally = field(default_factory=Tally)
    failed: int = 0
    notes: list[str] = field(default_factory=list)
    trouble: str = ""
    started_s: float = field(default_factory=time.monotonic)
    states: dict[str, Callable[[], dict[str, float | int]]] = field(default_factory=dict, repr=False)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_s

    def statistics(self) -> dict[str, dict[str, float | int]]:
        """The limits' state now, by kind of request and container (`list s3://bucket/`).

        Values: see docs/limits.md; times in seconds, rates in requests a second.
        """
        return {name: state() for name, state in self.states.items()}

    def note(self, sentence: str) -> None:
        """Tell the user once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


ProgressHook = Callable[[Meter], None]
"""Called once, when a run starts, with the meter to poll until the run's call returns."""
