"""Does the listing stay even, and cheap in requests, when a billion keys are shared by many workers?

A simulated clock drives the real splitter, ledger and controller against a modelled store: no network, and the keys are
a function of their place, so nothing is kept. The store's answers take about 50 ms with a tail; each of its partitions
serves 5,500 requests/s, refuses more with 503, and is parted in two after half a minute at that. Beside it on the same
store: a listing by one token after the other, and ranges fixed beforehand at the 256 pairs of hex digits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final

from benchmarks.model.clock import Listing, Seen
from benchmarks.model.keys import LAYOUTS, Keys
from benchmarks.model.splitters import HEX_256, Fixed, Splitter, Stealing
from benchmarks.model.store import Store, Traits
from benchmarks.report import Result

_COLUMNS: Final = {
    "layout": "layout",
    "way": "way",
    "workers": "workers",
    "wall_s": "simulated s",
    "keys_per_s": "keys/s",
    "requests_per_1000": "requests/1,000",
    "refused_share": "refused",
    "busy_share": "busy",
    "gini": "Gini",
    "most_over_mean": "most/mean",
    "ranges": "ranges",
    "partitions": "partitions",
    "own_cpu_us": "own CPU us/page",
}
_WAYS: Final = ("asyncref", "fixed", "serial")
_SAMPLES: Final = 400


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", type=int, default=None, help="in the bucket (1,000,000,000; 1,000,000 with --quick)")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help="comma-separated (%(default)s)")
    parser.add_argument(
        "--workers", default=None, help="requests in flight, comma-separated (64,1024; 64 with --quick)"
    )
    parser.add_argument("--latency-ms", type=float, default=50.0, help="the median's (%(default)s)")
    parser.add_argument("--partition-per-s", type=float, default=5500.0, help="requests/s a partition (%(default)s)")
    parser.add_argument("--split-after-s", type=float, default=30.0, help="a full partition is parted (%(default)s)")
    parser.add_argument(
        "--client-ms", type=float, default=0.0, help="the client's own time a page, one by one (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of latencies and pauses (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Simulate; every listing is proved complete before its row is made."""
    keys = arguments.keys or (1_000_000 if arguments.quick else 1_000_000_000)
    traits = Traits(
        median_s=arguments.latency_ms / 1000,
        partition_per_s=arguments.partition_per_s,
        split_after_s=arguments.split_after_s,
    )
    workers = [int(text) for text in (arguments.workers or ("64" if arguments.quick else "64,1024")).split(",")]
    rows: list[dict[str, Any]] = []
    for layout in arguments.layouts.split(","):
        cases = [(way, count) for way in _WAYS[:2] for count in workers] + [(_WAYS[2], 1)]
        rows += [_row(Keys(layout, keys), traits, way, count, arguments) for way, count in cases]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={
            "keys": keys,
            "latency_ms": arguments.latency_ms,
            "page_rows": traits.page_rows,
            "partition_per_s": traits.partition_per_s,
            "split_after_s": traits.split_after_s,
            "client_ms": arguments.client_ms,
            "seed": arguments.seed,
        },
        notes=[
            f"Every listing gave all {keys:,} keys, each once, and its ledger covers every key there may be.",
            *_against(rows),
            (
                f"The client's own time counts as {arguments.client_ms:g} ms a page. One process needs about 2 ms for a page "
                "from the wire to the manifest (benchmark scan), so on one core that, not the store, bounds a billion keys: "
                "--client-ms 2."
            ),
            "Fixed: cut at the 256 pairs of hex digits. Busy: the share of all workers' time in which they had a range. Gini and most/mean: of the pages over the workers.",
            "Own CPU: of splitter, ledger and controller, as measured here; all else is modelled.",
        ],
        draw=_drawing(rows),
    )


def _splitter(way: str, workers: int, page_rows: int) -> Splitter:
    if way == _WAYS[0]:
        return Stealing(workers, page_rows)
    return Fixed(workers, HEX_256 if way == _WAYS[1] else ())


def _row(keys: Keys, traits: Traits, way: str, workers: int, arguments: argparse.Namespace) -> dict[str, Any]:
    store = Store(traits, arguments.seed)
    expected_s = keys.count / traits.page_rows * traits.median_s / workers
    listing = Listing(
        keys,
        store,
        _splitter(way, workers, traits.page_rows),
        workers=workers,
        client_s=arguments.client_ms / 1000,
        seed=arguments.seed,
        tick_s=expected_s / _SAMPLES,
    )
    before_s = time.perf_counter()
    seen = listing.run()
    return {
        "layout": keys.layout,
        "way": way,
        "workers": workers,
        "wall_s": seen.wall_s,
        "keys_per_s": keys.count / seen.wall_s,
        "requests_per_1000": seen.requests * 1000 / keys.count,
        "refused_share": seen.refused / seen.requests,
        "busy_share": seen.busy_share,
        "gini": seen.gini,
        "most_over_mean": max(seen.worker_pages) * workers / seen.pages,
        "ranges": seen.ranges,
        "partitions": store.partitions,
        "own_cpu_us": seen.own_cpu_s / seen.pages * 1e6,
        "simulated_in_s": time.perf_counter() - before_s,
        "busy": _thinned(seen),
    }


def _thinned(seen: Seen) -> list[tuple[float, int]]:
    step = -(-len(seen.busy) // _SAMPLES)
    return [(round(at_s, 3), busy) for at_s, busy in seen.busy[::step]]


def _against(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence a layout."""
    found = []
    for layout, group in groupby(rows, key=lambda row: row["layout"]):
        of = {(row["way"], row["workers"]): row for row in group}
        serial_s = of[_WAYS[2], 1]["wall_s"]
        parts = [
            f"{serial_s / row['wall_s']:,.0f} times as fast with {workers:,} workers (fixed ranges {serial_s / of[_WAYS[1], workers]['wall_s']:,.0f})"
            for (way, workers), row in of.items()
            if way == _WAYS[0]
        ]
        found.append(f"{layout}: beside a serial listing {', '.join(parts)}.")
    return found


def _drawing(rows: Sequence[dict[str, Any]]) -> Callable[[Any], None]:
    most = max(row["workers"] for row in rows)

    def draw(axes: Any) -> None:
        for row in rows:
            if row["workers"] != most or not row["busy"]:
                continue
            own = row["way"] == _WAYS[0]
            axes.plot(
                [at_s for at_s, _ in row["busy"]],
                [100 * busy / most for _, busy in row["busy"]],
                linestyle="-" if own else ":",
                label=f"{row['layout']}, {row['way']}: {row['wall_s']:,.0f} s",
            )
        axes.set_xscale("log")
        axes.set_xlabel("simulated s")
        axes.set_ylabel(f"busy workers, % of {most:,}")
        axes.legend(fontsize=7)

    return draw
