"""Is a scan of 10 or 1,000 objects ever slower than a serial listing, and how many requests does it send?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.measure import measure, python
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.process import running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "case": "case",
    "objects": "objects",
    "latency_ms": "latency ms",
    "way": "way",
    "wall_ms": "wall ms (median)",
    "list_requests": "list requests",
    "other_requests": "other requests",
    "times_asyncref": "x asyncref (paired)",
}
_NOISE: Final = 1.05  # the same way twice differs by so much


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--objects", default=None, help="sizes, comma-separated (10,1000,3000; 10,1000 with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="scans of each kind (30; 1 with --quick)")
    parser.add_argument("--cases", default=None, help="list, versions (both; list with --quick)")
    parser.add_argument("--latencies", default=None, help="ms a request, comma-separated (0,50; 0 with --quick)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure scans in one warm process, clients made anew for each; imports are not counted."""
    rounds = arguments.rounds or (1 if arguments.quick else 30)
    sizes = [int(text) for text in (arguments.objects or ("10,1000" if arguments.quick else "10,1000,3000")).split(",")]
    latencies = [float(text) for text in (arguments.latencies or ("0" if arguments.quick else "0,50")).split(",")]
    cases = (arguments.cases or ("list" if arguments.quick else "list,versions")).split(",")
    rows = [row for case in cases for size in sizes for row in _compared(case, size, latencies, rounds)]
    drawn = [row for row in rows if row["case"] == "list"]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"rounds": rounds},
        notes=[
            "Requests are those of one scan, counted at the server; the URI ends in a slash.",
            "Serial: asyncref one request at a time, and aiobotocore's paginator, in the same process and rounds; ratios are medians over the rounds.",
        ],
        demands=_demands(rows),
        draw=bars(
            [f"{row['way']}: {row['objects']} at {row['latency_ms']:.0f} ms" for row in drawn],
            [row["wall_ms"] for row in drawn],
            "ms a scan, ListObjectsV2",
        ),
    )


def _demands(rows: Sequence[dict[str, Any]]) -> list[Demand]:
    own = [row for row in rows if row["way"] == "asyncref"]
    asked = {f"{row['case']}, {row['latency_ms']:g} ms": row["list_requests"] for row in own if row["objects"] == 10}
    found = worst("list requests for 10 objects", 1, asked)
    for way in dict.fromkeys(row["way"] for row in rows if row["objects"] == 1000 and row["way"] != "asyncref"):
        times = {
            f"{row['case']}, {row['latency_ms']:g} ms": 1 / row["times_asyncref"]
            for row in rows
            if row["way"] == way and row["objects"] == 1000
        }
        found += worst(f"1,000 objects, times the serial listing by {way}", _NOISE, times)
    return found


def _compared(case: str, size: int, latencies: list[float], rounds: int) -> Iterator[dict[str, Any]]:
    with running(Spec(layout="uuid", keys=size, versioned=case == "versions")) as store:
        command = python(
            "benchmarks.peers.small_scans",
            uri=store.uri,
            endpoint=store.endpoint,
            versions=case == "versions",
            rows=size,
            rounds=rounds,
            latencies_ms=latencies,
        )
        scans = measure(command, environment=store.environment()).output["scans"]
    own_ms = {scan["latency_ms"]: scan["taken_ms"] for scan in scans if scan["way"] == "asyncref"}
    for scan in scans:
        listing = sum(scan["requests"].get(kind, 0) for kind in ("list", "versions"))
        yield {
            **scan,
            "case": case,
            "objects": size,
            "wall_ms": median(scan["taken_ms"]),
            "times_asyncref": median(
                taken / own for taken, own in zip(scan["taken_ms"], own_ms[scan["latency_ms"]], strict=True)
            ),
            "list_requests": listing,
            "other_requests": sum(scan["requests"].values()) - listing,
        }
