"""Azure Blob Storage: one container as a backend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pyarrow as pa

from asyncref.backends.azure import listing, objects
from asyncref.backends.azure import retention as kept
from asyncref.backends.azure.access import Access
from asyncref.backends.azure.settings import read_settings
from asyncref.backends.base import Body, Traits
from asyncref.backends.retention import Archived, Retention
from asyncref.model import Limits, ListRequest, Page, Pin, ReadRequest, Source
from asyncref.uri import Reference

# Not ordered: hierarchical namespaces are not in byte order. Not ranged: markers are opaque.
TRAITS: Final = Traits(ordered=False, ranged=False, delimited=True, versioned=True, page_rows=5000)


class Azure:
    """One container; see `Backend` for what each method does.

    Args:
        access: The way to it.
        scheme: Of its references.
        container: As its references name it.
    """

    def __init__(self, access: Access, *, scheme: str, container: str) -> None:
        self._access = access
        self._scheme = scheme
        self._container = container

    @property
    def traits(self) -> Traits:
        """What Azure can do."""
        return TRAITS

    def source(self, reference: Reference) -> Source:
        """The record by which another session finds the same place; the endpoint only where the account tells it not."""
        settings = self._access.settings
        return Source(
            uri=str(reference),
            scheme=self._scheme,
            container=self._container,
            prefix=reference.key,
            endpoint=settings.endpoint if settings.custom else None,
            anon=settings.anon,
            account=settings.account,
        )

    def reference(self, key: str) -> str:
        """The container's root and the raw key."""
        return self._access.uri(key)

    def digest_by_name(self, key: str) -> str:
        """The reference."""
        return self.reference(key)

    async def versioning(self) -> bool | None:
        """Not to be learnt: only Azure's management API tells. No request is sent; to ask for versions is free."""
        return None

    async def retention(self) -> Retention:
        """By the container's properties, which say little; see `Retains`."""
        return await kept.retention(self._access)

    async def archived(self, request: ListRequest) -> tuple[Page, tuple[Archived, ...]]:
        """A listing's page, and what on it lies in the archive tier; see `Archives`."""
        return await kept.archived(self._access, request)

    async def list_page(self, request: ListRequest) -> Page:
        """List Blobs."""
        return await listing.list_page(self._access, request)

    async def stat(self, key: str, version: str | None = None) -> Pin:
        """A HEAD."""
        return await objects.stat(self._access, key, version)

    async def history(self, key: str, limit: int = 1000) -> pa.RecordBatch:
        """List Blobs with versions, of exactly this key."""
        return await listing.history(self._access, key, limit)

    def read(self, request: ReadRequest) -> AbstractAsyncContextManager[Body]:
        """A GET."""
        return objects.read(self._access, request)

    async def aclose(self) -> None:
        """Close the pool and the credential. Idempotent."""
        await self._access.aclose()


def open_azure(reference: Reference, options: Mapping[str, Any], limits: Limits) -> Azure:
    """Open a container; no request is sent. See `Opener`."""
    settings = read_settings(reference.container, options, limits, concurrency=TRAITS.concurrency)
    root = f"{reference.scheme}://{reference.container}/"
    return Azure(Access(root, settings), scheme=reference.scheme, container=reference.container)
