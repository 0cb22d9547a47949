"""What an audit can find: each kind with what it means and what to do about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from asyncref.backends.retention import Retention
from asyncref.model import Source

Severity = Literal["lost", "risk", "unknown", "info"]
"""`lost`: cannot be read any more. `risk`: may be lost by what anybody may do. `unknown`: could not be learnt."""
SCHEMA: Final = "asyncref.audit/1"
ORDER: Final[tuple[Severity, ...]] = ("lost", "risk", "unknown", "info")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: How bad it is.
        meaning: What it means.
        advice: What to do.
    """

    severity: Severity
    meaning: str
    advice: str


KINDS: Final[dict[str, Kind]] = {
    "lost": Kind(
        "lost",
        "The pinned bytes lie there no more: overwritten or deleted, and no older version is kept.",
        "Put the same bytes back (a fetch knows them again by their ETag), or log a new version; asyncref cannot bring them back.",
    ),
    "archived": Kind(
        "lost",
        "The bytes lie in an archive tier: listed, but not to be read before they are restored.",
        "Restore them first (aws s3api restore-object, az storage blob set-tier) and take them out of the rule that archives.",
    ),
    "denied-read": Kind(
        "lost",
        "This identity may list the objects and not read them.",
        "Grant the permission named; asyncref doctor prints the policy.",
    ),
    "denied-version": Kind(
        "risk",
        "This identity may read current objects, but no older version: after an overwrite or a delete the pinned bytes are out of reach.",
        "Grant the permission named (S3: s3:GetObjectVersion); asyncref doctor prints the policy.",
    ),
    "versioning-off": Kind(
        "risk",
        "Nothing keeps old bytes here: the next overwrite or delete loses what is pinned. It is noticed, not prevented.",
        "Turn versioning on, forbid overwriting and deleting to all but few, or keep a copy of what matters.",
    ),
    "versioning-suspended": Kind(
        "risk",
        "Versions written earlier stay; what is written now replaces the version `null` and the bytes it had.",
        "Turn versioning on again, then log once more so that every object has a version id of its own.",
    ),
    "version-not-pinned": Kind(
        "risk",
        "The container keeps versions, but these entries were pinned without version ids: after an overwrite they are searched by ETag only.",
        "Log again with the permission to list versions (S3: s3:ListBucketVersions) and without --no-heads.",
    ),
    "by-name": Kind(
        "risk",
        "These entries are mere names: nothing but a time, if that, tells their bytes from others, so a fetch may take whatever lies there.",
        "Log them with checksums (without checksum=False), or from a server that sends ETags.",
    ),
    "expires-old": Kind(
        "risk",
        "A lifecycle rule removes versions some time after they were overwritten or deleted.",
        "Exclude the pinned prefix from the rule, lengthen it, or log anew before the time is up.",
    ),
    "expires-current": Kind(
        "risk",
        "A lifecycle rule deletes the objects themselves by age. Where versions are kept, the bytes stay as an old version.",
        "Exclude the pinned prefix from the rule.",
    ),
    "archives": Kind(
        "risk",
        "A lifecycle rule moves the objects to a tier that cannot be read without a restore.",
        "Exclude the pinned prefix from the rule, or choose a tier that is read at once (S3: GLACIER_IR).",
    ),
    "deleted": Kind(
        "info",
        "The objects were deleted; the pinned versions are still there and can be fetched.",
        "Nothing, as long as versions are kept; mind rules that remove old ones.",
    ),
    "superseded": Kind(
        "info",
        "The objects were overwritten; the pinned versions are still there and can be fetched.",
        "Nothing, as long as versions are kept; mind rules that remove old ones.",
    ),
    "versioning-unknown": Kind(
        "unknown",
        "Whether versions are kept could not be learnt, and no entry has a version id that would show it.",
        "Grant the permission named, or ask whoever owns the container.",
    ),
    "rules-unknown": Kind(
        "unknown",
        "Whether something removes or archives objects by age could not be learnt.",
        "Grant the permission named (S3: s3:GetLifecycleConfiguration, GCS: storage.buckets.get), or ask the owner.",
    ),
    "not-compared": Kind(
        "unknown",
        "What lies there now could not be compared with what is pinned.",
        "See the message; asyncref status and asyncref doctor say more.",
    ),
    "soft-delete": Kind(
        "info",
        "The container's owner can bring back what was deleted, for some days. A fetch cannot.",
        "Do not rely on it in place of versions.",
    ),
    "locked": Kind(
        "info",
        "The container is locked: nothing in it may be overwritten or deleted before its time is up.",
        "Nothing.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found about one source.

    Attributes:
        code: A name of `KINDS`.
        uri: The source.
        message: What was found there, in a sentence without a final stop.
        entries: How many entries it concerns; None: cannot be said.
        examples: The first of their paths, at most five.
        severity: As the kind has it, unless something makes it harmless.
    """

    code: str
    uri: str
    message: str
    entries: int | None = None
    examples: tuple[str, ...] = ()
    severity: Severity

    def __str__(self) -> str:
        count = "" if self.entries is None else f" ({self.entries:,} {'entry' if self.entries == 1 else 'entries'})"
        some = f": {', '.join(self.examples)}" if self.examples else ""
        return f"{self.severity:<8}{self.code}  {self.uri}: {self.message}{count}{some}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with what it means and what to do."""
        kind = KINDS[self.code]
        return {
            "code": self.code,
            "severity": self.severity,
            "uri": self.uri,
            "entries": self.entries,
            "message": self.message,
            "meaning": kind.meaning,
            "advice": kind.advice,
            "examples": list(self.examples),
        }


def found(
    code: str,
    uri: str,
    message: str,
    *,
    entries: int | None = None,
    examples: tuple[str, ...] = (),
    severity: Severity | None = None,
) -> Finding:
    """A finding of a kind, as bad as its kind unless said otherwise."""
    return Finding(
        code=code,
        uri=uri,
        message=message,
        entries=entries,
        examples=examples,
        severity=severity or KINDS[code].severity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What stands between a manifest and its bytes, now and later.

    Attributes:
        objects: Entries looked at.
        bytes: Of those whose size is known.
        findings: The worst first; by source in the manifest's order.
        said: What each source's container says of itself; None where its storage says nothing.
        requests: Requests sent, by kind: by the audit, and by the scan that it compared with.
        sources: Who was asked.
    """

    objects: int
    bytes: int
    findings: tuple[Finding, ...]
    said: Mapping[str, Retention | None]
    requests: Mapping[str, int]
    sources: tuple[Source, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything can be read, nothing threatens it, and all of that could be learnt."""
        return all(one.severity == "info" for one in self.findings)

    def __str__(self) -> str:
        """A line a finding, and once for each kind what it means and what to do."""
        lines: list[str] = []
        explained: set[str] = set()
        for one in self.findings:
            lines.append(str(one))
            if one.code not in explained:
                lines += [f"        {KINDS[one.code].meaning}", f"        {KINDS[one.code].advice}"]
                explained.add(one.code)
        counts = Counter(one.severity for one in self.findings)
        said = ", ".join(f"{counts[severity]:,} {severity}" for severity in ORDER if counts[severity])
        entries = "1 entry" if self.objects == 1 else f"{self.objects:,} entries"
        return "\n".join([*lines, f"{entries}: {said or 'nothing found'}"])

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with their schema."""
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "objects": self.objects,
            "bytes": self.bytes,
            "findings": [one.to_json() for one in self.findings],
            "sources": [{"uri": uri, "retention": said.to_json() if said else None} for uri, said in self.said.items()],
            "requests": dict(sorted(self.requests.items())),
        }
