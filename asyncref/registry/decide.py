"""What logging a manifest makes: a new version, nothing, or newer pins of the version there is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["new", "same", "pins"]
"""`new`: another number. `same`: nothing changed. `pins`: the number stays, newer pins stand beside the older."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the rule compares.

    Attributes:
        digest: The manifest's digest: every path with its entry's digest.
        refs: Fingerprint of every path with its reference.
        identities: The manifest's identities, newest pins first; a candidate has one.
    """

    digest: str
    refs: str
    identities: tuple[str, ...]


def decide(latest: Content | None, candidate: Content) -> Outcome:
    """Compare a candidate with what `latest` names, and with nothing else.

    Args:
        latest: None if the artifact has no latest version.
        candidate: What is logged.
    """
    if latest is None or (latest.digest, latest.refs) != (candidate.digest, candidate.refs):
        return "new"
    # Pins that were known and superseded are the newest again: a bucket may go back to an older state.
    return "same" if latest.identities[:1] == candidate.identities[:1] else "pins"
