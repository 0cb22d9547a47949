"""Not measured: the manifest and the list of keys from which the fetch benchmarks start."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import uvloop

import asyncref
from asyncref.manifest.formats import to_wandb


def prepare(options: dict[str, Any]) -> None:
    """Scan `uri` at `endpoint`.

    Write `manifest`, the same as W&B's (`wandb`) and, for clients that take keys, `keys` as JSON pairs of key and size.
    """
    manifest = uvloop.run(asyncref.scan(options["uri"], storage_options={"endpoint_url": options["endpoint"]}))
    manifest.save(Path(options["manifest"]))
    Path(options["wandb"]).write_bytes(b"".join(to_wandb(manifest)))
    rows = manifest.to_arrow().select(["ref", "size"]).to_pylist()
    pairs = [("/".join(row["ref"].split("/")[3:]), row["size"]) for row in rows]
    Path(options["keys"]).write_text(json.dumps(pairs))


if __name__ == "__main__":
    prepare(json.loads(sys.argv[1]))
