"""Real processes that log at once: every one gets a version, and none an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from asyncref.registry import Registry

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from asyncref.registry import Registry
from tests.registry import manifest_of
sys.stdin.readline()  # all start together
for turn in range(3):
    digits = {"who": sys.argv[2], "turn": str(turn)}
    print(Registry.open(sys.argv[1]).log(manifest_of(digits), name="mnist", type="dataset").version)
"""


def log_at_once(url: str) -> list[int]:
    """Eight processes that open a registry and log three versions each, all at the same time: the numbers they got."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, url, digit],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for digit in "01234567"
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in ended] == [""] * 8
    return sorted(int(line[1:]) for out, _ in ended for line in out.split())


def test_eight_processes_that_make_a_registry_and_log_at_once_get_a_version_each(url: str):
    assert log_at_once(url) == list(range(24))
    newest = Registry.open(url).artifacts()[0].newest
    assert (newest.number, newest.aliases) == (23, ("latest",))
