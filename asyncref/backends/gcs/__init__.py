"""Google Cloud Storage: one bucket as a backend, over its JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pyarrow as pa

from asyncref.backends.base import Body, Traits
from asyncref.backends.gcs import listing, objects
from asyncref.backends.gcs.access import Access
from asyncref.backends.gcs.retention import retention
from asyncref.backends.gcs.settings import DEFAULT_ENDPOINT, read_settings
from asyncref.backends.retention import Retention
from asyncref.errors import AccessDeniedError
from asyncref.model import Limits, ListRequest, Page, Pin, Ramp, ReadRequest, Source
from asyncref.uri import Reference

# "Request rate and access distribution guidelines" of Cloud Storage: a bucket begins at about 5,000 reads a second,
# listings among them; above that the rate should double in 20 minutes at most.
_RAMP: Final = Ramp(per_s=5000.0, doubling_s=1200.0)
# Every listing gives generations, so nothing has to be learnt about versioning before one.
TRAITS: Final = Traits(delimited=True, versioned=False, past=True, ramp=_RAMP)


class Gcs:
    """One bucket; see `Backend` for what each method does.

    Args:
        access: The way to it.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def traits(self) -> Traits:
        """What Cloud Storage can do."""
        return TRAITS

    def source(self, reference: Reference) -> Source:
        """The record by which another session finds the same place."""
        settings = self._access.settings
        return Source(
            uri=str(reference),
            scheme="gs",
            container=self._access.bucket,
            prefix=reference.key,
            endpoint=settings.endpoint if settings.endpoint != DEFAULT_ENDPOINT else None,
            anon=settings.anon,
            requester_pays=settings.user_project is not None,
            account=settings.user_project,
        )

    def reference(self, key: str) -> str:
        """`gs://bucket/key`, raw."""
        return self._access.uri(key)

    def digest_by_name(self, key: str) -> str:
        """The reference, as W&B does."""
        return self._access.uri(key)

    async def versioning(self) -> bool | None:
        """By the bucket's metadata; None where that is denied."""
        try:
            return await objects.versioning(self._access)
        except AccessDeniedError:
            return None

    async def retention(self) -> Retention:
        """By the bucket's metadata; see `Retains`."""
        return await retention(self._access)

    async def list_page(self, request: ListRequest) -> Page:
        """An objects.list; `versions` changes nothing without `at`, since generations come anyway."""
        return await listing.list_page(self._access, request)

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """An objects.get of metadata."""
        return await objects.stat(self._access, key, version)

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """The generations that are kept, by objects.list with `versions`; mostly one request."""
        return await listing.history(self._access, key, limit)

    def read(self, request: ReadRequest) -> AbstractAsyncContextManager[Body]:
        """An objects.get of media."""
        return objects.read(self._access, request)

    async def aclose(self) -> None:
        """Close the pools. Idempotent."""
        await self._access.aclose()


def open_gcs(reference: Reference, options: Mapping[str, Any], limits: Limits) -> Gcs:
    """Open a bucket; no request is sent. See `Opener`."""
    return Gcs(Access(reference.container, read_settings(options, limits, concurrency=TRAITS.concurrency)))
