"""asyncref: a tree of files or of a web server, to a manifest; a delay can be put before every call of the file system."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import uvloop

import asyncref
import asyncref.backends.http
import asyncref.verbs.scanning  # the face loads it when first asked, which is no part of a scan
from asyncref.backends.file import local
from benchmarks.peers.tree_walk import delay


async def scan(options: dict[str, Any]) -> dict[str, Any]:
    """Scan once; `scan_s` of the answer is the wall time without the interpreter's start and imports.

    Args:
        options: `uri`; `checksum`; `storage_options`; `concurrency`; `is_late` (no local disk); `delay_ms` before a call of Python's; `warm` (scan once before).
    """
    if options.get("is_late"):
        local._LOCAL = frozenset()  # type: ignore[misc]  # noqa: SLF001  no local disk answers so late
    if options.get("delay_ms"):
        delay(options["delay_ms"] / 1000)
    limits = asyncref.Limits(concurrency=options.get("concurrency"))
    read = _Read()
    for _ in range(2 if options.get("warm") else 1):
        read.reset()
        before, before_cpu = time.perf_counter(), time.process_time()
        manifest = await asyncref.scan(
            options["uri"],
            checksum=options["checksum"],
            storage_options=options.get("storage_options"),
            limits=limits,
        )
        taken_s, cpu_s = time.perf_counter() - before, time.process_time() - before_cpu
    return {
        "objects": len(manifest),
        "requests": dict(manifest.record.requests),
        "bytes": manifest.size,
        "content_bytes_read": read.total,
        "scan_s": taken_s,
        "scan_cpu_s": cpu_s,
    }


class _Read:
    """Counts the bytes that `os.readv` gives: that is how content is hashed."""

    def __init__(self) -> None:
        self.total = 0
        self._readv = os.readv
        os.readv = self._counted

    def reset(self) -> None:
        """Count from zero."""
        self.total = 0

    def _counted(self, fd: int, buffers: Any) -> int:
        count = self._readv(fd, buffers)
        self.total += count
        return count


if __name__ == "__main__":
    print(json.dumps(uvloop.run(scan(json.loads(sys.argv[1])))))
