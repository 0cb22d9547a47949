"""W&B: its reference handler for S3, in as many threads as its download has, then its copy out of its cache."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from shutil import copy2, rmtree
from typing import Any

_WORKERS = 32  # wandb 0.31, sdk/artifacts/artifact.py: _FILE_EXECUTOR_WORKERS


def fetch(options: dict[str, Any]) -> dict[str, Any]:
    """Fetch the first entries once.

    Args:
        options: `manifest` (W&B's own form), `folder`, `endpoint`, `cache` (a folder, emptied first), `most`.
    """
    rmtree(options["cache"], ignore_errors=True)
    os.environ.update(WANDB_CACHE_DIR=options["cache"], AWS_S3_ENDPOINT_URL=options["endpoint"], WANDB_SILENT="true")
    from wandb.sdk.artifacts.artifact_manifest import ArtifactManifest  # noqa: PLC0415  reads the environment

    manifest = ArtifactManifest.from_manifest_json(json.loads(Path(options["manifest"]).read_text()))
    root = Path(options["folder"])

    def one(item: tuple[str, Any]) -> int:
        path, entry = item
        held = manifest.storage_policy.load_reference(entry, local=True)
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        copy2(held, target)
        return target.stat().st_size

    with ThreadPoolExecutor(_WORKERS) as pool:
        sizes = list(pool.map(one, islice(manifest.entries.items(), options["most"])))
    return {"objects": len(sizes), "bytes": sum(sizes)}


if __name__ == "__main__":
    print(json.dumps(fetch(json.loads(sys.argv[1]))))
