"""`python -m fuzz [TARGET...] --seconds 60`: damages good inputs until the time is up, or lets atheris search by coverage."""

from __future__ import annotations

import argparse
import faulthandler
import random
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from fuzz.damage import damaged
from fuzz.targets import TARGETS, seeds


def main() -> int:
    """The command; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (%(default)s)")
    parser.add_argument("--engine", choices=("damage", "atheris"), default="damage")
    parser.add_argument("--seed", type=int, default=None, help="of the damage; printed")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder for inputs that were found")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    each_s = arguments.seconds / len(names)
    if arguments.inside:
        _search(arguments.inside, arguments.seconds, arguments.findings)
        return 0
    if arguments.engine == "atheris":
        arguments.findings.mkdir(parents=True, exist_ok=True)
        return max([_apart(name, each_s, arguments.findings) for name in names])
    faulthandler.enable()
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    print(f"seed {seed}")
    return max([_damage(name, each_s, random.Random(f"{seed} {name}"), arguments.findings) for name in names])


def _damage(name: str, seconds: float, draw: random.Random, findings: Path) -> int:
    target, good = TARGETS[name], seeds(name)
    found: dict[str, bytes] = {}
    runs = taken = 0
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        data = damaged(good, draw)
        runs += 1
        try:
            taken += target.feed(data)
        except Exception as error:  # any other error is what is looked for
            last = error.__traceback__
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            where = f"{last.tb_frame.f_code.co_filename.rpartition('/')[2]}:{last.tb_lineno}" if last else ""
            known = f"{type(error).__name__} at {where}"
            if known not in found or len(data) < len(found[known]):
                found[known] = data
    print(f"{name:12} {runs:9,} inputs, {taken:9,} taken, {len(found)} findings")
    for number, (known, data) in enumerate(found.items()):
        findings.mkdir(parents=True, exist_ok=True)
        (findings / f"{name}-{number}").write_bytes(data)
        print(f"  {known}  -> {findings / f'{name}-{number}'}")
    return 1 if found else 0


def _apart(name: str, seconds: float, findings: Path) -> int:
    """In a process of its own: libFuzzer ends the one in which it runs."""
    command = [sys.executable, "-m", "fuzz", "--inside", name, "--seconds", str(seconds)]
    command += ["--findings", str(findings)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = [line for line in ended.stderr.splitlines() if line and not line.startswith(("#", '"'))]
    print(f"{name:12} {'no finding' if not ended.returncode else 'FOUND'}  {lines[-1] if lines else ''}")
    if ended.returncode:
        print("\n".join([*ended.stdout.splitlines()[-30:], *lines[-15:]]))
    return 1 if ended.returncode else 0


def _search(name: str, seconds: float, findings: Path) -> None:
    """Let libFuzzer mutate towards new paths through our own modules."""
    atheris: Any = import_module("atheris")
    for module in [module for key, module in sys.modules.items() if key.startswith("asyncref.")]:
        for value in vars(module).values():
            if callable(value) and getattr(value, "__module__", None) == module.__name__ and hasattr(value, "__code__"):
                atheris.instrument_func(value)
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds(name)):
            (Path(folder) / str(number)).write_bytes(data)
        flags = [f"-max_total_time={max(1, int(seconds))}", "-max_len=65536", f"-artifact_prefix={findings}/{name}-"]
        atheris.Setup(["fuzz", *flags, folder], lambda data: target.feed(data) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
