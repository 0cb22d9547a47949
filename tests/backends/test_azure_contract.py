"""The Azure backend passes the contract on Azurite, Microsoft's own emulator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from anyio import to_thread
from azure.storage.blob import ContentSettings

from asyncref.backends import open_backend
from asyncref.testing import Abilities, BackendContract, Place
from asyncref.uri import Reference


@dataclass
class Container:
    """Seeded by azure-storage-blob, which encodes names by its own rules."""

    client: Any
    name: str
    root: str = "root/"

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        labels = {"content_settings": ContentSettings(content_encoding=encoding)} if encoding else {}
        await to_thread.run_sync(partial(self.client.upload_blob, key, data, overwrite=True, **labels))

    async def delete(self, key: str) -> None:
        await to_thread.run_sync(self.client.delete_blob, key)


# Azure takes a backslash for a slash; its client resolves `..` before it signs, so that such a name is refused.
AZURE_LACKS = frozenset({"back\\slash", "a/../b"})


class TestAzurite(BackendContract):
    abilities = Abilities(lacks_keys=AZURE_LACKS, etags_of_content=False)

    @pytest.fixture
    def place(self, azurite, bucket) -> Place:
        return Container(azurite.container(bucket), bucket)

    @pytest.fixture
    async def backend(self, azurite, place):
        backend = open_backend(Reference("az", place.name, place.root), azurite.storage_options)
        yield backend
        await backend.aclose()

    @pytest.fixture
    async def lost_backend(self, azurite):
        backend = open_backend(Reference("az", "no-such-container", ""), azurite.storage_options)
        yield backend
        await backend.aclose()
