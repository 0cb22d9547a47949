"""How fast is a scan of Cloud Storage, in CPU and at 50 ms a request, beside the official client's listing?

asyncref goes from the wire to a manifest on disk; google-cloud-storage counts rows and drops them. Its listing follows one
token after the other, so its time is that of a page times the pages: it is measured on the first of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.peers.listers import ASYNCREF
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.gcs import FOLDERS, GCS
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

LAYOUTS: Final = (FOLDERS, "uuid", "counter")
_PAGE_ROWS: Final = 1000
_COLUMNS: Final = {
    "layout": "layout",
    "rows": "rows",
    "net_rows_per_cpu_s": "rows/CPU-s (net)",
    "wall_0_s": "scan s, no latency",
    "wall_s": "scan s, with latency",
    "google_s": "google-cloud-storage s",
    "times": "x as fast",
    "google_rows_per_cpu_s": "its rows/CPU-s",
    "requests_per_1000": "requests/1,000 rows",
    "most_in_flight": "most in flight",
}
_LEAST_TIMES: Final = 20.0
_LEAST_ROWS: Final = 200_000.0  # a CPU-second, net
_PARALLEL: Final = 2


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", type=int, default=None, help="keys in each bucket (1,000,000; 20,000 with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (3; 1 with --quick)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="a request (%(default)s)")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help="comma-separated (%(default)s)")
    parser.add_argument("--slow-keys", type=int, default=20_000, help="rows for the official client (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    keys = arguments.keys or (20_000 if arguments.quick else 1_000_000)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    slow = min(arguments.slow_keys, keys, 3000 if arguments.quick else keys)
    rows = [
        _measured(Spec(layout=layout, keys=keys, kinds=("list",)), arguments.latency_ms, rounds, slow)
        for layout in arguments.layouts.split(",")
    ]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"keys": keys, "rounds": rounds, "latency_ms": arguments.latency_ms, "slow_keys": slow},
        notes=[
            f"The official client lists the first {slow:,} rows of each bucket; its seconds are that time scaled to all rows.",
            "Net: the CPU of the same command on a bucket with one key is taken off. Medians over the rounds.",
            "The official client names no fields, so it is sent whole objects, as by the service.",
        ],
        demands=_demands(rows, arguments.latency_ms),
        draw=bars(
            [row["layout"] for row in rows], [row["times"] for row in rows], "times the official client's listing"
        ),
    )


def _demands(rows: Sequence[dict[str, Any]], latency_ms: float) -> list[Demand]:
    """Of folders what they are asked for; of the flat layouts that they are listed in parallel."""
    folders = {row["layout"]: row["times"] for row in rows if row["layout"] == FOLDERS}
    flat = {row["layout"]: row["most_in_flight"] for row in rows if row["layout"] != FOLDERS}
    rates = {row["layout"]: row["net_rows_per_cpu_s"] for row in rows}
    at = f"at {latency_ms:g} ms a request"
    return [
        *worst(f"1,000 folders {at}: times the official client's listing", _LEAST_TIMES, folders, at_least=True),
        *worst(f"flat {at}: requests in flight", _PARALLEL, flat, at_least=True),
        *worst("rows a CPU-second, net", _LEAST_ROWS, rates, at_least=True),
    ]


def _measured(spec: Spec, latency_ms: float, rounds: int, slow: int) -> dict[str, Any]:
    fast: list[Usage] = []
    late: list[Usage] = []
    google: list[Usage] = []
    with running(spec, service=GCS) as store:
        _google(store, slow)  # the server makes these rows' whole objects
        for _ in range(rounds):
            fast.append(_scan(store, 0.0))
            late.append(_scan(store, latency_ms))
            stats = store.stats()
            google.append(_google(store, slow))
        rows = store.rows["list"]
    with running(replace(spec, keys=1), service=GCS) as tiny:
        startup_s = median(_scan(tiny, 0.0).cpu_s for _ in range(rounds))
        google_startup_s = median(_google(tiny, 1).cpu_s for _ in range(rounds))
    wall_s = median(usage.output["scan_s"] for usage in late)
    google_s = median(usage.output["list_s"] for usage in google) * rows / slow
    return {
        "layout": spec.layout,
        "rows": rows,
        "net_rows_per_cpu_s": rows / max(median(usage.cpu_s for usage in fast) - startup_s, 1e-3),
        "wall_0_s": median(usage.output["scan_s"] for usage in fast),
        "wall_s": wall_s,
        "google_s": google_s,
        "times": google_s / wall_s,
        "google_rows_per_cpu_s": slow / max(median(usage.cpu_s for usage in google) - google_startup_s, 1e-3),
        "requests_per_1000": sum(stats["requests"].values()) * _PAGE_ROWS / rows,
        "most_in_flight": stats["most_in_flight"],
        "cpu_s": [usage.cpu_s for usage in fast],
        "startup_cpu_s": startup_s,
        "wall_with_latency_s": [usage.output["scan_s"] for usage in late],
        "peak_rss_mb": median(usage.peak_rss_bytes for usage in fast) / 1e6,
    }


def _scan(store: StoreProcess, latency_ms: float) -> Usage:
    store.set(latency_ms=latency_ms)
    store.reset()
    usage = ASYNCREF.run(store, versions=False, most=store.rows["list"])
    if usage.output["objects"] != store.rows["list"]:
        raise PeerFailedError(f"asyncref's manifest has {usage.output['objects']} entries, of {store.rows['list']}")
    return usage


def _google(store: StoreProcess, most: int) -> Usage:
    """At the latency that the scan before it was measured at."""
    command = python("benchmarks.peers.google_list", uri=store.uri, endpoint=store.endpoint, most=most)
    usage = measure(command, environment=store.environment())
    if usage.output["objects"] != most:
        raise PeerFailedError(f"google-cloud-storage listed {usage.output['objects']} of {most} rows")
    return usage
