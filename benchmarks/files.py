"""How fast is a tree of files scanned, with latency and without, beside os.walk and os.stat; what does a second scan read?

Latency is put before every stat and every opening of a folder, in the C library, for asyncref and for the walk alike. Hashing is measured on files
that were just written: asyncref in its threads, beside one thread that hashes the same. What the machine could do at best is shown by as many
processes as there are processors that hash it, each its part, and by the same reading it and no more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.report import Demand, Result, bars
from benchmarks.store.late import late

_COLUMNS: Final = {
    "case": "case",
    "files": "files",
    "mb": "MB",
    "wall_s": "asyncref s",
    "serial_s": "one thread s",
    "times": "x as fast",
    "cpu_s": "asyncref CPU s",
    "read_mb": "content read MB",
}
_UNDELAYED: Final = "list, no latency"
_PROCESSES: Final = "hash, limit: processes"
_READ: Final = "hash, limit: read only"
_AGAIN: Final = "second scan, beside the first"
_LEAST_DELAYED: Final = 20.0
_LEAST_LISTED: Final = 1.0
_LEAST_HASHED: Final = 1.7
_LEAST_OF_LIMIT: Final = 0.9
_SETTLE_S: Final = 3.2  # the cache of hashes keeps nothing younger


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--files", type=int, default=None, help="small files (50,000; 2,000 with --quick)")
    parser.add_argument("--folders", type=int, default=200, help="folders that they lie in (%(default)s)")
    parser.add_argument(
        "--large-mb", type=int, default=None, help="MB to hash, in files of 64 (2,048; 128 with --quick)"
    )
    parser.add_argument("--delay-ms", type=float, default=1.0, help="injected before each call (%(default)s)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (5; 1 with --quick)")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the trees (a temporary folder)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    files = arguments.files or (2000 if arguments.quick else 50_000)
    large_mb = arguments.large_mb or (128 if arguments.quick else 2048)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        base = Path(name)
        _make_small(base / "small", files, min(arguments.folders, files))
        _make_large(base / "large", large_mb)
        time.sleep(_SETTLE_S)
        rows = [
            _listed(
                base, files, arguments.delay_ms, min(rounds, 3), most=min(files, 2000 if arguments.delay_ms else files)
            ),
            _listed(base, files, 0.0, rounds, most=files),
            *_hashed(base, large_mb, min(rounds, 3)),
            _again(base, files),
        ]
    return Result(
        columns=_COLUMNS,
        rows=rows,
        demands=_demands(rows),
        conditions={"files": files, "large_mb": large_mb, "rounds": rounds, "delay_ms": arguments.delay_ms},
        notes=[
            "List: paths, sizes and times to a manifest with W&B's digests (checksum=False), beside os.walk and os.stat.",
            "With latency the walk stops after 2,000 files; its seconds are scaled to all. Medians over the rounds.",
            "Limits: one process a processor hashes or only reads its part; asked for is 1.7, or 0.9 of the lower limit.",
            "Warm: the process has scanned once before; interpreter start and imports are left out of every figure.",
        ],
        draw=bars([row["case"] for row in rows], [row["times"] for row in rows], "times one thread"),
    )


def _listed(base: Path, files: int, delay_ms: float, rounds: int, *, most: int) -> dict[str, Any]:
    folder = base / "small"
    ours, walks = [], []
    with late(folder, delay_ms) as (environment, told):
        for _ in range(rounds):
            ours.append(
                _scan(folder, files, environment, checksum=False, is_late=delay_ms > 0, warm=not delay_ms, **told)
            )
            command = python("benchmarks.peers.tree_walk", folder=str(folder), most=most, **told)
            walks.append(measure(command, environment=environment).output)
    serial_s = median(walk["scan_s"] * files / walk["objects"] for walk in walks)
    case = f"list, {delay_ms:g} ms a call" if delay_ms else _UNDELAYED
    return _row(case, files, ours, serial_s)


def _demands(rows: list[dict[str, Any]]) -> list[Demand]:
    """What issue 4 asks for."""
    by_case = {row["case"]: row for row in rows}
    found = []
    for case, row in by_case.items():
        if case.startswith("list"):
            least = _LEAST_LISTED if case == _UNDELAYED else _LEAST_DELAYED
            found.append(Demand(what=f"{case}: times one thread", value=row["times"], bound=least, at_least=True))
    limit = min(by_case[case]["times"] for case in (_PROCESSES, _READ))
    least = min(_LEAST_HASHED, _LEAST_OF_LIMIT * limit)
    found.append(Demand(what="hash: times one thread", value=by_case["hash"]["times"], bound=least, at_least=True))
    found.append(Demand(what="MB of content that a second scan reads", value=by_case[_AGAIN]["read_mb"], bound=0.0))
    return found


def _hashed(base: Path, large_mb: int, rounds: int) -> list[dict[str, Any]]:
    folder = base / "large"
    files = sum(1 for _ in folder.iterdir())
    ours, serial, hashing, reading = [], [], [], []
    for _ in range(rounds):
        ours.append(_scan(folder, files, checksum=True, storage_options={"hash_cache": False}))
        serial += _walked(folder, files, 1, hash=True)
        hashing.append(max(_walked(folder, files, os.cpu_count() or 1, hash=True)))
        reading.append(max(_walked(folder, files, os.cpu_count() or 1, read=True)))
    serial_s = median(serial)
    row = {**_row("hash", files, ours, serial_s), "mb": large_mb}
    limits = {_PROCESSES: median(hashing), _READ: median(reading)}
    return [
        row,
        *(
            {"case": case, "files": files, "mb": large_mb, "serial_s": wall_s, "times": serial_s / wall_s}
            for case, wall_s in limits.items()
        ),
    ]


def _walked(folder: Path, files: int, processes: int, **what: bool) -> list[float]:
    """Seconds that each of some processes takes for its part of the files, all at the same time."""

    def walk(part: int) -> float:
        options = {"folder": str(folder), "most": files, "part": [part, processes], **what}
        taken_s: float = measure(python("benchmarks.peers.tree_walk", **options), environment=os.environ).output[
            "scan_s"
        ]
        return taken_s

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(walk, range(processes)))


def _again(base: Path, files: int) -> dict[str, Any]:
    folder, cache = base / "small", {"hash_cache": str(base / "hashes.db")}
    first = _scan(folder, files, checksum=True, storage_options=cache)
    second = _scan(folder, files, checksum=True, storage_options=cache)
    return _row(_AGAIN, files, [second], first.output["scan_s"])


def _row(case: str, files: int, ours: list[Usage], serial_s: float) -> dict[str, Any]:
    wall_s = median(usage.output["scan_s"] for usage in ours)
    return {
        "case": case,
        "files": files,
        "mb": ours[-1].output["bytes"] / 1e6,
        "wall_s": wall_s,
        "serial_s": serial_s,
        "times": serial_s / wall_s,
        "cpu_s": median(usage.output["scan_cpu_s"] for usage in ours),
        "read_mb": ours[-1].output["content_bytes_read"] / 1e6,
        "walls_s": [usage.output["scan_s"] for usage in ours],
    }


def _scan(folder: Path, files: int, environment: Mapping[str, str] = os.environ, **options: Any) -> Usage:
    usage = measure(python("benchmarks.peers.tree_scan", uri=f"file://{folder}/", **options), environment=environment)
    if usage.output["objects"] != files:
        raise PeerFailedError(f"asyncref's manifest has {usage.output['objects']} entries, of {files}")
    return usage


def _make_small(base: Path, files: int, folders: int) -> None:
    for number in range(files):
        folder = base / f"folder-{number % folders:04}"
        if number < folders:
            folder.mkdir(parents=True)
        (folder / f"file-{number:06}.bin").write_bytes(b"%d" % number)


def _make_large(base: Path, large_mb: int) -> None:
    base.mkdir()
    block = os.urandom(2**20)
    for number in range(max(1, large_mb // 64)):
        with (base / f"large-{number:03}.bin").open("wb") as file:
            for _ in range(min(64, large_mb)):
                file.write(block)
