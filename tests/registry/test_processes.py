"""Real processes that log at once: every one gets a version, and none an error."""

from __future__ import annotations

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


def test_eight_processes_that_make_a_registry_and_log_at_once_get_a_version_each(url: str):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, url, digit],
            cwd=ROOT,
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
    numbers = sorted(int(line[1:]) for out, _ in ended for line in out.split())
    assert numbers == list(range(24))
    registry = Registry.open(url)
    name = registry.artifacts()[0].newest
    assert (name.number, name.aliases) == (23, ("latest",))
