"""How many bytes per CPU-second does asyncref stream through memory, beside obstore?

64 requests in flight, objects of 10 KB and of 1 MB. What is measured, and how: `benchmarks.fetch`.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import fetch
from benchmarks.fetch import run

__all__ = ["options", "run"]

_CASES: Final = ("stream-10k", "stream-1m")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark"s options."""
    fetch.options(parser, _CASES)
