"""A link that breaks again and again brings an object in the end: each request goes on where the last one broke off."""

from __future__ import annotations

from pathlib import Path

from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.model import Limits
from tests.fetch import noise
from tests.servers import S3Server
from tests.servers.proxy import Cut

QUICK = Limits(backoff_s=0.001)


async def test_a_part_over_a_link_that_breaks_every_mebibyte_comes_whole(
    moto: S3Server, bucket: str, proxy_to, tmp_path: Path
) -> None:
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    data = noise(15 * 2**20)
    client.put_object(Bucket=bucket, Key="large", Body=data)
    proxy = proxy_to(moto.endpoint)
    manifest = await scan(
        [Target(uri=f"s3://{bucket}/")], storage_options={**moto.storage_options, "endpoint_url": proxy.endpoint}
    )
    proxy.inject(Cut(2**20), kind="get", at=None)
    options = {"key": moto.key, "secret": moto.secret}
    await fetch(manifest, tmp_path, storage_options=options, limits=QUICK)
    assert (tmp_path / "large").read_bytes() == data
    assert 15 <= proxy.counts["get"] <= 17
