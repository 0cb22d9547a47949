"""How many keys per CPU-second does asyncref list, from the wire to a manifest on disk, beside other listers?

All tools list the same synthetic bucket in the same run, one after the other, several rounds; medians are shown. Start-up
(the same command on a bucket with one key) is measured in the same rounds: *net* rates leave it out, *gross* do not.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.peers.listers import ASYNCREF, Peer, present
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.layouts import LAYOUTS
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

CASES: Final = ("list", "versions", "mixed")
_COLUMNS: Final = {
    "case": "case",
    "tool": "tool",
    "does": "its work",
    "rows": "rows",
    "net_rows_per_cpu_s": "rows/CPU-s (net, quoted)",
    "gross_rows_per_cpu_s": "gross",
    "rows_per_s": "rows/s (wall, gross)",
    "startup_cpu_s": "start-up CPU s",
    "peak_rss_mb": "peak RSS MB",
    "requests_per_1000": "requests/1,000",
    "asyncref_is": "asyncref is x times",
}
_RATES: Final = (
    "Rates are medians over the rounds, per second of user and system CPU, children included. Net (quoted): "
    "the same command's cost on a bucket with one key is taken off, for every tool alike."
)
_QUICK_PEERS: Final = "asyncref,obstore"
_LEAST_ROWS: Final = {"list": 500_000.0, "versions": 350_000.0}  # a CPU-second, net
_LEAST_MIXED: Final = 0.7
_LEAST_TIMES: Final = {"s5cmd": 10.0, "aiobotocore": 45.0}
_LEAST_OBSTORE: Final = {"list": 1.8, "versions": 1.3}  # it lists no versions: that is beside its plain listing
_MOST_BYTES: Final = {
    ("counter", "list"): 25.0,
    ("uuid", "list"): 45.0,
    ("counter", "versions"): 60.0,
    ("uuid", "versions"): 80.0,
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", type=int, default=None, help="rows in the bucket (1,000,000; 20,000 with --quick)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (5; 1 with --quick)")
    parser.add_argument("--cases", default=None, help="list: ListObjectsV2; versions: ListObjectVersions; "
                        "mixed: 3 versions a key, 20%% delete markers, checksums on half (all; list with --quick)")  # fmt: skip
    parser.add_argument("--versions", action="store_const", dest="cases", const="versions", help="--cases versions")
    parser.add_argument(
        "--peers", default=None, help="tools, by name, comma-separated (all installed but boto3; two with --quick)"
    )
    parser.add_argument("--slow-keys", type=int, default=50_000, help="rows for the Python paginators (%(default)s)")
    parser.add_argument("--layout", choices=LAYOUTS, default="uuid", help="how keys are named (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--uri", default=None, help="measure asyncref on this place of yours, with your credentials")
    parser.add_argument("--endpoint", default=None, help="with --uri: the endpoint, if it is not the provider's own")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    if arguments.uri:
        return _own_bucket(arguments.uri, arguments.endpoint, rounds)
    keys = arguments.keys or (20_000 if arguments.quick else 1_000_000)
    peers = present((arguments.peers or _QUICK_PEERS).split(",") if arguments.peers or arguments.quick else None)
    slow = min(arguments.slow_keys, keys, 2000 if arguments.quick else keys)
    rows: list[dict[str, Any]] = []
    for case in arguments.cases.split(",") if arguments.cases else CASES[:1] if arguments.quick else CASES:
        chosen = [peer for peer in peers if _takes_part(peer, case)]
        rows += _case(case, _spec(case, keys, arguments.layout), chosen, rounds=rounds, slow=slow, tls=arguments.tls)
    _compare(rows)
    quoted = [row for row in rows if row["tool"] in ("asyncref", "obstore") or row["case"] == "list"]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={
            "keys": keys,
            "rounds": rounds,
            "layout": arguments.layout,
            "tls": arguments.tls,
            "slow_keys": slow,
        },
        notes=_notes(rows, slow),
        demands=_demands(rows, arguments.layout),
        draw=bars(
            [f"{row['tool']} ({row['case']})" for row in quoted],
            [row["net_rows_per_cpu_s"] for row in quoted],
            "rows per CPU-second, start-up left out; loopback",
        ),
    )


def _spec(case: str, keys: int, layout: str) -> Spec:
    if case == "mixed":
        return Spec(layout=layout, keys=max(1, keys // 3), versions=3, delete_share=0.2, checksum_share=0.5)
    return Spec(layout=layout, keys=keys, versioned=case == "versions")


def _takes_part(peer: Peer, case: str) -> bool:
    if case == "mixed":
        return peer is ASYNCREF
    return case == "list" or peer.versions


@dataclass(slots=True)
class _Runs:
    full: list[Usage] = field(default_factory=list)
    startup: list[Usage] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    store_cpu_s: list[float] = field(default_factory=list)


def _case(case: str, spec: Spec, peers: Sequence[Peer], *, rounds: int, slow: int, tls: bool) -> list[dict[str, Any]]:
    kind = "list" if case == "list" else "versions"
    runs = {peer.name: _Runs() for peer in peers}
    with ExitStack() as stack:
        store = stack.enter_context(running(spec, tls=tls))
        tiny = stack.enter_context(running(replace(spec, keys=1, versions=1, delete_share=0.0), tls=tls))
        for number in range(rounds):
            turn = number % len(peers)  # no tool always runs after the same other
            for peer in [*peers[turn:], *peers[:turn]]:
                runs[peer.name].startup.append(peer.run(tiny, versions=kind == "versions", most=slow))
                _once(peer, store, kind, slow, runs[peer.name])
        return [_row(case, peer, store.rows[kind], slow, runs[peer.name]) for peer in peers]


def _once(peer: Peer, store: StoreProcess, kind: str, slow: int, runs: _Runs) -> None:
    store.reset()
    usage = peer.run(store, versions=kind == "versions", most=slow)
    stats = store.stats()
    wanted = min(slow, store.rows[kind]) if peer.slow else store.rows[kind]
    if stats["rows_distinct"][kind] < wanted:
        raise PeerFailedError(f"{peer.name} asked for {stats['rows_distinct']} rows, of {wanted} ({kind})")
    objects = usage.output.get("objects")
    if peer is ASYNCREF and objects != store.rows["list"]:
        raise PeerFailedError(f"asyncref's manifest has {objects} entries, of {store.rows['list']}")
    runs.full.append(usage)
    runs.requests.append(sum(stats["requests"].values()))
    runs.store_cpu_s.append(stats["cpu_s"])


def _row(case: str, peer: Peer, rows: int, slow: int, runs: _Runs) -> dict[str, Any]:
    listed = min(slow, rows) if peer.slow else rows
    gross = median(usage.cpu_s for usage in runs.full)
    startup = median(usage.cpu_s for usage in runs.startup)
    wall = median(usage.wall_s for usage in runs.full)
    return {
        "case": case,
        "tool": peer.name,
        "does": peer.does,
        "rows": listed,
        "net_rows_per_cpu_s": listed / max(gross - startup, 1e-3),
        "gross_rows_per_cpu_s": listed / gross,
        "rows_per_s": listed / wall,
        "net_rows_per_s": listed / max(wall - median(usage.wall_s for usage in runs.startup), 1e-3),
        "startup_cpu_s": startup,
        "peak_rss_mb": median(usage.peak_rss_bytes for usage in runs.full) / 1e6,
        "requests_per_1000": median(runs.requests) * 1000 / listed,
        "cpu_s": [usage.cpu_s for usage in runs.full],
        "wall_s": [usage.wall_s for usage in runs.full],
        "store_cpu_s": runs.store_cpu_s,
        "output": runs.full[-1].output,
    }


def _compare(rows: list[dict[str, Any]]) -> None:
    own = {row["case"]: row["net_rows_per_cpu_s"] for row in rows if row["tool"] == "asyncref"}
    for row in rows:
        if row["case"] in own and row["tool"] != "asyncref":
            row["asyncref_is"] = own[row["case"]] / row["net_rows_per_cpu_s"]


def _notes(rows: Sequence[dict[str, Any]], slow: int) -> list[str]:
    notes = [
        _RATES,
        f"aiobotocore and boto3 list the first {slow:,} rows only; their cost is per row.",
        "Loopback, tools and server on one machine; the server has its own process.",
    ]
    own = {row["case"]: row for row in rows if row["tool"] == "asyncref"}
    obstore = next((row for row in rows if row["tool"] == "obstore"), None)
    if obstore and "versions" in own:
        times = own["versions"]["net_rows_per_cpu_s"] / obstore["net_rows_per_cpu_s"]
        notes.append(f"asyncref with version ids is {times:.2f} times obstore without (it cannot list them).")
    if "mixed" in own and "versions" in own:
        share = own["mixed"]["net_rows_per_cpu_s"] / own["versions"]["net_rows_per_cpu_s"]
        notes.append(f"The mixed bucket runs at {share:.0%} of the rate with one version a key.")
    notes += [
        f"{case}: {row['output']['manifest_bytes'] / row['output']['objects']:.1f} bytes an object in the saved manifest."
        for case, row in own.items()
    ]
    return notes


def _demands(rows: Sequence[dict[str, Any]], layout: str) -> list[Demand]:
    """As far as those that they are about took part."""
    own = {row["case"]: row for row in rows if row["tool"] == "asyncref"}
    rates = {case: row["net_rows_per_cpu_s"] for case, row in own.items()}
    peers = {(row["tool"], row["case"]): row for row in rows}
    found: list[Demand] = []
    for case, least in _LEAST_ROWS.items():
        mine = {case: rates[case]} if case in rates else {}
        found += worst(f"{case}: rows a CPU-second, net", least, mine, at_least=True)
        if mine and (obstore := peers.get(("obstore", "list"))):
            times = {case: rates[case] / obstore["net_rows_per_cpu_s"]}
            found += worst(f"{case}: times obstore's plain listing", _LEAST_OBSTORE[case], times, at_least=True)
    if {"mixed", "versions"} <= rates.keys():
        share = {"mixed": rates["mixed"] / rates["versions"]}
        found += worst("mixed: share of the rate with one version a key", _LEAST_MIXED, share, at_least=True)
    for tool, least in _LEAST_TIMES.items():
        times = {row["case"]: row["asyncref_is"] for row in rows if row["tool"] == tool and "asyncref_is" in row}
        found += worst(f"times {tool}", least, times, at_least=True)
    for case, row in own.items():
        if most := _MOST_BYTES.get((layout, case)):
            size = {f"{layout}, {case}": row["output"]["manifest_bytes"] / row["output"]["objects"]}
            found += worst("manifest, bytes an object", most, size)
    return found


def _own_bucket(uri: str, endpoint: str | None, rounds: int) -> Result:
    command = python("benchmarks.peers.asyncref_scan", uri=uri, endpoint=endpoint)
    runs = [measure(command, environment=os.environ) for _ in range(rounds)]
    objects = runs[-1].output["objects"]
    cpu, wall = median(usage.cpu_s for usage in runs), median(usage.wall_s for usage in runs)
    row = {
        "case": uri,
        "tool": "asyncref",
        "does": ASYNCREF.does,
        "rows": objects,
        "gross_rows_per_cpu_s": objects / cpu,
        "rows_per_s": objects / wall,
        "peak_rss_mb": median(usage.peak_rss_bytes for usage in runs) / 1e6,
    }
    shown = {name: heading for name, heading in _COLUMNS.items() if name in row}
    return Result(columns=shown, rows=[row], conditions={"uri": uri, "rounds": rounds}, notes=["Start-up is included."])
