"""S3 and what speaks its protocol: one bucket as a backend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pyarrow as pa

from asyncref.backends.base import Body, Traits
from asyncref.backends.retention import Archived, Retention
from asyncref.backends.s3 import listing, objects
from asyncref.backends.s3 import retention as kept
from asyncref.backends.s3.access import Access
from asyncref.backends.s3.settings import read_settings
from asyncref.errors import AccessDeniedError, InvalidURIError, UnsupportedError
from asyncref.model import Answer, Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

TRAITS: Final = Traits(versioned=True, past=True)


class S3:
    """One bucket; see `Backend` for what each method does.

    Args:
        access: The way to it.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def traits(self) -> Traits:
        """What S3 can do."""
        return TRAITS

    def source(self, reference: Reference) -> Source:
        """The record by which another session finds the same place; its region is the one last answered from."""
        access, settings = self._access, self._access.settings
        addressing = settings.addressing
        if access.endpoint is not None:
            addressing = "path" if access.endpoint.path else "virtual"
        elif addressing == "auto":
            addressing = "path" if settings.endpoint_url else "virtual"
        return Source(
            uri=str(reference),
            scheme="s3",
            container=access.bucket,
            prefix=reference.key,
            endpoint=settings.endpoint_url,
            region=access.region,
            addressing=addressing,
            anon=settings.anon,
            requester_pays=settings.requester_pays,
        )

    def reference(self, key: str) -> str:
        """`s3://bucket/key`, raw."""
        return self._access.uri(key)

    def digest_by_name(self, key: str) -> str:
        """The reference, as W&B does."""
        return self._access.uri(key)

    async def versioning(self) -> bool | None:
        """By GetBucketVersioning; None where that is denied or not offered."""
        try:
            found = await kept.versioning(self._access)
        except (AccessDeniedError, UnsupportedError):
            return None
        return None if found == "unknown" else found != "never"

    async def retention(self) -> Retention:
        """By GetBucketVersioning and GetBucketLifecycleConfiguration; see `Retains`."""
        return await kept.retention(self._access)

    async def archived(self, request: ListRequest) -> tuple[Page, tuple[Archived, ...]]:
        """A listing's page, and what on it lies in GLACIER or DEEP_ARCHIVE; see `Archives`."""
        return await kept.archived(self._access, request)

    async def list_page(self, request: ListRequest) -> Page:
        """ListObjectsV2, or ListObjectVersions."""
        return await listing.list_page(self._access, request)

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """A HEAD."""
        return await objects.stat(self._access, key, version)

    async def describe(self, request: ReadRequest, *, upload_part: int | None = None) -> Answer:
        """A HEAD with `x-amz-checksum-mode`, or with `partNumber`; see `Describes`."""
        return await objects.describe(self._access, request, upload_part)

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """The first `limit` versions, delete markers counted, by one ListObjectVersions."""
        return await listing.history(self._access, key, limit)

    def read(self, request: ReadRequest) -> AbstractAsyncContextManager[Body]:
        """A GET."""
        return objects.Reading(self._access, request)

    async def aclose(self) -> None:
        """Close the pool. Idempotent."""
        await self._access.aclose()


def open_s3(reference: Reference, options: Mapping[str, Any], limits: Limits) -> S3:
    """Open a bucket; no request is sent. See `Opener`."""
    bucket = reference.container
    if bucket.startswith("arn:") and bucket.endswith((":accesspoint", ":outpost")):
        raise InvalidURIError(
            "the access point's name is cut off at the slash",
            uri=str(reference),
            hint="write its ARN with colons: s3://arn:aws:s3:REGION:ACCOUNT:accesspoint:NAME/key",
        )
    return S3(Access(bucket, read_settings(options, limits, concurrency=TRAITS.concurrency)))
