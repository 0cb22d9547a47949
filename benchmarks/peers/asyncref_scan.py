"""asyncref: from the wire to a sorted manifest on disk, with its digest."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

import asyncref
from asyncref.process import settle


async def scan(options: dict[str, Any]) -> dict[str, Any]:
    """Scan once; `scan_s` of the answer is the wall time without the interpreter's start and imports.

    Args:
        options: `uri`; `endpoint` (None: the provider's own), `concurrency` (None: the default), `folder` to save in,
            `resume` (a folder that outlives the process), `saved` (a file for the digest, written once the manifest is saved).
    """
    from asyncref.manifest import ManifestStore  # noqa: PLC0415  after `settle`

    before = time.perf_counter()
    storage = {"endpoint_url": options["endpoint"]} if options.get("endpoint") else None
    limits = asyncref.Limits(concurrency=options.get("concurrency"))
    with tempfile.TemporaryDirectory(dir=options.get("folder")) as folder:

        def save(manifest: asyncref.Manifest) -> None:
            ManifestStore(Path(folder)).put(manifest)  # as `log` keeps it
            if options.get("saved"):
                Path(options["saved"]).write_text(manifest.digest)

        manifest = await asyncref.scan(
            options["uri"], storage_options=storage, limits=limits, resume=options.get("resume"), save=save
        )
        return {
            "objects": len(manifest),
            "digest": manifest.digest,
            "continued": _continued(manifest),
            "manifest_bytes": _size(Path(folder)),
            "scan_s": time.perf_counter() - before,
        }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _continued(manifest: asyncref.Manifest) -> int:
    """Objects that an earlier run had listed."""
    notes = [note for note in manifest.record.notes if note.startswith("continues the scan")]
    return int(notes[0].split()[-2].replace(",", "")) if notes else 0


if __name__ == "__main__":
    settle()  # as the command line does
    print(json.dumps(uvloop.run(scan(json.loads(sys.argv[1])))))
