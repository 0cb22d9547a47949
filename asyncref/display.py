"""Progress on stderr: polls a run's meter a few times a second and costs the run nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from asyncref.engine.flow import Meter, ProgressHook

_BAR_COLUMNS: Final = 24
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


@contextmanager
def displayed(progress: bool | ProgressHook) -> Iterator[ProgressHook | None]:
    """The hook for a verb's `progress=`: the caller's own, a display while the block runs, or none.

    Args:
        progress: True shows a display if stderr is a terminal.
    """
    if callable(progress):
        yield progress
    elif progress and sys.stderr.isatty():
        meters: list[Meter] = []
        with display(meters):
            yield meters.append
    else:
        yield None


@contextmanager
def display(meters: Sequence[Meter]) -> Iterator[None]:
    """Show the newest meter until the block ends; then leave nothing on the screen.

    Args:
        meters: Grows as runs start.
    """
    from rich.console import Console  # noqa: PLC0415  rich is loaded only where something is shown
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(
        get_renderable=lambda: _render(meters[-1]) if meters else Text("starting"),
        console=Console(stderr=True),
        refresh_per_second=5,
        transient=True,
        redirect_stdout=False,
    ):
        yield


def summary(meter: Meter) -> str:
    """What a meter says now, in one line: objects, rate, requests, bytes, time, and what is left where known."""
    elapsed_s = max(meter.elapsed_s, 1e-6)
    done = human_count(meter.objects)
    parts = [
        f"{meter.verb} {done}/{human_count(meter.objects_total)}" if meter.objects_total else f"{meter.verb} {done}",
        f"{human_count(meter.objects / elapsed_s)}/s",
        counted(meter.requests.total(), "request"),
        human_bytes(meter.bytes),
        _clock(elapsed_s),
    ]
    parts += [f"{human_count(count)} {word}" for word, count in _trouble(meter) if count]
    if (left_s := _left_s(meter, elapsed_s)) is not None:
        parts.append(f"ETA {_clock(left_s)}")
    if meter.trouble:
        parts.append(meter.trouble)
    return "  ".join(parts)


def share(meter: Meter) -> float | None:
    """How much is done, 0 to 1: by bytes if their total is known, else by objects; None if neither is."""
    if meter.bytes_total:
        return min(1.0, meter.bytes / meter.bytes_total)
    if meter.objects_total:
        return min(1.0, meter.objects / meter.objects_total)
    return None


def human_bytes(count: float | None) -> str:
    """A size with three digits and a decimal unit: `1.23 GB`; `-` if unknown."""
    if count is None:
        return "-"
    size = float(count)
    for unit in _UNITS:
        if size < 999.5 or unit == _UNITS[-1]:  # noqa: PLR2004  1000 after rounding to three digits
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"


def human_count(count: float | None) -> str:
    """A number with thousands separated: `1,234,567`; `-` if unknown."""
    return "-" if count is None else f"{count:,.0f}"


def counted(count: int, word: str) -> str:
    """A count of something, its word with an s unless it is one: `1 page`, `2,150 pages`."""
    return f"{human_count(count)} {word}{'' if count == 1 else 's'}"


def _render(meter: Meter) -> Any:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415  as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    done = share(meter)
    line = Text(summary(meter), no_wrap=True, overflow="ellipsis")
    if done is None:
        grid.add_row(line)
    else:
        grid.add_row(ProgressBar(total=1.0, completed=done, width=_BAR_COLUMNS), line)
    return grid


def _trouble(meter: Meter) -> list[tuple[str, int]]:
    return [("retries", meter.retries), ("throttled", meter.throttled), ("failed", meter.failed)]


def _left_s(meter: Meter, elapsed_s: float) -> float | None:
    done = share(meter)
    return elapsed_s * (1 - done) / done if done else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
