"""os.walk and os.stat in one thread; or MD5 of every file in one thread, or its bytes and no more. A delay can be put before every call."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def delay(seconds: float) -> None:
    """Put a delay before every `os.scandir` and `os.stat` of this process, as a network does."""

    def late(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            time.sleep(seconds)
            return call(*arguments, **options)

        return wrapped

    os.scandir, os.stat = late(os.scandir), late(os.stat)


def walk(options: dict[str, Any]) -> dict[str, Any]:
    """Walk.

    Args:
        options: `folder`; `delay_ms` a call; `most` (files after which it stops); `hash`; `read`; `part`: which files
            of how many parts.
    """
    if options.get("delay_ms"):
        delay(options["delay_ms"] / 1000)
    start = time.perf_counter()
    found = size = 0
    part, parts = options.get("part", (0, 1))
    buffer = bytearray(2**18)
    for folder, _, names in os.walk(options["folder"]):
        for name in sorted(names)[part::parts] if parts > 1 else names:
            path = os.path.join(folder, name)  # noqa: PTH118  what is measured
            if options.get("hash"):
                with open(path, "rb") as file:  # noqa: PTH123  as above
                    size += len(hashlib.file_digest(file, "md5").digest())
            elif options.get("read"):
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123  as above
                    while count := file.readinto(buffer):
                        size += count
            else:
                size += os.stat(path).st_size  # noqa: PTH116  as above
            found += 1
        if found >= options["most"]:
            break
    return {"objects": found, "size": size, "scan_s": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(walk(json.loads(sys.argv[1]))))
