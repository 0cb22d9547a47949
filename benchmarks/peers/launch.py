"""Runs one command and writes what it cost to a file: `launch.py USAGE.json COMMAND [ARGUMENT ...]`.

A small process of its own (started with `-I -S`) stands between the benchmark and what it measures: on Linux a child's
peak RSS begins at that of the process it was forked from.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

_SAMPLE_MS = 10


def main(target: str, command: list[str]) -> None:
    """Run the command, wait for it, write its usage.

    Args:
        target: The JSON file to write: `status`, `user_s`, `system_s`, `wall_s`, `peak_rss_bytes`, `peak_anonymous_bytes`.
        command: Program and arguments; the program is looked up in PATH.
    """
    before = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    anonymous = _watch(pid) if sys.platform == "linux" else None
    _, status, usage = os.wait4(pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "wall_s": time.monotonic() - before,
        "peak_rss_bytes": usage.ru_maxrss * unit,
        "peak_anonymous_bytes": anonymous,
    }
    with open(target, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would add to this process's size
        json.dump(report, file)


def _watch(pid: int) -> int:
    """Wait for a process's end; the most anonymous memory that it and its descendants were seen to hold, in bytes.

    Linux keeps the peak of the resident set only, in which mapped files and libraries are. So this looks every 10 ms, at
    0.05 ms a look: what is held for less than that may be missed.
    """
    most = 0
    ended = select.poll()
    descriptor = os.pidfd_open(pid)
    ended.register(descriptor, select.POLLIN)
    while not ended.poll(_SAMPLE_MS):
        most = max(most, _anonymous(pid))
    os.close(descriptor)
    return most


def _anonymous(pid: int) -> int:
    held = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123  # as above
            found = [line for line in file if line.startswith(b"RssAnon:")]
        held = sum(int(line.split()[1]) * 1024 for line in found)
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # as above
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:  # noqa: PTH123  # as above
                held += sum(_anonymous(int(child)) for child in file.read().split())
    except OSError:  # it ended while it was looked at
        return held
    return held


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
