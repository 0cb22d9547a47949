"""How many small objects per CPU-second and per second does asyncref fetch, beside other clients?

10,000 objects of 1 KB and of 100 KB into a folder in memory. What is measured, and how: `benchmarks.fetch`.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import fetch
from benchmarks.fetch import run

__all__ = ["options", "run"]

_CASES: Final = ("small-1k", "small-100k")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark"s options."""
    fetch.options(parser, _CASES)
