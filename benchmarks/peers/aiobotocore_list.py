"""aiobotocore: its paginator over ListObjectsV2 or ListObjectVersions, rows counted and dropped."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvloop
from aiobotocore.session import get_session


async def count(options: dict[str, Any]) -> int:
    """Count the first `most` rows under `uri`, of every version where `versions` is set."""
    bucket, _, prefix = options["uri"].removeprefix("s3://").partition("/")
    call = "list_object_versions" if options["versions"] else "list_objects_v2"
    seen = 0
    async with get_session().create_client("s3", endpoint_url=options["endpoint"]) as client:
        async for page in client.get_paginator(call).paginate(Bucket=bucket, Prefix=prefix):
            seen += sum(len(page.get(kind, ())) for kind in ("Contents", "Versions", "DeleteMarkers"))
            if seen >= options["most"]:
                break
    return seen


if __name__ == "__main__":
    print(json.dumps({"objects": uvloop.run(count(json.loads(sys.argv[1])))}))
