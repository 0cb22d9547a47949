"""asyncref: the pinned objects of a manifest into a folder, or through memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import uvloop

import asyncref
from asyncref.process import settle


async def fetch(options: dict[str, Any]) -> dict[str, Any]:
    """Fetch once.

    Args:
        options: `manifest` (a Parquet file), `folder` (None: stream), `checksum`, `endpoint`, `concurrency`.
    """
    if options["folder"] is not None:
        settle()  # as the command line does; a stream is read by a program of somebody else's
    from asyncref.loaders import stream  # noqa: PLC0415  after `settle`

    manifest = asyncref.Manifest.load(Path(options["manifest"]))
    storage = {"endpoint_url": options["endpoint"]}
    if options["folder"] is not None:
        folder, checksum = Path(options["folder"]), options["checksum"]
        report = await asyncref.fetch(manifest, folder, storage_options=storage, checksum=checksum, fsync="never")
        return {"objects": report.objects + report.skipped, "bytes": report.bytes}
    objects = size = 0
    items = stream(manifest, concurrency=options["concurrency"], storage_options=storage, checksum=options["checksum"])
    async with items:
        async for item in items:
            if item.error is not None:
                raise item.error
            objects += 1
            size += len(item.data or b"")
    return {"objects": objects, "bytes": size}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(fetch(json.loads(sys.argv[1])))))
