"""Does the listing spread over connections whatever the keys look like, and how many requests does that cost?

Each layout is scanned without latency and with 50 ms a request, versioned and not. A listing that follows one token after
the other would take latency x pages; the wall time should stay near that without latency.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage
from benchmarks.peers.listers import ASYNCREF
from benchmarks.report import Demand, Result, worst
from benchmarks.store.layouts import LAYOUTS
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import KINDS, Spec

_COLUMNS: Final = {
    "layout": "layout",
    "case": "case",
    "rows": "rows",
    "wall_0_s": "scan s, no latency",
    "wall_s": "scan s, with latency",
    "times": "x",
    "serial_s": "serial would take s",
    "requests_per_1000": "requests/1,000 rows",
    "repeated_rows": "rows sent twice",
    "most_in_flight": "most in flight",
}
_QUICK: Final = ("hot",)
_ALONE: Final = "versions alone"
"""The case of a store that answers listings of versions and no others, as a policy may have it."""
_MOST_TIMES: Final = 2.0
_MOST_REQUESTS: Final = 1.10


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", type=int, default=None, help="keys in each bucket (1,000,000; 20,000 with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (5; 1 with --quick)")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="a request (%(default)s)")
    parser.add_argument("--layouts", default=None, help=f"comma-separated ({','.join(LAYOUTS)}; one with --quick)")
    parser.add_argument("--cases", default="list,versions", help="list, versions (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure; wall times are of scan and save, without the process's start."""
    keys = arguments.keys or (20_000 if arguments.quick else 1_000_000)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    chosen = arguments.layouts.split(",") if arguments.layouts else _QUICK if arguments.quick else LAYOUTS
    cases = [(layout, case) for layout in chosen for case in arguments.cases.split(",")]
    if ("deep", "versions") in cases:
        cases.append(("deep", _ALONE))
    rows = [_measured(_spec(layout, case, keys), case, arguments.latency_ms, rounds) for layout, case in cases]

    def draw(axes: Any) -> None:
        places = range(len(rows))
        axes.bar([place - 0.2 for place in places], [row["wall_0_s"] for row in rows], 0.4, label="no latency")
        axes.bar(
            [place + 0.2 for place in places],
            [row["wall_s"] for row in rows],
            0.4,
            label=f"{arguments.latency_ms:.0f} ms",
        )
        axes.set_xticks(list(places), [f"{row['layout']}\n{row['case']}" for row in rows], fontsize=7, rotation=45)
        axes.set_ylabel("s a scan")
        axes.legend()

    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"keys": keys, "rounds": rounds, "latency_ms": arguments.latency_ms},
        notes=[
            "The layout deep has one key with 100,000 versions in its middle, of which a manifest holds one.",
            _floor(arguments.latency_ms),
            "Medians over the rounds, requests too.",
        ],
        demands=_demands(rows, keys, arguments.latency_ms),
        draw=draw,
    )


def _spec(layout: str, case: str, keys: int) -> Spec:
    """The bucket; most are rendered with one kind of listing, to save time and room.

    `deep` has both, as S3 does: by one of objects a scan learns what follows its one key, and passes the versions over.
    """
    kinds = KINDS if (layout, case) == ("deep", "versions") else (_kind(case),)
    return Spec(layout=layout, keys=keys, versioned=_kind(case) == "versions", kinds=kinds)


def _kind(case: str) -> str:
    return case.split(maxsplit=1)[0]


def _floor(latency_ms: float) -> str:
    """What the versions of one key take at least, where they have to be listed."""
    seconds = Spec().deep_versions / 1000 * latency_ms / 1000
    return (
        "A version's id cannot be guessed: where a store refuses listings of objects (versions alone), nothing shows what "
        f"follows that key but its versions, a page after the other, {seconds:.1f} s with latency."
    )


def _demands(rows: Sequence[dict[str, Any]], keys: int, latency_ms: float) -> list[Demand]:
    """Of each kind of listing the worst layout."""
    found = []
    for case in dict.fromkeys(row["case"] for row in rows if row["case"] != _ALONE):
        mine = {row["layout"]: row for row in rows if row["case"] == case}
        times = {layout: row["times"] for layout, row in mine.items()}
        requests = {layout: row["requests_per_1000"] for layout, row in mine.items()}
        found += worst(
            f"{case} of {keys:,} keys at {latency_ms:g} ms a request, times the same without latency",
            _MOST_TIMES,
            times,
        )
        found += worst(f"{case} of {keys:,} keys, requests for 1,000 rows", _MOST_REQUESTS, requests)
    return found


def _measured(spec: Spec, case: str, latency_ms: float, rounds: int) -> dict[str, Any]:
    kind = _kind(case)
    runs: dict[float, list[tuple[Usage, dict[str, Any]]]] = {0.0: [], latency_ms: []}
    with running(spec) as store:
        for _ in range(rounds):
            for latency, found in runs.items():
                found.append(_once(store, spec, kind, latency))
        rows = store.rows[kind]
    without, with_latency = (median(usage.output["scan_s"] for usage, _ in found) for found in runs.values())
    stats = [counted for _, counted in runs[latency_ms]]
    return {
        "layout": spec.layout,
        "case": case,
        "rows": rows,
        "wall_0_s": without,
        "wall_s": with_latency,
        "times": with_latency / without,
        "serial_s": -(-rows // 1000) * latency_ms / 1000,
        "requests_per_1000": median(
            sum(counted["requests"].values()) * 1000 / counted["rows_distinct"][kind] for counted in stats
        ),
        "repeated_rows": median(counted["rows_sent"] - counted["rows_distinct"][kind] for counted in stats),
        "most_in_flight": max(counted["most_in_flight"] for counted in stats),
        "requests": stats[-1]["requests"],
        "walls_s": {f"{latency:g}": [usage.output["scan_s"] for usage, _ in found] for latency, found in runs.items()},
    }


def _once(store: StoreProcess, spec: Spec, kind: str, latency_ms: float) -> tuple[Usage, dict[str, Any]]:
    store.set(latency_ms=latency_ms)
    store.reset()
    usage = ASYNCREF.run(store, versions=kind == "versions", most=store.rows[kind])
    stats = store.stats()
    passed = spec.deep_versions if spec.layout == "deep" and kind == "versions" else 0  # older ones may be passed over
    if stats["rows_distinct"][kind] < store.rows[kind] - passed or usage.output["objects"] != spec.keys:
        raise PeerFailedError(f"{kind}: {usage.output} of {spec.keys}, asked for {stats['rows_distinct']}")
    return usage, stats
