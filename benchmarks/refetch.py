"""What does a second fetch into the same folder cost, with nothing to do?

10,000 objects of 1 KB that lie there already. What is measured, and how: `benchmarks.fetch`.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import fetch
from benchmarks.fetch import run

__all__ = ["options", "run"]

_CASES: Final = ("refetch",)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark"s options."""
    fetch.options(parser, _CASES)
