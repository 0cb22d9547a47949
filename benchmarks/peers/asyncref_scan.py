"""asyncref: from the wire to a sorted manifest on disk, with its digest."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

import asyncref


async def scan(options: dict[str, Any]) -> dict[str, Any]:
    """Scan once.

    Args:
        options: `uri`; `endpoint` (None: the provider's own), `concurrency` (None: the default), `folder` to save in.
    """
    storage = {"endpoint_url": options["endpoint"]} if options.get("endpoint") else None
    limits = asyncref.Limits(concurrency=options.get("concurrency"))
    manifest = await asyncref.scan(options["uri"], storage_options=storage, limits=limits)
    with tempfile.TemporaryDirectory(dir=options.get("folder")) as folder:
        target = Path(folder) / "manifest.parquet"
        manifest.save(target)
        return {"objects": len(manifest), "digest": manifest.digest, "manifest_bytes": target.stat().st_size}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(scan(json.loads(sys.argv[1])))))
