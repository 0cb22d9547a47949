"""What became of the entries of one fetch: counts, what was left out, and every failure by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from asyncref.engine.flow import Meter
from asyncref.errors import ChangedError, ContainerNotFoundError, Failure, FetchError, NotFoundError
from asyncref.model import Entry


def by_reason(failures: Iterable[Failure]) -> Counter[str]:
    """How many failed with an error of which class."""
    return Counter(type(failure.error).__name__ for failure in failures)


@dataclass(slots=True)
class Tally:
    """One fetch.

    Args:
        meter: Counts what may be seen while it goes on.
        allow_missing: What is gone or overwritten is left out, by name.

    Attributes:
        objects: Fetched ones.
        cached: Taken from the cache.
        unpinned: Of those fetched, without anything that tells their bytes from others.
        failures: One an entry that failed.
        missing: Paths left out.
    """

    meter: Meter
    allow_missing: bool = False
    objects: int = 0
    cached: int = 0
    unpinned: int = 0
    failures: list[Failure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def fail(self, entry: Entry, error: Exception) -> None:
        """Note a failure, unless the entry may be missing."""
        gone = isinstance(error, NotFoundError | ChangedError) and not isinstance(error, ContainerNotFoundError)
        if gone and self.allow_missing:
            self.missing.append(entry.path)
            self.meter.skipped["missing"] += 1
        else:
            self.failures.append(Failure(entry.path, entry.ref, error))
            self.meter.failed += 1

    def error(self, of: int) -> FetchError:
        """The one error that names all failures.

        Args:
            of: Entries in all.
        """
        self.failures.sort(key=lambda failure: failure.path)
        lost = all(isinstance(failure.error, NotFoundError | ChangedError) for failure in self.failures)
        return FetchError(
            f"{len(self.failures)} of {of} entries could not be fetched",
            failures=tuple(self.failures),
            hint="allow_missing_references=True leaves them out" if lost else None,
        )
