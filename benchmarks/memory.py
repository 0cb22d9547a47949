"""How much memory does a scan need, and does it grow with the number of objects?"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import median
from typing import Any, Final

from benchmarks.peers import ASYNCREF
from benchmarks.report import Result
from benchmarks.store.process import running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "case": "case",
    "keys": "keys",
    "peak_rss_mb": "peak RSS MB",
    "times_smallest": "x the smallest",
    "gross_rows_per_cpu_s": "keys/CPU-s (start-up included)",
    "wall_s": "wall s",
    "bytes_per_object": "manifest bytes an object",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", default=None, help="sizes, comma-separated (200000,1000000; tiny ones with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (3; 1 with --quick)")
    parser.add_argument("--cases", default="list,versions", help="list, versions (%(default)s)")
    parser.add_argument("--layouts", default="uuid", help="comma-separated (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure the peak RSS of the whole process, interpreter and libraries included."""
    sizes = [
        int(size) for size in (arguments.keys or ("5000,20000" if arguments.quick else "200000,1000000")).split(",")
    ]
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    rows: list[dict[str, Any]] = []
    for layout in arguments.layouts.split(","):
        for case in arguments.cases.split(","):
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

    return Result(columns=_COLUMNS, rows=rows, conditions={"sizes": sizes, "rounds": rounds}, draw=draw)


def _sizes(label: str, spec: Spec, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for size in sizes:
        sized = replace(spec, keys=size)
        with running(sized) as store:
            runs = [ASYNCREF.run(store, versions=spec.versioned, most=size) for _ in range(rounds)]
        peak = median(usage.peak_rss_bytes for usage in runs) / 1e6
        rows.append(
            {
                "case": label,
                "keys": size,
                "peak_rss_mb": peak,
                "times_smallest": peak / (rows[0]["peak_rss_mb"] if rows else peak),
                "gross_rows_per_cpu_s": size / median(usage.cpu_s for usage in runs),
                "wall_s": median(usage.wall_s for usage in runs),
                "bytes_per_object": runs[-1].output["manifest_bytes"] / size,
            }
        )
    return rows
