"""The S3 backend passes the contract on every real server there is, with versions and without."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from anyio import to_thread

from asyncref.backends import open_backend
from asyncref.testing import Abilities, BackendContract, Place, VersionContract
from asyncref.uri import Reference


@dataclass
class Bucket:
    """Seeded by boto3; botocore encodes keys by its own rules."""

    client: Any
    name: str
    root: str = "root/"

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        labels = {"ContentEncoding": encoding} if encoding else {}
        await to_thread.run_sync(partial(self.client.put_object, Bucket=self.name, Key=key, Body=data, **labels))

    async def delete(self, key: str) -> None:
        await to_thread.run_sync(partial(self.client.delete_object, Bucket=self.name, Key=key))


class S3Contract(BackendContract):
    @pytest.fixture
    def server(self):
        raise NotImplementedError

    @pytest.fixture
    def place(self, server, bucket) -> Place:
        client = server.client()
        client.create_bucket(Bucket=bucket)
        if self.abilities.versions:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return Bucket(client, bucket)

    @pytest.fixture
    async def backend(self, server, place):
        backend = open_backend(Reference("s3", place.name, place.root), server.storage_options)
        yield backend
        await backend.aclose()

    @pytest.fixture
    async def lost_backend(self, server):
        backend = open_backend(Reference("s3", "no-such-bucket-here", ""), server.storage_options)
        yield backend
        await backend.aclose()


# moto's own PUT answers 404 to a key with a line feed.
MOTO_LACKS = frozenset({"tab\tline\nend"})


class TestMoto(S3Contract):
    abilities = Abilities(lacks_keys=MOTO_LACKS)

    @pytest.fixture
    def server(self, moto):
        return moto


# moto's ListObjectVersions drops the first key after a KeyMarker that is no key (moto/s3/models.py,
# list_object_versions: `skip_versions = version.name < key_marker; continue`).
class TestMotoWithVersions(VersionContract, TestMoto):
    abilities = Abilities(lacks_keys=MOTO_LACKS, versions=True, any_marker=False)


class TestRadosgw(S3Contract):
    @pytest.fixture
    def server(self, radosgw):
        return radosgw


class TestRadosgwWithVersions(VersionContract, TestRadosgw):
    abilities = Abilities(versions=True)
