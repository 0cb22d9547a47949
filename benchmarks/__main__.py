"""`python -m benchmarks NAME [options]`: run one benchmark, print its table, keep its figures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.measure import PeerFailedError
from benchmarks.report import RESULTS, publish

NAMES: Final = (
    "scan",
    "memory",
    "small",
    "parse",
    "scale",
    "layouts",
    "throttle",
    "resume",
    "fetch-small",
    "fetch-large",
    "fetch-tls",
    "refetch",
    "stream",
    "gcs",
    "azure",
    "http",
    "files",
)
"""Each a module of this package (with `_` for `-`) with `options(parser)` and `run(arguments) -> Result`; its first line is its question."""


def main(words: list[str] | None = None) -> int:
    """Run the benchmark that the command line names; 0 if it ran, 1 if a measured program failed."""
    # The raw formatter: argparse wraps even the text of a version, and breaks a name at its hyphen.
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--names", action="version", version="\n".join(NAMES), help="print every NAME, one a line, and end"
    )
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    modules = {name: import_module(f"benchmarks.{name.replace('-', '_')}") for name in NAMES}
    for name, module in modules.items():
        question = _question(module.__doc__)
        sub = names.add_parser(name, help=question, description=question)
        sub.add_argument(
            "--quick", action="store_true", help="seconds instead of minutes: shows that it runs, not how fast"
        )
        sub.add_argument("--out", type=Path, help=f"folder for NAME.json and NAME.png ({RESULTS}; none with --quick)")
        module.options(sub)
    arguments = parser.parse_args(words)
    module = modules[arguments.name]
    try:
        result = module.run(arguments)
    except PeerFailedError as failure:
        print(failure, file=sys.stderr)
        return 1
    if arguments.quick:
        result = replace(result, demands=(), notes=[*result.notes, "--quick: too small to be held against a demand."])
    folder = arguments.out or (None if arguments.quick or vars(arguments).get("uri") else RESULTS)
    publish(arguments.name, _question(module.__doc__), result, folder=folder)
    return 0


def _question(text: str | None) -> str:
    return (text or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
