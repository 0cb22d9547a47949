"""A past moment of real S3 servers: what was overwritten, deleted or added since does not show."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from asyncref.engine.scan import Target, scan
from tests.servers import S3Server


def _later_second(client: Any, bucket: str, than: datetime) -> None:
    """Put a key elsewhere until the server's clock shows a later second."""
    while True:
        client.put_object(Bucket=bucket, Key="clock", Body=b"x")
        if client.head_object(Bucket=bucket, Key="clock")["LastModified"] > than:
            return
        time.sleep(0.05)


async def test_a_past_moment_of_a_bucket_is_listed_and_can_be_read(s3: S3Server, bucket: str) -> None:
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    names = ["a b", "é/1", "over", "gone", "untouched"]
    old = {name: client.put_object(Bucket=bucket, Key=f"p/{name}", Body=name.encode())["VersionId"] for name in names}
    client.put_object(Bucket=bucket, Key="p/deleted before", Body=b"x")
    client.delete_object(Bucket=bucket, Key="p/deleted before")
    rows = client.list_object_versions(Bucket=bucket)
    at = max(row["LastModified"] for row in [*rows["Versions"], *rows["DeleteMarkers"]])
    _later_second(client, bucket, at)
    client.put_object(Bucket=bucket, Key="p/over", Body=b"new")
    client.delete_object(Bucket=bucket, Key="p/gone")
    client.put_object(Bucket=bucket, Key="p/added", Body=b"new")
    manifest = await scan([Target(uri=f"s3://{bucket}/p/")], storage_options=s3.storage_options, at=at)
    assert {entry.path: entry.pin.version for entry in manifest} == old
    assert {entry.path: entry.size for entry in manifest} == {name: len(name.encode()) for name in names}
    single = await scan([Target(uri=f"s3://{bucket}/p/gone")], storage_options=s3.storage_options, at=at)
    assert single["gone"].pin.version == old["gone"]
