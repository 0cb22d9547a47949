"""What does a scan that can be killed at any moment cost, and how much does it ask for twice when it goes on?"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.report import Demand, Result, worst
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

_COLUMNS: Final = {
    "case": "case",
    "what": "what",
    "killed_at": "killed at (share of a whole run's time)",
    "kept_share": "objects kept",
    "same_digest": "same digest",
    "repeated_share": "rows sent twice",
    "requests_more_share": "requests more than undisturbed",
    "cpu_s": "CPU s",
    "wall_s": "wall s",
}
_MOST_TWICE: Final = 0.05


def options(parser: argparse.ArgumentParser) -> None:
    """Declare this benchmark's options."""
    parser.add_argument("--keys", type=int, default=None, help="keys in the bucket (10000000; 20000 with --quick)")
    parser.add_argument(
        "--trials", type=int, default=None, help="kills, each in a scan of its own (20; 1 with --quick)"
    )
    parser.add_argument("--rounds", type=int, default=None, help="undisturbed scans of each kind (3; 1 with --quick)")
    parser.add_argument("--cases", default=None, help="list, versions; trials are shared out (both; list with --quick)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of the store (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Scan undisturbed with and without a folder to resume from, then kill -9 at random moments and go on."""
    keys = arguments.keys or (20_000 if arguments.quick else 10_000_000)
    trials = arguments.trials or (1 if arguments.quick else 20)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    cases = (arguments.cases or ("list" if arguments.quick else "list,versions")).split(",")
    choose = random.Random(arguments.seed)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for place, case in enumerate(cases):
        spec = Spec(layout="uuid", keys=keys, versioned=case == "versions", kinds=(case,))
        share = trials // len(cases) + (place < trials % len(cases))
        with running(spec, latency_ms=arguments.latency_ms) as store, tempfile.TemporaryDirectory() as folder:
            found = _Trials(case, store, Path(folder), choose).run(rounds, share)
        rows += found
        notes.append(_summary(case, found))
    conditions = {"keys": keys, "trials": trials, "rounds": rounds, "latency_ms": arguments.latency_ms}
    return Result(
        columns=_COLUMNS, rows=rows, conditions=conditions, notes=notes, demands=_demands(rows), draw=_drawing(rows)
    )


def _demands(rows: list[dict[str, Any]]) -> list[Demand]:
    """On all trials."""
    killed = [row for row in rows if "killed_at" in row]
    trials = {
        f"{number}: {row['case']}, killed at {row['killed_at']:.0%}": row for number, row in enumerate(killed, start=1)
    }
    same = sum(row["same_digest"] for row in trials.values())
    return [
        Demand(what="resumed scans with the undisturbed digest", value=same, bound=len(trials), at_least=True),
        *worst(
            "pages asked for twice because of the kill, as a share of all",
            _MOST_TWICE,
            {name: row["twice_share"] for name, row in trials.items()},
        ),
    ]


class _Trials:
    """The scans of one bucket.

    Args:
        case: `list` or `versions`.
        store: The running bucket.
        folder: For scans to resume from.
        choose: Gives the moments.
    """

    def __init__(self, case: str, store: StoreProcess, folder: Path, choose: random.Random) -> None:
        self._case = case
        self._store = store
        self._folder = folder / "scans"
        self._saved = folder / "saved"
        self._choose = choose

    def run(self, rounds: int, trials: int) -> list[dict[str, Any]]:
        """A row for each kind of undisturbed scan, and one a trial."""
        kinds: dict[str, list[Usage]] = {"without a ledger": [], "with a ledger": []}
        for _ in range(rounds):
            for what, done in kinds.items():
                self._store.reset()
                done.append(self._measured(None if what.startswith("without") else self._folder))
        calm = self._sent()
        first = kinds["with a ledger"][0]
        rows = [self._row(what, calm, calm) | _least(done) for what, done in kinds.items()]
        wall_s = median(usage.wall_s for usage in kinds["with a ledger"])
        while len(rows) < trials + len(kinds):
            moment = self._choose.random()
            self._store.reset()
            if self._kill(moment * wall_s):
                ended = self._gone_on()
                rows.append(
                    self._row("killed, resumed", calm, self._sent())
                    | {"killed_at": moment, "twice_share": _twice(calm, self._sent()), **ended}
                    | {"same_digest": ended["digest"] == first.output["digest"]}
                )
        return rows

    def _gone_on(self) -> dict[str, Any]:
        """What comes of a killed scan: of one that had saved its manifest and cleaned up, that manifest."""
        if self._saved.exists() and not any(self._folder.iterdir()):
            return {"digest": self._saved.read_text(), "kept_share": 1.0, "cpu_s": 0.0, "wall_s": 0.0}
        usage = self._measured(self._folder)
        kept_share = usage.output["continued"] / usage.output["objects"]
        digest = usage.output["digest"]
        return {"digest": digest, "kept_share": kept_share, "cpu_s": usage.cpu_s, "wall_s": usage.wall_s}

    def _kill(self, after_s: float) -> bool:
        """Start a scan and kill it at a moment; whether it had not ended by itself by then."""
        self._saved.unlink(missing_ok=True)
        process = subprocess.Popen(
            self._command(self._folder),
            env=self._store.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        return False

    def _measured(self, folder: Path | None) -> Usage:
        usage = measure(self._command(folder), environment=self._store.environment())
        if usage.output["objects"] != self._store.rows[self._case]:
            raise PeerFailedError(f"{usage.output['objects']} objects, of {self._store.rows[self._case]}")
        return usage

    def _command(self, folder: Path | None) -> list[str]:
        where = str(folder) if folder is not None else None
        return python(
            "benchmarks.peers.asyncref_scan",
            uri=self._store.uri,
            endpoint=self._store.endpoint,
            resume=where,
            saved=str(self._saved),
        )

    def _sent(self) -> tuple[int, int, int]:
        """List requests, rows sent and rows sent at least once."""
        stats = self._store.stats()
        requests = stats["requests"].get(self._case, 0)
        return requests, stats["rows_sent"], stats["rows_distinct"][self._case]

    def _row(self, what: str, calm: tuple[int, int, int], sent: tuple[int, int, int]) -> dict[str, Any]:
        requests, rows, distinct = sent
        return {
            "case": self._case,
            "what": what,
            "repeated_share": (rows - distinct) / distinct,
            "requests_more_share": (requests - calm[0]) / calm[0],
        }


def _twice(calm: tuple[int, int, int], sent: tuple[int, int, int]) -> float:
    """Share of the pages that were asked for twice: by requests or by rows, whichever says more, beyond the undisturbed."""
    (requests, rows, _), (requests_now, rows_now, distinct) = calm, sent
    return max((requests_now - requests) / requests, (rows_now - rows) / distinct)


def _least(done: list[Usage]) -> dict[str, Any]:
    """The least of each: what else runs on the machine only adds."""
    return {"cpu_s": min(usage.cpu_s for usage in done), "wall_s": min(usage.wall_s for usage in done)}


def _summary(case: str, rows: list[dict[str, Any]]) -> str:
    without, with_ledger, *trials = rows
    more = with_ledger["cpu_s"] / without["cpu_s"] - 1
    worst = max((row["repeated_share"] for row in trials), default=0.0)
    pages = max((row["requests_more_share"] for row in trials), default=0.0)
    same = sum(row["same_digest"] for row in trials)
    return (
        f"{case}: the ledger costs {more:+.1%} CPU; {same} of {len(trials)} resumed scans give the undisturbed digest; "
        f"at worst {worst:.2%} of the rows were sent twice ({without['repeated_share']:.2%} undisturbed: ranges end within "
        f"pages) and {pages:.2%} more pages asked for."
    )


def _drawing(rows: list[dict[str, Any]]) -> Any:
    def draw(axes: Any) -> None:
        for case in dict.fromkeys(row["case"] for row in rows):
            trials = [row for row in rows if row["case"] == case and "killed_at" in row]
            axes.scatter(
                [row["killed_at"] for row in trials], [100 * row["repeated_share"] for row in trials], label=case
            )
        axes.axhline(5, color="grey", linestyle="--", label="bound")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("killed at, as a share of an undisturbed run's time")
        axes.set_ylabel("rows sent twice, %")
        axes.legend()

    return draw
