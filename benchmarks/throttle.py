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
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError
from benchmarks.peers.listers import ASYNCREF
from benchmarks.report import Demand, Result, worst
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "allowed": "allowed requests/s",
    "page_rows": "rows a page",
    "phase": "phase",
    "served": "served/s once settled",
    "share": "share of the allowed",
    "ceiling": "client's own most/s",
    "refused_share": "refused once settled",
    "load": "load a core",
    "objects": "objects found",
}
_TRIALS: Final = "50:1000,200:1000,1000:100"
_QUICK: Final = "50:100"
_PHASES: Final = ("N", "then 2 N")
_LEAST_SHARE: Final = 0.9
_MOST_REFUSED: Final = 0.05
_EVERY_S: Final = 0.25
_A_SECOND: Final = 4  # samples
_SETTLED: Final = 0.4  # of a phase: what comes before is settling


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument(
        "--seconds", type=float, default=None, help="length of each of a run's two phases (12; 2 with --quick)"
    )
    parser.add_argument(
        "--trials", default=None, help=f"allowed requests/s : rows a page ({_TRIALS}; {_QUICK} with --quick)"
    )
    parser.add_argument("--latency-ms", type=float, default=20.0, help="a request (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure the rate at the server, every quarter of a second."""
    seconds = arguments.seconds or (2.0 if arguments.quick else 12.0)
    rows: list[dict[str, Any]] = []
    for trial in (arguments.trials or (_QUICK if arguments.quick else _TRIALS)).split(","):
        allowed, page_rows = map(int, trial.split(":"))
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
            "Nothing was lost: every scan found all objects.",
            f"Settled: the first {_SETTLED:.0%} of each phase are left out.",
            "Client's own most: in the median second of a scan that nothing refuses, right before.",
            "A share below 90% with next to nothing refused is the client's CPU: see that, and the load over the last minute.",
        ],
        demands=_demands(rows),
        draw=draw,
    )


def _demands(rows: Sequence[dict[str, Any]]) -> list[Demand]:
    """One for the first phase and one for the doubled rate, of each the worst trial; and one for the refusals."""
    names = {id(row): f"{row['allowed']:,}/s, {row['page_rows']} rows a page" for row in rows}
    before = {names[id(row)]: row["share"] for row in rows if row["phase"] == _PHASES[0]}
    after = {names[id(row)]: row["possible_share"] for row in rows if row["phase"] == _PHASES[1]}
    refused = {names[id(row)]: row["refused_share"] for row in rows}
    doubled = "share of the doubled rate, or of the client's own most if that is less"
    return [
        *worst("share of the allowed rate", _LEAST_SHARE, before, at_least=True),
        *worst(doubled, _LEAST_SHARE, after, at_least=True),
        *worst("refused share once settled", _MOST_REFUSED, refused),
    ]


def _trial(allowed: int, page_rows: int, seconds: float, latency_ms: float) -> list[dict[str, Any]]:
    pages = int(allowed * seconds * 3.3)  # enough for one phase at N and one at 2 N, with some to spare
    spec = Spec(keys=pages * page_rows, versioned=False, kinds=("list",))
    with (
        running(spec, latency_ms=latency_ms, page_rows=page_rows) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        ceiling = _ceiling(store, pool, spec.keys)
        store.set(throttle=allowed)
        store.reset()
        scan = pool.submit(ASYNCREF.run, store, versions=False, most=spec.keys)
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
        {**_settled(part, limit, ceiling), "page_rows": page_rows, "phase": phase, "objects": objects, "samples": rates}
        for part, limit, phase in ((first, allowed, _PHASES[0]), (second, 2 * allowed, _PHASES[1]))
    ]


def _ceiling(store: StoreProcess, pool: ThreadPoolExecutor, keys: int) -> float | None:
    """Requests a second of a scan that nothing refuses, in its median second; None if it ended too soon to say."""
    scan = pool.submit(ASYNCREF.run, store, versions=False, most=keys)
    samples = [store.counts()]
    while not scan.done():
        time.sleep(_EVERY_S)
        samples.append(store.counts())
    scan.result()
    served = [sample["served"] for sample in _rates(samples[::_A_SECOND]) if sample["served"]]
    return median(served) if served else None


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


def _settled(samples: Sequence[dict[str, Any]], allowed: int, ceiling: float | None) -> dict[str, Any]:
    before, after = samples[int(len(samples) * _SETTLED)], samples[-1]
    served = sum(after["requests"].values()) - sum(before["requests"].values())
    refused = after["refused"] - before["refused"]
    rate = served / (after["at_s"] - before["at_s"])
    return {
        "load": after["load"],
        "allowed": allowed,
        "served": rate,
        "share": rate / allowed,
        "ceiling": ceiling,
        "possible_share": rate / min(allowed, ceiling or allowed),
        "refused_share": refused / max(1, served + refused),
    }
