"""How much faster is a tree on an HTTP server scanned than by a serial crawl, and with how many requests?

The server is nginx, which counts its requests; a relay before it holds each back for 20 ms. The serial crawl sends the same
requests, one after the other; it is measured on the first of them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, measure, python
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.nginx import serving, tree

_COLUMNS: Final = {
    "case": "case",
    "latency_ms": "latency ms",
    "files": "files",
    "folders": "folders",
    "requests": "requests",
    "wall_s": "asyncref s",
    "serial_s": "serial crawl s",
    "times": "x as fast",
    "cpu_s": "asyncref CPU s",
    "serial_cpu_s": "crawl CPU s",
}
_LEAST_TIMES: Final = 20.0


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--folders", type=int, default=None, help="folders (200; 20 with --quick)")
    parser.add_argument("--files", type=int, default=None, help="files in each (100; 20 with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (3; 1 with --quick)")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="a request (%(default)s)")
    parser.add_argument("--serial-requests", type=int, default=500, help="of the serial crawl (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    folders = arguments.folders or (20 if arguments.quick else 200)
    files = arguments.files or (20 if arguments.quick else 100)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    most = min(arguments.serial_requests, 100 if arguments.quick else arguments.serial_requests)
    with tree(folders, files) as base:
        rows = [
            _measured(base, case, latency_ms, folders, files, rounds=rounds, most=most)
            for latency_ms in ((arguments.latency_ms,) if arguments.quick else (arguments.latency_ms, 0.0))
            for case in ("ETags", "no ETags")
        ]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"folders": folders, "files": files, "rounds": rounds, "serial_requests": most},
        notes=[
            "No ETags: checksum=False; the index pages say names, sizes and times, and no file is asked for.",
            f"The serial crawl stops after {most} requests; its seconds are scaled to the requests for the whole tree.",
        ],
        demands=_demands(rows),
        draw=bars(
            [f"{row['case']}, {row['latency_ms']:.0f} ms" for row in rows],
            [row["times"] for row in rows],
            "times a serial crawl",
        ),
    )


def _demands(rows: Sequence[dict[str, Any]]) -> list[Demand]:
    """The root is one folder more than the tree has in it."""
    late = {f"{row['case']}, {row['latency_ms']:g} ms": row for row in rows if row["latency_ms"]}
    more = {name: row["requests"] - row["files"] - row["folders"] - 1 for name, row in late.items()}
    return [
        *worst("times a serial crawl", _LEAST_TIMES, {name: row["times"] for name, row in late.items()}, at_least=True),
        *worst("requests beyond files + folders + 1", 0, more),
    ]


def _measured(
    base: Path, case: str, latency_ms: float, folders: int, files: int, *, rounds: int, most: int
) -> dict[str, Any]:
    with serving(base, latency_ms) as served:
        command = python("benchmarks.peers.tree_scan", uri=served.uri, checksum=case == "ETags")
        ours, requests = [], 0
        for _ in range(rounds):
            before = served.requests()
            ours.append(measure(command, environment=os.environ))
            requests = served.requests() - before - 1  # the question before
            if ours[-1].output["objects"] != folders * files:
                raise PeerFailedError(f"asyncref's manifest has {ours[-1].output['objects']} entries")
        crawl = measure(python("benchmarks.peers.http_crawl", uri=served.uri, most=most), environment=os.environ)
    whole = folders * files + folders + 1
    serial_s = crawl.output["scan_s"] * whole / crawl.output["requests"]
    wall_s = median(usage.output["scan_s"] for usage in ours)
    return {
        "case": case,
        "latency_ms": latency_ms,
        "files": folders * files,
        "folders": folders,
        "requests": requests,
        "wall_s": wall_s,
        "serial_s": serial_s,
        "times": serial_s / wall_s,
        "cpu_s": median(usage.output["scan_cpu_s"] for usage in ours),
        "serial_cpu_s": crawl.output["scan_cpu_s"] * whole / crawl.output["requests"],
        "walls_s": [usage.output["scan_s"] for usage in ours],
    }
