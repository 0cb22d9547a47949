"""How many bytes per CPU-second does asyncref fetch of large objects, beside other clients?

8 objects of 1 GiB into a folder in memory, with content checks and without. What is measured, and how: `benchmarks.fetch`.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import fetch
from benchmarks.fetch import run

__all__ = ["options", "run"]

_CASES: Final = ("large",)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark"s options."""
    fetch.options(parser, _CASES)
