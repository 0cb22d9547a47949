"""Is a scan of 10 or 1,000 objects ever slower than a serial listing, and how many requests does it send?"""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any, Final

from benchmarks.measure import measure, python
from benchmarks.peers.small_scans import WAYS
from benchmarks.report import Result, bars
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "case": "case",
    "objects": "objects",
    "latency_ms": "latency ms",
    "way": "way",
    "wall_ms": "wall ms (median)",
    "list_requests": "list requests",
    "other_requests": "other requests",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--objects", default="10,1000,3000", help="sizes, comma-separated (%(default)s)")
    parser.add_argument("--rounds", type=int, default=None, help="scans of each kind (30; 3 with --quick)")
    parser.add_argument("--latencies", default="0,50", help="ms a request, comma-separated (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure scans in one warm process, clients made anew for each; imports are not counted."""
    rounds = arguments.rounds or (3 if arguments.quick else 30)
    rows: list[dict[str, Any]] = []
    for case in ("list", "versions"):
        for size in (int(text) for text in arguments.objects.split(",")):
            with running(Spec(layout="uuid", keys=size, versioned=case == "versions")) as store:
                for latency in (float(text) for text in arguments.latencies.split(",")):
                    store.set(latency_ms=latency)
                    rows += _compared(store, case, size, latency, rounds)
    drawn = [row for row in rows if row["case"] == "list"]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"rounds": rounds},
        notes=["Requests are those of one scan, counted at the server."],
        draw=bars(
            [f"{row['way']}: {row['objects']} at {row['latency_ms']:.0f} ms" for row in drawn],
            [row["wall_ms"] for row in drawn],
            "ms a scan, ListObjectsV2",
        ),
    )


def _compared(store: StoreProcess, case: str, size: int, latency: float, rounds: int) -> list[dict[str, Any]]:
    common: dict[str, Any] = {
        "uri": store.uri, "endpoint": store.endpoint, "versions": case == "versions", "rows": size,
    }  # fmt: skip
    command = python("benchmarks.peers.small_scans", **common, ways=WAYS, rounds=rounds)
    timed = measure(command, environment=store.environment()).output
    return [
        {
            "case": case,
            "objects": size,
            "latency_ms": latency,
            "way": way,
            "wall_ms": 1000 * median(timed[way]),
            "all_ms": [1000 * taken for taken in timed[way]],
            **_requests(store, way, common),
        }
        for way in WAYS
    ]


def _requests(store: StoreProcess, way: str, common: dict[str, Any]) -> dict[str, float]:
    store.reset()
    measure(python("benchmarks.peers.small_scans", **common, ways=[way], rounds=1), environment=store.environment())
    asked = store.counts()["requests"]
    listing = asked.get("list", 0) + asked.get("versions", 0)
    return {
        "list_requests": listing / 2,
        "other_requests": (sum(asked.values()) - listing) / 2,
    }  # two scans: one warms up
