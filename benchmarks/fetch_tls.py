"""How fast does asyncref fetch over TLS, beside other clients?

8 objects of 256 MiB into a folder in memory. What is measured, and how: `benchmarks.fetch`.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import fetch
from benchmarks.fetch import run

__all__ = ["options", "run"]

_CASES: Final = ("tls",)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark"s options."""
    fetch.options(parser, _CASES)
