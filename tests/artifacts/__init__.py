"""Tests of the W&B-shaped face."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a process of its own, in a folder of its own, with a registry below that folder."""
    paths = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "ASYNCREF_HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_well(text: str, folder: Path, **environment: str) -> list[str]:
    """Run a script that has to end well; gives the lines that it printed."""
    done = run_script(text, folder, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
