"""How much memory does a scan need, and does it grow with the number of objects?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError
from benchmarks.peers.listers import ASYNCREF
from benchmarks.report import Demand, Result, worst
from benchmarks.store.process import running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "case": "case",
    "keys": "keys",
    "peak_rss_mb": "peak RSS MB",
    "times_smallest": "x the smallest",
    "net_rows_per_cpu_s": "keys/CPU-s (net)",
    "rate_of_smallest": "x the smallest's",
    "gross_rows_per_cpu_s": "gross",
    "wall_s": "wall s",
    "bytes_per_object": "manifest bytes an object",
}
_MOST_MB: Final = 400.0
_MOST_TIMES: Final = 1.25
_LEAST_RATE: Final = 0.9


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        "--keys", default=None, help="sizes, comma-separated (1000000,10000000; one of 20000 with --quick)"
    )
    parser.add_argument("--rounds", type=int, default=None, help="rounds (5; 1 with --quick)")
    parser.add_argument("--cases", default=None, help="list, versions (both; list with --quick)")
    parser.add_argument("--layouts", default="uuid", help="comma-separated (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure the peak RSS of the whole process, interpreter and libraries included."""
    sizes = [int(size) for size in (arguments.keys or ("20000" if arguments.quick else "1000000,10000000")).split(",")]
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    rows: list[dict[str, Any]] = []
    for layout in arguments.layouts.split(","):
        for case in (arguments.cases or ("list" if arguments.quick else "list,versions")).split(","):
            label = case if layout == "uuid" else f"{case}, {layout}"
            rows += _sizes(
                label, Spec(layout=layout, versioned=case == "versions", kinds=(case,)), sorted(sizes), rounds
            )

    def draw(axes: Any) -> None:
        for case in dict.fromkeys(row["case"] for row in rows):
            points = [(row["keys"], row["peak_rss_mb"]) for row in rows if row["case"] == case]
            axes.plot(*zip(*points, strict=True), marker="o", label=case)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("keys")
        axes.set_ylabel("peak RSS, MB")
        axes.legend()

    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"sizes": sizes, "rounds": rounds},
        notes=["Medians over the rounds. Net: the CPU of a scan of one key, in the same rounds, is taken off."],
        demands=_demands(rows, max(sizes)),
        draw=draw,
    )


def _demands(rows: Sequence[dict[str, Any]], largest: int) -> list[Demand]:
    """Of the largest size, the worst case."""
    full = {row["case"]: row for row in rows if row["keys"] == largest}
    of = f"{largest:,} keys"
    return [
        *worst(f"{of}: peak RSS, MB", _MOST_MB, {case: row["peak_rss_mb"] for case, row in full.items()}),
        *worst(
            f"{of}: peak RSS, times the smallest size's",
            _MOST_TIMES,
            {case: row["times_smallest"] for case, row in full.items()},
        ),
        *worst(
            f"{of}: keys per CPU-second, times the smallest size's",
            _LEAST_RATE,
            {case: row["rate_of_smallest"] for case, row in full.items()},
            at_least=True,
        ),
    ]


def _sizes(label: str, spec: Spec, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with running(replace(spec, keys=size)) as store, running(replace(spec, keys=1)) as tiny:
            startup, runs = [], []
            for _ in range(rounds):
                startup.append(ASYNCREF.run(tiny, versions=spec.versioned, most=1))
                runs.append(ASYNCREF.run(store, versions=spec.versioned, most=size))
        if any(usage.output["objects"] != size for usage in runs):
            raise PeerFailedError(f"{[usage.output['objects'] for usage in runs]} objects, of {size}")
        peak = median(usage.peak_rss_bytes for usage in runs) / 1e6
        cpu_s, startup_s = (median(usage.cpu_s for usage in usages) for usages in (runs, startup))
        rate = size / max(cpu_s - startup_s, 1e-3)
        first = rows[0] if rows else {"peak_rss_mb": peak, "net_rows_per_cpu_s": rate}
        rows.append(
            {
                "case": label,
                "keys": size,
                "peak_rss_mb": peak,
                "times_smallest": peak / first["peak_rss_mb"],
                "net_rows_per_cpu_s": rate,
                "rate_of_smallest": rate / first["net_rows_per_cpu_s"],
                "gross_rows_per_cpu_s": size / cpu_s,
                "wall_s": median(usage.wall_s for usage in runs),
                "bytes_per_object": runs[-1].output["manifest_bytes"] / size,
                "peaks_mb": [usage.peak_rss_bytes / 1e6 for usage in runs],
                "cpu_s": [usage.cpu_s for usage in runs],
                "startup_cpu_s": [usage.cpu_s for usage in startup],
            }
        )
    return rows
