"""What a bucket says of keeping old bytes: versioning, lifecycle, soft delete and its lock, by one buckets.get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from asyncref.backends.gcs.access import Access, Call
from asyncref.backends.gcs.answers import Asked
from asyncref.backends.retention import Retention, Rule
from asyncref.errors import AccessDeniedError, ProtocolError

_FIELDS: Final = "versioning,lifecycle,softDeletePolicy,retentionPolicy"
_DAY_S: Final = 86_400.0
# Conditions of a rule that only older generations can meet ("Object Lifecycle Management" of Cloud Storage).
_OLD_ONLY: Final = frozenset({"numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore"})
_WORDS: Final = {
    "createdBefore": "uploaded before {}",
    "customTimeBefore": "its custom time before {}",
    "daysSinceCustomTime": "{} days after its custom time",
    "noncurrentTimeBefore": "replaced before {}",
    "matchesSuffix": "a name that ends in {}",
    "matchesStorageClass": "a storage class of {}",
}


async def retention(access: Access) -> Retention:
    """One buckets.get; where that is denied, all stays unknown."""
    asked = Asked(uri=access.uri(), bucket=access.bucket, action="storage.buckets.get", bucket_call=True)
    try:
        reply = await access.fetch(Call(asked, "", {"fields": _FIELDS, "prettyPrint": "false"}))
    except AccessDeniedError as error:
        return Retention(versioning="unknown", rules=None, unknown=(f"versioning and lifecycle: {error.message}",))
    try:
        said = orjson.loads(reply.body)
        enabled = bool(said.get("versioning", {}).get("enabled"))
        rules = tuple(rule for each in said.get("lifecycle", {}).get("rule", ()) for rule in _rules(each))
        restorable, locked = (
            float(said.get(policy, {}).get(period) or 0) / _DAY_S or None
            for policy, period in (
                ("softDeletePolicy", "retentionDurationSeconds"),
                ("retentionPolicy", "retentionPeriod"),
            )
        )
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
        raise ProtocolError("the bucket's metadata cannot be used", uri=asked.uri) from error
    return Retention(
        versioning="kept" if enabled else "never",
        rules=rules,
        locked_days=locked,
        restorable_days=restorable,
    )


def _rules(rule: Mapping[str, Any]) -> Iterator[Rule]:
    """What deletes. Every storage class of Cloud Storage can be read at once, so SetStorageClass is no matter."""
    if rule.get("action", {}).get("type") != "Delete":
        return
    met = rule.get("condition", {})
    live, age = met.get("isLive"), met.get("age")
    narrowed = [words.format(_shown(met[name])) for name, words in _WORDS.items() if name in met]
    prefixes = tuple(met.get("matchesPrefix") or ("",))
    if live is not False and not _OLD_ONLY & met.keys():
        yield Rule(
            name="", effect="expire", of="current", prefixes=prefixes, after_days=age, condition=" and ".join(narrowed)
        )
    if live is not True:
        aged = [f"{age} days after its upload"] if age is not None else []
        yield Rule(
            name="",
            effect="expire",
            of="old",
            prefixes=prefixes,
            after_days=met.get("daysSinceNoncurrentTime"),
            keep_newest=max(0, int(met.get("numNewerVersions") or 1) - 1),
            condition=" and ".join([*aged, *narrowed]),
        )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
