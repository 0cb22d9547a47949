"""Runs one command and writes what it cost to a file: `launch.py USAGE.json COMMAND [ARGUMENT ...]`.

A small process of its own (started with `-I -S`) stands between the benchmark and what it measures: on Linux a child's
peak RSS begins at that of the process it was forked from.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(target: str, command: list[str]) -> None:
    """Run the command, wait for it, write its usage.

    Args:
        target: The JSON file to write: `status`, `user_s`, `system_s`, `wall_s`, `peak_rss_bytes`.
        command: Program and arguments; the program is looked up in PATH.
    """
    before = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "wall_s": time.monotonic() - before,
        "peak_rss_bytes": usage.ru_maxrss * unit,
    }
    with open(target, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would add to this process's size
        json.dump(report, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
