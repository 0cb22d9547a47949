"""What a process that belongs to asyncref alone sets for itself: the command line's, a benchmark's.

Nothing here is done where asyncref is imported into a program of somebody else's.
"""

from __future__ import annotations

import atexit
import gc
import os
from typing import Final

_YOUNG_OBJECTS: Final = 20_000  # pages hold no cycles: Python's 700 has the collector look at each some times in vain
_ENVIRONMENT: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # glibc's, which keeps freed memory as `_keep_freed_memory` says
    "OPENBLAS_NUM_THREADS": "1",  # numpy's: no linear algebra here, and its idle threads spin for 0.1 s
}
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES: Final = 2**31 - 1
_MOST_BYTES_FROM_HEAP: Final = 32 * 2**20  # the greatest value that glibc takes


def settle() -> None:
    """Leave what is imported so far to itself, look for garbage less often, keep freed memory, start no idle threads.

    To be called before numpy and pyarrow are imported, which read the environment then. Blocks of a scan come and go by the
    megabyte: memory that goes back to the system comes again page by page, each cleared, which was a sixth of a large
    scan's CPU. What is kept is bounded by what was needed at once.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _keep_freed_memory()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # or the interpreter looks for garbage in everything once more before it ends


def _keep_freed_memory() -> None:
    """Tell glibc's malloc to; others (musl, macOS) have no such call."""
    import ctypes  # noqa: PLC0415  libraries that are imported into others' programs have no use for it

    if mallopt := getattr(ctypes.CDLL(None) if os.name == "posix" else None, "mallopt", None):
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _MOST_BYTES_FROM_HEAP)
