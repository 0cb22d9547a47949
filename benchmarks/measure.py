"""Runs a program and measures it from outside: CPU of it and its children, wall time, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
_LAUNCH: Final = Path(__file__).parent / "peers" / "launch.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run of a program cost.

    Attributes:
        cpu_s: User and system time of the process and of the children that it waited for.
        wall_s: From its start to its end.
        peak_rss_bytes: Its largest resident set.
        peak_anonymous_bytes: The most memory without a file behind it that it and its descendants held; sampled every 10 ms. None
            where the system does not tell.
        output: The JSON object in the last line of its standard output; empty if there was none.
    """

    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    peak_anonymous_bytes: int | None
    output: dict[str, Any]


class PeerFailedError(RuntimeError):
    """A measured program ended with an error; its own message is in this one's."""


def measure(command: Sequence[str], *, environment: Mapping[str, str], quiet: bool = False) -> Usage:
    """Run a program to its end.

    Args:
        command: Program and arguments.
        environment: Its whole environment.
        quiet: Throw its standard output away (a million lines are not this benchmark's matter).

    Raises:
        PeerFailedError: It did not end with status 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "usage.json"
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(report), *command],
            cwd=ROOT,
            env=dict(environment),
            stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
        usage = json.loads(report.read_text()) if report.exists() else {"status": done.returncode}
    if usage["status"] != 0:
        last = done.stderr.decode(errors="replace").strip()[-2000:]
        raise PeerFailedError(f"{command[0]} ended with status {usage['status']}: {last}")
    lines = [] if quiet else done.stdout.decode().splitlines()
    return Usage(
        cpu_s=usage["user_s"] + usage["system_s"],
        wall_s=usage["wall_s"],
        peak_rss_bytes=usage["peak_rss_bytes"],
        peak_anonymous_bytes=usage["peak_anonymous_bytes"],
        output=json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {},
    )


def python(module: str, **options: Any) -> list[str]:
    """The command that runs a module of this package with its options as one JSON argument."""
    return [sys.executable, "-m", module, json.dumps(options)]
