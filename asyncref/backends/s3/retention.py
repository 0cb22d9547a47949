"""What a bucket says of keeping old bytes: its versioning, its lifecycle, and which objects lie in an archive tier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree  # noqa: ICN001  a name that says what it is

from asyncref.backends.retention import Archived, Retention, Rule, Versioning
from asyncref.backends.s3.access import Access, Call
from asyncref.backends.s3.answers import Asked
from asyncref.backends.s3.listing import page_and_body
from asyncref.backends.s3.page import root_of
from asyncref.errors import AccessDeniedError, NotFoundError, ProtocolError, UnsupportedError
from asyncref.model import ListRequest, Page

# GLACIER_IR reads at once. What Intelligent-Tiering has archived is told by a HEAD of each object only.
_TIERS: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_STATUS: Final[dict[bytes, Versioning]] = {b"Enabled": "kept", b"Suspended": "suspended"}
_NO_LIFECYCLE: Final = "NoSuchLifecycleConfiguration"


async def versioning(access: Access) -> Versioning:
    """GetBucketVersioning.

    Raises:
        StorageError: Whatever is no answer.
    """
    reply = await access.fetch(Call(_asked(access, "s3:GetBucketVersioning"), query={"versioning": ""}))
    if b"Versioning" not in root_of(reply.body):  # VersioningConfiguration; moto: GetBucketVersioningResponse
        return "unknown"
    found = re.search(rb"<Status>\s*(\w+)\s*</Status>", reply.body)
    return _STATUS.get(found[1], "unknown") if found else "never"


async def retention(access: Access) -> Retention:
    """GetBucketVersioning and GetBucketLifecycleConfiguration; what is denied stays unknown."""
    unknown: list[str] = []
    kept: Versioning = "unknown"
    rules: tuple[Rule, ...] | None = None
    try:
        kept = await versioning(access)
    except (AccessDeniedError, UnsupportedError) as error:
        unknown.append(f"versioning: {error.message}")
    try:
        rules = await lifecycle(access)
    except (AccessDeniedError, UnsupportedError) as error:
        unknown.append(f"lifecycle: {error.message}")
    return Retention(versioning=kept, rules=rules, unknown=tuple(unknown))


async def lifecycle(access: Access) -> tuple[Rule, ...]:
    """GetBucketLifecycleConfiguration; no rules where the bucket has none.

    Raises:
        ProtocolError: The answer is no lifecycle configuration.
        StorageError: Another answer that is none.
    """
    asked = _asked(access, "s3:GetLifecycleConfiguration")
    try:
        reply = await access.fetch(Call(asked, query={"lifecycle": ""}))
    except NotFoundError as error:
        if error.code == _NO_LIFECYCLE:
            return ()
        raise
    tree = _parsed(reply.body, asked)
    try:
        return tuple(rule for element in tree if _local(element) == "Rule" for rule in _rules(element))
    except ValueError as error:
        raise ProtocolError(f"the lifecycle configuration cannot be used: {error}", uri=asked.uri) from error


async def archived(access: Access, request: ListRequest) -> tuple[Page, tuple[Archived, ...]]:
    """One page of a listing, and what on it lies in an archive tier and is not restored."""
    restores = {"x-amz-optional-object-attributes": "RestoreStatus"}
    page, body = await page_and_body(access, request, restores)
    if not any(f">{tier}<".encode() in body for tier in _TIERS):
        return page, ()
    asked = _asked(access, "s3:ListBucketVersions" if request.versions else "s3:ListBucket")
    return page, tuple(_archived(_parsed(body, asked), encoded=page.encoded is True))


def _archived(tree: ElementTree.Element, *, encoded: bool) -> Iterator[Archived]:
    for element in tree:
        if _local(element) not in {"Contents", "Version"}:
            continue
        values = {_local(leaf): leaf.text or "" for leaf in element}
        restored = next((leaf for leaf in element if _local(leaf) == "RestoreStatus"), None)
        readable = restored is not None and any(_local(leaf) == "RestoreExpiryDate" for leaf in restored)
        if values.get("StorageClass") in _TIERS and not readable:
            key = unquote_plus(values["Key"]) if encoded else values["Key"]
            yield Archived(key, values.get("VersionId"), values["StorageClass"])


def _rules(element: ElementTree.Element) -> Iterator[Rule]:
    """What a Rule does, piece by piece; nothing if it is switched off."""
    if _text(element, "Status") != "Enabled":
        return
    name = _text(element, "ID") or ""
    prefix, condition = _filter(element)
    for child in element:
        kind, tier = _local(child), _text(child, "StorageClass") or ""
        days, date = _text(child, "Days") or _text(child, "NoncurrentDays"), _text(child, "Date")
        expires = kind.endswith("Expiration")
        # Without days or date: ExpiredObjectDeleteMarker, which removes markers and never bytes.
        if not (days or date) or not (expires or (kind.endswith("Transition") and tier in _TIERS)):
            continue
        yield Rule(
            name=name,
            effect="expire" if expires else "archive",
            of="old" if kind.startswith("Noncurrent") else "current",
            prefixes=(prefix,),
            after_days=int(days) if days else None,
            keep_newest=int(_text(child, "NewerNoncurrentVersions") or 0),
            condition=" and ".join(part for part in (f"from {date} on" if date else "", condition) if part),
            tier=tier,
        )


def _filter(rule: ElementTree.Element) -> tuple[str, str]:
    """The prefix of a rule, and what else narrows it, in words."""
    prefix, narrowed = _text(rule, "Prefix") or "", []
    outer = next((child for child in rule if _local(child) == "Filter"), None)
    for part in () if outer is None else outer.iter():
        match _local(part):
            case "Prefix":
                prefix = part.text or ""
            case "Tag":
                narrowed.append(f"the tag {_text(part, 'Key')}={_text(part, 'Value')}")
            case "ObjectSizeGreaterThan":
                narrowed.append(f"more than {part.text} bytes")
            case "ObjectSizeLessThan":
                narrowed.append(f"less than {part.text} bytes")
    return prefix, " and ".join(narrowed)


def _asked(access: Access, action: str) -> Asked:
    return Asked(uri=access.uri(), bucket=access.bucket, action=action, bucket_call=True)


def _parsed(body: bytes, asked: Asked) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ProtocolError("a document type, which no answer has", uri=asked.uri)
    try:
        return ElementTree.fromstring(body)  # noqa: S314  without a document type there are no entities to expand
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ProtocolError(f"the answer is not XML: {error}", uri=asked.uri) from error


def _text(element: ElementTree.Element, name: str) -> str | None:
    return next((child.text for child in element if _local(child) == name), None)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
