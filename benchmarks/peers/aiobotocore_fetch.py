"""aiobotocore: one get_object an object, its body to a file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

_CHUNK_BYTES = 2**20


async def fetch(options: dict[str, Any], rows: list[tuple[str, int]]) -> dict[str, Any]:
    """Fetch every object once; options as in `obstore_fetch`."""
    counts = {"objects": len(rows), "bytes": 0}
    config = AioConfig(max_pool_connections=options["concurrency"])
    root = options["folder"]
    async with get_session().create_client("s3", endpoint_url=options["endpoint"], config=config) as client:
        todo = iter(rows)

        async def work() -> None:
            for key, _ in todo:
                body = (await client.get_object(Bucket="bench", Key=key))["Body"]
                async with body as stream:
                    if root is None:
                        counts["bytes"] += len(await stream.read())
                        continue
                    target = Path(root) / key
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        while chunk := await stream.read(_CHUNK_BYTES):
                            counts["bytes"] += file.write(chunk)

        await asyncio.gather(*(work() for _ in range(options["concurrency"])))
    return counts


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run(fetch(told, json.loads(Path(told["keys"]).read_text())[: told["most"]]))))
