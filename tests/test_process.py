"""What the command line sets for its own process, seen in one."""

from __future__ import annotations

import subprocess
import sys

_SETTLED = """
import gc, os, sys
import asyncref
from asyncref.process import settle
assert not {"numpy", "pyarrow"} & sys.modules.keys()
settle()
import numpy
threads = len(os.listdir("/proc/self/task"))
import pyarrow
print(pyarrow.default_memory_pool().backend_name, gc.get_threshold()[0] > 700, threads)
"""


def test_arrow_takes_the_systems_memory_and_numpy_starts_no_threads() -> None:
    done = subprocess.run([sys.executable, "-c", _SETTLED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["system", "True", "1"]
