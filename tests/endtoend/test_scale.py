"""20,000 versioned objects on radosgw: one listing, counted before the server, with every pin in it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

import asyncref
from tests.endtoend import Bucket
from tests.servers import S3Server
from tests.servers.proxy import Proxy

OBJECTS = 20_000
_WRITERS = 16


def name(number: int) -> str:
    """Uneven: numbered folders, and hashes in a hot one."""
    return (
        f"train/{number // 500:03}/{number:05}.jpg"
        if number % 4
        else f"by hash/{hashlib.md5(b'%d' % number).hexdigest()}"
    )


async def fill(place: Bucket) -> None:
    """Put every object; boto3's call path would take a minute for it."""
    server = place.server
    signer = S3SigV4Auth(Credentials(server.key, server.secret), "s3", server.region)
    numbers = iter(range(OBJECTS))

    async def write(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            url = f"{server.endpoint}/{place.name}/set/{name(number).replace(' ', '%20')}"
            request = AWSRequest("PUT", url, data=b"%d" % number)
            signer.add_auth(request)
            async with session.put(URL(url, encoded=True), data=request.data, headers=dict(request.headers)) as answer:
                assert answer.status == 200, await answer.text()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(write(session))


async def test_a_versioned_prefix_of_20000_objects_costs_22_lists_and_no_head(
    radosgw: S3Server, bucket: str, proxy_to: Callable[[str], Proxy]
) -> None:
    place = Bucket(radosgw, bucket).make()
    place.keep_versions()
    await fill(place)
    proxy = proxy_to(radosgw.endpoint)
    options: dict[str, Any] = {**radosgw.storage_options, "endpoint_url": proxy.endpoint}
    manifest = await asyncref.scan(place.uri, storage_options=options)
    assert len(manifest) == OBJECTS
    assert proxy.counts["versions"] + proxy.counts["list"] <= 22
    assert set(proxy.counts) <= {"versions", "versioning"}
    assert proxy.counts["versioning"] <= 1
    assert manifest.record.requests == {"list": proxy.counts["versions"], "versioning": proxy.counts["versioning"]}
    pins = {entry.path: (entry.pin.etag, entry.pin.version) for entry in manifest}
    assert pins == await asyncio.to_thread(place.current)
    assert manifest.size == sum(len(str(number)) for number in range(OBJECTS))
