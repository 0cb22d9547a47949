"""obstore (Rust): objects to files with get and write, large ones in ranges with pwrite; or through memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
import uvloop
from obstore.store import S3Store

_PART_BYTES = 16 * 2**20
_STREAM_BYTES = 2**20  # its default of 10 MiB a chunk is slower


@dataclass(slots=True)
class _Fetch:
    store: S3Store
    rows: Sequence[tuple[str, int]]
    root: str | None
    bytes: int = 0
    files: dict[str, int] = field(default_factory=dict)

    def pieces(self) -> Iterator[tuple[str, int, int, int]]:
        """Key, size, and where each part starts and stops."""
        for key, size in self.rows:
            step = _PART_BYTES if self.root is not None else max(size, 1)
            for start in range(0, max(size, 1), step):
                yield key, size, start, min(size, start + step)

    async def work(self, todo: Iterator[tuple[str, int, int, int]]) -> None:
        """Take pieces until there are no more."""
        for key, size, start, stop in todo:
            if stop - start < size:
                await self.part(key, start, stop)
                continue
            data = await (await obstore.get_async(self.store, key)).bytes_async()
            self.bytes += len(data)
            if self.root is not None:
                fd = os.open(_file(self.root, key), os.O_CREAT | os.O_WRONLY, 0o666)
                os.write(fd, data)
                os.close(fd)

    async def part(self, key: str, start: int, stop: int) -> None:
        """One part of a large object, by pwrite."""
        assert self.root is not None
        if key not in self.files:
            self.files[key] = os.open(_file(self.root, key), os.O_CREAT | os.O_WRONLY, 0o666)
        answer = await obstore.get_async(self.store, key, options={"range": (start, stop)})
        async for chunk in answer.stream(min_chunk_size=_STREAM_BYTES):
            written = os.pwrite(self.files[key], chunk, start)
            start += written
            self.bytes += written


async def fetch(options: dict[str, Any], rows: list[tuple[str, int]]) -> dict[str, Any]:
    """Fetch once.

    Args:
        options: `folder` (None: through memory), `endpoint`, `concurrency`.
        rows: Keys and sizes.
    """
    client: Any = {"allow_http": True, "allow_invalid_certificates": options["endpoint"].startswith("https")}
    store = S3Store("bench", endpoint=options["endpoint"], region="us-east-1", client_options=client)
    run = _Fetch(store, rows, options["folder"])
    todo = run.pieces()
    await asyncio.gather(*(run.work(todo) for _ in range(options["concurrency"])))
    for fd in run.files.values():
        os.close(fd)
    return {"objects": len(rows), "bytes": run.bytes}


def _file(root: str, key: str) -> str:
    path = f"{root}/{key}"
    os.makedirs(path.rpartition("/")[0], exist_ok=True)  # noqa: PTH103  # a Path would be on its bill
    return path


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run(fetch(told, json.loads(Path(told["keys"]).read_text())))))
