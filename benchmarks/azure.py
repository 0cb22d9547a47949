"""How fast is a scan of Azure Blob, in CPU and at 50 ms a request, beside the official client's serial listing?

asyncref goes from the wire to a manifest on disk; azure-storage-blob counts rows and drops them. Its listing follows
one marker after the other, so its time is that of a page times the pages: it is measured on the first of them.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.azure import ACCOUNT, AZURE, FOLDERS, MOST
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

LAYOUTS: Final = (FOLDERS, "dated", "uuid")
_KEY: Final = base64.b64encode(b"no secret").decode()
_COLUMNS: Final = {
    "layout": "layout",
    "rows": "rows",
    "net_rows_per_cpu_s": "rows/CPU-s (net)",
    "wall_0_s": "scan s, no latency",
    "wall_s": "scan s, with latency",
    "official_s": "azure-storage-blob s",
    "times": "x as fast",
    "official_rows_per_cpu_s": "its rows/CPU-s",
    "requests": "requests",
    "pages": "pages",
    "most_in_flight": "most in flight",
}
_FLAT: Final = "uuid"
_LEAST_TIMES: Final = 20.0


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        "--keys", type=int, default=None, help="blobs in each container (1,000,000; 20,000 with --quick)"
    )
    parser.add_argument("--rounds", type=int, default=None, help="rounds (3; 1 with --quick)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="a request (%(default)s)")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help="comma-separated (%(default)s)")
    parser.add_argument("--slow-keys", type=int, default=50_000, help="rows for the official client (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    keys = arguments.keys or (20_000 if arguments.quick else 1_000_000)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    slow = min(arguments.slow_keys, keys, MOST if arguments.quick else keys)
    rows = [
        _measured(Spec(layout=layout, keys=keys, kinds=("list",), versioned=False), arguments.latency_ms, rounds, slow)
        for layout in arguments.layouts.split(",")
    ]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"keys": keys, "rounds": rounds, "latency_ms": arguments.latency_ms, "slow_keys": slow},
        notes=[
            (
                f"The official client lists the first {slow:,} rows of each container; its seconds are that time scaled to "
                "all rows."
            ),
            "Net: the CPU of the same command on a container with one blob is taken off. Medians over the rounds.",
            (
                f"Pages: what a serial listing needs at {MOST:,} rows each. Folders: 1,000 of them; dated: year/month/day/hour; "
                "uuid: one flat folder, where nothing can be listed side by side."
            ),
        ],
        demands=_demands(rows, arguments.latency_ms),
        draw=bars(
            [row["layout"] for row in rows], [row["times"] for row in rows], "times the official client's listing"
        ),
    )


def _demands(rows: Sequence[dict[str, Any]], latency_ms: float) -> list[Demand]:
    """Of folders what they are asked for; of a flat container that it is no slower."""
    times = {row["layout"]: row["times"] for row in rows}
    folders, flat = ({name: value for name, value in times.items() if name == one} for one in (FOLDERS, _FLAT))
    at = f"at {latency_ms:g} ms a request: times the official client's serial listing"
    return [
        *worst(f"1,000 folders {at}", _LEAST_TIMES, folders, at_least=True),
        *worst(f"flat {at}", 1, flat, at_least=True),
    ]


def _measured(spec: Spec, latency_ms: float, rounds: int, slow: int) -> dict[str, Any]:
    fast: list[Usage] = []
    late: list[Usage] = []
    official: list[Usage] = []
    with running(spec, service=AZURE, page_rows=MOST) as store:
        for _ in range(rounds):
            fast.append(_scan(store, 0.0))
            late.append(_scan(store, latency_ms))
            stats = store.stats()
            official.append(_official(store, slow))
        rows = store.rows["list"]
    with running(replace(spec, keys=1), service=AZURE, page_rows=MOST) as tiny:
        startup_s = median(_scan(tiny, 0.0).cpu_s for _ in range(rounds))
        official_startup_s = median(_official(tiny, 1).cpu_s for _ in range(rounds))
    wall_s = median(usage.output["scan_s"] for usage in late)
    official_s = median(usage.output["list_s"] for usage in official) * rows / slow
    return {
        "layout": spec.layout,
        "rows": rows,
        "net_rows_per_cpu_s": rows / max(median(usage.cpu_s for usage in fast) - startup_s, 1e-3),
        "wall_0_s": median(usage.output["scan_s"] for usage in fast),
        "wall_s": wall_s,
        "official_s": official_s,
        "times": official_s / wall_s,
        "official_rows_per_cpu_s": slow / max(median(usage.cpu_s for usage in official) - official_startup_s, 1e-3),
        "requests": sum(stats["requests"].values()),
        "pages": -(-rows // MOST),
        "most_in_flight": stats["most_in_flight"],
        "cpu_s": [usage.cpu_s for usage in fast],
        "startup_cpu_s": startup_s,
        "wall_with_latency_s": [usage.output["scan_s"] for usage in late],
        "official_list_s": [usage.output["list_s"] for usage in official],
        "peak_rss_mb": median(usage.peak_rss_bytes for usage in fast) / 1e6,
    }


def _scan(store: StoreProcess, latency_ms: float) -> Usage:
    store.set(latency_ms=latency_ms)
    store.reset()
    environment = {**store.environment(), "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": _KEY}
    command = python("benchmarks.peers.asyncref_scan", uri=store.uri, endpoint=f"{store.endpoint}/{ACCOUNT}")
    usage = measure(command, environment=environment)
    if usage.output["objects"] != store.rows["list"]:
        raise PeerFailedError(f"asyncref's manifest has {usage.output['objects']} entries, of {store.rows['list']}")
    return usage


def _official(store: StoreProcess, most: int) -> Usage:
    """At the latency that the scan before it was measured at."""
    command = python(
        "benchmarks.peers.azure_list",
        uri=store.uri,
        endpoint=f"{store.endpoint}/{ACCOUNT}",
        account=ACCOUNT,
        key=_KEY,
        most=most,
    )
    usage = measure(command, environment=store.environment())
    if usage.output["objects"] != most:
        raise PeerFailedError(f"azure-storage-blob listed {usage.output['objects']} of {most} rows")
    return usage
