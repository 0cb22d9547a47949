"""What a container says of keeping old bytes: little, since versioning and lifecycle belong to the account's management."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from asyncref.backends.azure.access import Access, Call
from asyncref.backends.azure.answers import Asked
from asyncref.backends.azure.columns import decoded, unescaped
from asyncref.backends.azure.listing import page_and_body
from asyncref.backends.retention import Archived, Retention
from asyncref.errors import AccessDeniedError, CredentialsError, UnsupportedError
from asyncref.model import ListRequest, Page

_MANAGED: Final = (
    "versioning, soft delete and lifecycle rules: Azure tells them by its management API only "
    "(az storage account blob-service-properties show, az storage account management-policy show)"
)
_BLOB: Final = re.compile(rb"<Blob>(.*?)</Blob>", re.DOTALL)
_NAME: Final = re.compile(rb"<Name(?: Encoded=\"(true)\")?>([^<]*)</Name>")
_VERSION: Final = re.compile(rb"<VersionId>([^<]*)</VersionId>")
_ARCHIVED: Final = b"<AccessTier>Archive</AccessTier>"


async def retention(access: Access) -> Retention:
    """Get Container Properties: whether immutable storage with versions is on, which keeps every version."""
    asked = Asked(
        uri=access.uri(),
        container=access.settings.container,
        needs="reading its properties needs the role Storage Blob Data Reader",
        of_container=True,
    )
    try:
        headers = (await access.fetch(Call(asked, "HEAD", query={"restype": "container"}))).headers
    except (AccessDeniedError, CredentialsError, UnsupportedError) as error:
        return Retention(versioning="unknown", rules=None, unknown=(_MANAGED, f"immutable storage: {error.message}"))
    versions = headers.get("x-ms-immutable-storage-with-versioning-enabled", "").lower() == "true"
    return Retention(versioning="kept" if versions else "unknown", rules=None, unknown=(_MANAGED,))


async def archived(access: Access, request: ListRequest) -> tuple[Page, tuple[Archived, ...]]:
    """One page of a listing, and what on it lies in the archive tier."""
    page, body = await page_and_body(access, request)
    return page, tuple(_archived(body)) if _ARCHIVED in body else ()


def _archived(body: bytes) -> Iterator[Archived]:
    for found in _BLOB.finditer(body):
        name = _NAME.search(found[1])
        if _ARCHIVED not in found[1] or name is None:
            continue
        version = _VERSION.search(found[1])
        text = name[2].decode()
        key = decoded(unescaped(text)) if name[1] else unescaped(text)
        yield Archived(key, version[1].decode() if version else None, "Archive")
