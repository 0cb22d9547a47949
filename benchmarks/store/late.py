"""Latency of a file server, put before the calls of a process by a preloaded library, where it can be compiled (`late.c`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def late(folder: Path, delay_ms: float) -> Iterator[tuple[Mapping[str, str], dict[str, float]]]:
    """Prepare processes whose looks at what lies below a folder take longer.

    Args:
        folder: It.
        delay_ms: A call.

    Yields:
        Their environment, and what they have to be told: without a compiler they put the delay before Python's own calls.
    """
    compiler = shutil.which("cc")
    if not delay_ms or compiler is None:
        yield os.environ, {"delay_ms": delay_ms}
        return
    with tempfile.TemporaryDirectory() as place:
        library = f"{place}/late.so"
        source = str(Path(__file__).with_suffix(".c"))
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", source, "-o", library, "-ldl"], check=True)
        told = {"LD_PRELOAD": library, "LATE_UNDER": f"{folder}/", "LATE_NS": str(int(delay_ms * 1e6))}
        yield os.environ | told, {"delay_ms": 0}
