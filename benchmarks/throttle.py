"""How close does a scan come to the rate that a store allows, and how often is it refused?

The store answers 503 SlowDown above N requests a second. In the middle of the run N doubles: the rate should follow.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final

from benchmarks.measure import PeerFailedError
from benchmarks.peers import ASYNCREF
from benchmarks.report import Result
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "allowed": "allowed requests/s",
    "page_rows": "rows a page",
    "phase": "phase",
    "served": "served/s once settled",
    "share": "share of the allowed",
    "refused_share": "refused once settled",
    "load": "load a core",
    "objects": "objects found",
}
_TRIALS: Final = ((50, 1000), (200, 1000), (1000, 100))  # allowed requests a second, rows a page
_EVERY_S: Final = 0.25
_SETTLED: Final = 0.4  # of a phase: what comes before is settling


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        "--seconds", type=float, default=None, help="length of each of a run's two phases (12; 2 with --quick)"
    )
    parser.add_argument("--latency-ms", type=float, default=20.0, help="a request (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure the rate at the server, every quarter of a second."""
    seconds = arguments.seconds or (2.0 if arguments.quick else 12.0)
    rows: list[dict[str, Any]] = []
    for allowed, page_rows in _TRIALS:
        rows += _trial(allowed, page_rows, seconds, arguments.latency_ms)

    def draw(axes: Any) -> None:
        for row in rows[::2]:
            line = [(sample["s"], sample["served"]) for sample in row["samples"]]
            axes.plot(*zip(*line, strict=True), label=f"{row['allowed']}/s, then twice that")
        axes.set_yscale("log")
        axes.set_xlabel("s")
        axes.set_ylabel("requests served/s")
        axes.legend()

    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"seconds_a_phase": seconds, "latency_ms": arguments.latency_ms},
        notes=[
            f"Settled: the first {_SETTLED:.0%} of each phase are left out.",
            "A share below 90% with next to nothing refused is the client's CPU: see the machine's load over the last minute.",
        ],
        draw=draw,
    )


def _trial(allowed: int, page_rows: int, seconds: float, latency_ms: float) -> list[dict[str, Any]]:
    pages = int(allowed * seconds * 3.3)  # enough for one phase at N and one at 2 N, with some to spare
    spec = Spec(keys=pages * page_rows)
    with (
        running(spec, throttle=allowed, latency_ms=latency_ms, page_rows=page_rows) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        scan = pool.submit(ASYNCREF.run, store, versions=True, most=spec.keys)
        while not scan.done() and not store.counts()["requests"]:
            time.sleep(_EVERY_S / 5)
        first = _sampled(store, seconds)
        store.set(throttle=2 * allowed)
        second = _sampled(store, seconds)
        store.set(throttle=0)
        objects = scan.result().output["objects"]
        if objects != spec.keys:
            raise PeerFailedError(f"{objects} objects found, of {spec.keys}")
    rates = _rates([*first, *second[1:]])
    return [
        {**_settled(part, limit), "page_rows": page_rows, "phase": phase, "objects": objects, "samples": rates}
        for part, limit, phase in ((first, allowed, "N"), (second, 2 * allowed, "then 2 N"))
    ]


def _sampled(store: StoreProcess, seconds: float) -> list[dict[str, Any]]:
    samples = [store.counts()]
    while samples[-1]["at_s"] - samples[0]["at_s"] < seconds:
        time.sleep(_EVERY_S)
        samples.append(store.counts())
    samples[-1]["load"] = os.getloadavg()[0] / (os.cpu_count() or 1)
    return samples


def _rates(samples: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    found = []
    for before, after in pairwise(samples):
        lasted = after["at_s"] - before["at_s"]
        if lasted > 0:
            served = sum(after["requests"].values()) - sum(before["requests"].values())
            refused = after["refused"] - before["refused"]
            at = after["at_s"] - samples[0]["at_s"]
            found.append({"s": at, "served": served / lasted, "refused": refused / lasted})
    return found


def _settled(samples: Sequence[dict[str, Any]], allowed: int) -> dict[str, Any]:
    before, after = samples[int(len(samples) * _SETTLED)], samples[-1]
    served = sum(after["requests"].values()) - sum(before["requests"].values())
    refused = after["refused"] - before["refused"]
    rate = served / (after["at_s"] - before["at_s"])
    return {
        "load": after["load"],
        "allowed": allowed,
        "served": rate,
        "share": rate / allowed,
        "refused_share": refused / max(1, served + refused),
    }
