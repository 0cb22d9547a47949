"""What a container's own words mean for pinned entries: versioning, lifecycle rules, locks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from asyncref.backends.retention import Retention, Rule, Versioning
from asyncref.checks.findings import Finding, Severity, found

_STATES: Final[dict[bool | None, Versioning]] = {True: "kept", False: "never", None: "unknown"}


@dataclass(slots=True, kw_only=True)
class Pinned:
    """What a manifest holds of one source, counted.

    Attributes:
        uri: The source.
        entries: All of them.
        versions: Those with a version id of their own.
        nulls: Those pinned as S3's version `null`.
        names: Those that nothing but their name pins, or a time beside it.
        under: By prefix of a rule, those under it.
        oldest: When the first of them was uploaded.
        replaced: Of those that something newer has replaced: reference, and when that came.
    """

    uri: str
    entries: int = 0
    versions: int = 0
    nulls: int = 0
    names: int = 0
    under: dict[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    replaced: Mapping[str, datetime] = field(default_factory=dict)


def judge(pinned: Pinned, said: Retention | None, *, keeps_versions: bool | None) -> Iterator[Finding]:
    """What is at risk.

    Args:
        pinned: The entries.
        said: What the container says; None where its storage says nothing.
        keeps_versions: What `Backend.versioning` says, for storages that say nothing more.
    """
    state: Versioning = said.versioning if said else _STATES[keeps_versions]
    if pinned.names:
        yield found("by-name", pinned.uri, "entries that neither ETag, checksum nor version pins", entries=pinned.names)
    yield from _judge_versioning(state, pinned, said)
    if said is None:
        return
    if said.rules is None:
        yield found("rules-unknown", pinned.uri, _why(said, "lifecycle"))
    for rule in said.rules or ():
        yield from _judge_rule(rule, pinned, versions_kept=state in {"kept", "suspended"})
    if said.restorable_days:
        yield found("soft-delete", pinned.uri, f"what is deleted can be restored for {said.restorable_days:g} days")
    if said.locked_days:
        yield found("locked", pinned.uri, f"locked for {said.locked_days:g} days after upload")


def _judge_versioning(state: Versioning, pinned: Pinned, said: Retention | None) -> Iterator[Finding]:
    count = pinned.entries - pinned.names
    if state == "kept":
        count -= pinned.versions + pinned.nulls
    if not count or (state == "unknown" and pinned.versions):
        return
    code, message = {
        "kept": ("version-not-pinned", "pinned without a version id"),
        "suspended": ("versioning-suspended", "versioning is suspended"),
        "never": ("versioning-off", "no versions are kept"),
        "unknown": ("versioning-unknown", _why(said, "versioning")),
    }[state]
    yield found(code, pinned.uri, message, entries=count)


def prefixes_of(said: Retention | None) -> set[str]:
    """The prefixes by which `Pinned.under` has to be counted."""
    return {prefix for rule in (said.rules if said else None) or () for prefix in rule.prefixes}


def _judge_rule(rule: Rule, pinned: Pinned, *, versions_kept: bool) -> Iterator[Finding]:
    count = min(pinned.entries, sum(pinned.under.get(prefix, 0) for prefix in rule.prefixes))
    if not count or (rule.of == "old" and not versions_kept):
        return
    words, severity = [_named(rule), _does(rule)], _severity(rule, versions_kept=versions_kept)
    if rule.keep_newest:
        words.append(f"(the newest {rule.keep_newest} of each key stay)")
    if rule.condition:
        words.append(f"if {rule.condition}")
    when = _first_loss(rule, pinned)
    if when is not None:
        words.append(f"; the first pinned one about {when:%Y-%m-%d}")
    code = {"expire": {"old": "expires-old", "current": "expires-current"}[rule.of], "archive": "archives"}[rule.effect]
    yield found(code, pinned.uri, " ".join(words).replace(" ;", ";"), entries=count, severity=severity)


def _severity(rule: Rule, *, versions_kept: bool) -> Severity:
    harmless = rule.effect == "expire" and rule.of == "current" and versions_kept
    return "info" if harmless else "risk"


def _named(rule: Rule) -> str:
    return f"rule {rule.name!r}" if rule.name else "a rule"


def _does(rule: Rule) -> str:
    what = "objects" if rule.of == "current" else "old versions"
    verb = "removes" if rule.effect == "expire" else f"moves to {rule.tier}"
    since = "" if rule.after_days is None else f" {rule.after_days} days after {_since(rule)}"
    return f"{verb} {what}{since}"


def _since(rule: Rule) -> str:
    return "upload" if rule.of == "current" else "they were replaced"


def _first_loss(rule: Rule, pinned: Pinned) -> datetime | None:
    if rule.after_days is None:
        return None
    since = pinned.oldest if rule.of == "current" else None
    if rule.of == "old":
        since = min((when for ref, when in pinned.replaced.items() if _under(rule, ref)), default=None)
    return None if since is None else since + timedelta(days=rule.after_days)


def _under(rule: Rule, key: str) -> bool:
    return key.startswith(rule.prefixes)


def _why(said: Retention | None, about: str) -> str:
    reasons = [text for text in (said.unknown if said else ()) if about in text.partition(":")[0]]
    return "; ".join(reasons) or "the storage does not say"
