"""How many microseconds of CPU does asyncref need to turn a 1,000-key list page into Arrow columns?"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from asyncref.backends.s3 import page
from benchmarks.report import Result, bars
from benchmarks.store.bucket import NAME, Bucket
from benchmarks.store.layouts import LAYOUTS
from benchmarks.store.render import Spec, render
from benchmarks.store.table import Table

_COLUMNS: Final = {
    "case": "case",
    "layout": "layout",
    "page_kb": "page kB",
    "us_a_page": "us CPU a page (median)",
    "rows_per_cpu_s": "rows/CPU-s",
}
_PAGES: Final = 8
_MIXES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("list", {}),
    ("list, checksums on half", {"checksum_share": 0.5}),
    ("list, multi-part on 30%", {"multipart_share": 0.3}),
    ("versions", {}),
    ("versions, mixed", {"versions": 3, "delete_share": 0.2, "checksum_share": 0.5}),
)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help="comma-separated (%(default)s)")
    parser.add_argument("--rounds", type=int, default=None, help="times over each page (30; 2 with --quick)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure the page reader alone, in this process: no network, no manifest."""
    rounds = arguments.rounds or (2 if arguments.quick else 30)
    rows: list[dict[str, Any]] = []
    for layout in arguments.layouts.split(","):
        for case, mix in _MIXES if layout == "uuid" else _MIXES[::3]:
            rows.append(_measured(case, Spec(layout=layout, keys=_PAGES * 1000, deep_versions=1000, **mix), rounds))
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"rounds": rounds, "pages": _PAGES},
        draw=bars(
            [f"{row['layout']} ({row['case']})" for row in rows], [row["us_a_page"] for row in rows], "us a page"
        ),
    )


def _measured(case: str, spec: Spec, rounds: int) -> dict[str, Any]:
    kind = case.partition(",")[0]
    with tempfile.TemporaryDirectory() as folder:
        render(spec, Path(folder))
        bodies = _bodies(Bucket(Table(spec, Path(folder))), kind)
    taken: list[float] = []
    count = 0
    for _ in range(rounds):
        for body in bodies:
            before = time.process_time_ns()
            read = page.read(body, "objects" if kind == "list" else "latest")
            taken.append((time.process_time_ns() - before) / 1000)
            count += len(read.keys)
    return {
        "case": case,
        "layout": spec.layout,
        "page_kb": sum(map(len, bodies)) / len(bodies) / 1000,
        "us_a_page": median(taken),
        "rows_per_cpu_s": count / sum(taken) * 1e6,
    }


def _bodies(bucket: Bucket, kind: str) -> list[bytes]:
    query = {"versions": ""} if kind == "versions" else {"list-type": "2"}
    query |= {"encoding-type": "url", "prefix": "data/"}
    bodies: list[bytes] = []
    for _ in range(_PAGES):
        pieces = bucket.answer("GET", b"/" + NAME.encode(), query, {}).pieces
        bodies.append(b"".join(pieces[1:]))
        following = page.read(bodies[-1], "objects" if kind == "list" else "stored").envelope
        if following.get("IsTruncated") != "true":
            break
        if kind == "list":
            query["continuation-token"] = following["NextContinuationToken"]
        else:
            query |= {"key-marker": following["NextKeyMarker"], "version-id-marker": following["NextVersionIdMarker"]}
    return bodies
