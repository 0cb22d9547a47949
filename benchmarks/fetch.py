"""What the benchmarks of fetch share: how many objects and bytes per CPU-second, beside other clients.

All tools read the same objects of a synthetic bucket in the same run, one after the other, several rounds, into a folder in
memory (/dev/shm where there is one) or through memory; medians are shown. Start-up (one object) is measured in the same
rounds and taken off.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import PeerFailedError, Usage, measure, python
from benchmarks.peers.listers import s5cmd_program
from benchmarks.report import Demand, Result, bars, worst
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

_IN_FLIGHT: Final = 64
_COLUMNS: Final = {
    "case": "case",
    "tool": "tool",
    "objects": "objects",
    "us_per_object": "CPU us/object (net)",
    "net_mb_per_cpu_s": "MB/CPU-s (net)",
    "objects_per_s": "objects/s (wall, gross)",
    "mb_per_s": "MB/s (wall, gross)",
    "startup_cpu_s": "start-up CPU s",
    "peak_anonymous_mb": "peak anonymous MB",
    "peak_rss_mb": "peak RSS MB",
    "asyncref_is": "asyncref is x times (net CPU)",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is fetched."""

    objects: int
    object_bytes: int
    tls: bool = False
    stream: bool = False
    again: bool = False


CASES: Final = {
    "small-1k": Case(10_000, 1000),
    "small-100k": Case(10_000, 100_000),
    "large": Case(8, 2**30),
    "tls": Case(8, 2**28, tls=True),
    "refetch": Case(10_000, 1000, again=True),
    "stream-10k": Case(10_000, 10_000, stream=True),
    "stream-1m": Case(2000, 10**6, stream=True),
}


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a tool is told."""

    store: StoreProcess
    manifest: Path
    wandb: Path
    keys: Path
    folder: Path | None
    most: int


@dataclass(frozen=True, slots=True)
class Tool:
    """One client."""

    name: str
    command: Callable[[_Ground], list[str]]
    streams: bool = True
    slow: bool = False
    repeats: bool = False
    present: bool = True


def _asyncref(checksum: str) -> Callable[[_Ground], list[str]]:
    def command(ground: _Ground) -> list[str]:
        folder = str(ground.folder) if ground.folder else None
        return python(
            "benchmarks.peers.asyncref_fetch", manifest=str(ground.manifest), folder=folder, checksum=checksum,
            endpoint=ground.store.endpoint, concurrency=_IN_FLIGHT,
        )  # fmt: skip

    return command


def _keyed(module: str) -> Callable[[_Ground], list[str]]:
    def command(ground: _Ground) -> list[str]:
        folder = str(ground.folder) if ground.folder else None
        return python(
            module, keys=str(ground.keys), folder=folder, endpoint=ground.store.endpoint, concurrency=_IN_FLIGHT,
            most=ground.most,
        )  # fmt: skip

    return command


def _wandb(ground: _Ground) -> list[str]:
    return python(
        "benchmarks.peers.wandb_fetch", manifest=str(ground.wandb), folder=str(ground.folder), endpoint=ground.store.endpoint,
        cache=str(ground.keys.parent / "wandb-cache"), most=ground.most,
    )  # fmt: skip


def _rclone(ground: _Ground) -> list[str]:
    trust = ["--no-check-certificate"] if ground.store.certificate else []
    remote = (
        f':s3,provider=Other,env_auth=true,endpoint="{ground.store.endpoint}":{ground.store.uri.removeprefix("s3://")}'
    )
    bounds = ["--transfers", str(_IN_FLIGHT), "--checkers", str(_IN_FLIGHT), "--config", "/dev/null", "-q"]
    return [shutil.which("rclone") or "rclone", "copy", *trust, *bounds, remote, str(ground.folder)]


def _s5cmd(ground: _Ground) -> list[str]:
    trust = ["--no-verify-ssl"] if ground.store.certificate else []
    workers = ["--numworkers", str(_IN_FLIGHT), "--log", "error"]
    command = [s5cmd_program() or "s5cmd", "--endpoint-url", ground.store.endpoint, *trust, *workers]
    return [*command, "cp", f"{ground.store.uri}*", f"{ground.folder}/"]


TOOLS: Final = (
    Tool("asyncref", _asyncref("never"), repeats=True),
    Tool("asyncref, MD5 checked", _asyncref("auto"), repeats=True),
    Tool("obstore", _keyed("benchmarks.peers.obstore_fetch")),
    Tool("s5cmd", _s5cmd, streams=False, present=s5cmd_program() is not None),
    Tool("rclone", _rclone, streams=False, present=shutil.which("rclone") is not None),
    Tool("aiobotocore", _keyed("benchmarks.peers.aiobotocore_fetch"), slow=True),
    Tool("wandb", _wandb, streams=False, slow=True, present=find_spec("wandb") is not None),
)


def options(parser: argparse.ArgumentParser, cases: Sequence[str]) -> None:
    """Declare this benchmark's options.

    Args:
        parser: Takes them.
        cases: Those measured if none is named.
    """
    parser.add_argument("--cases", default=",".join(cases), help="comma-separated (%(default)s)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds (3; 1 with --quick)")
    parser.add_argument("--share", type=float, default=None, help="of the objects' count, or of large sizes (1; 0.01)")
    parser.add_argument("--tools", default=None, help="comma-separated (all that are installed)")
    parser.add_argument("--slow", type=int, default=2000, help="objects for aiobotocore and wandb (%(default)s)")


def run(arguments: argparse.Namespace) -> Result:
    """Measure."""
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    share = arguments.share or (0.01 if arguments.quick else 1.0)
    wanted = arguments.tools.split(",") if arguments.tools else [tool.name for tool in TOOLS if tool.present]
    rows: list[dict[str, Any]] = []
    for name in arguments.cases.split(","):
        case = CASES[name]
        tools = [tool for tool in TOOLS if tool.name in wanted and _takes_part(tool, case)]
        rows += _case(name, case, tools, rounds=rounds, share=share, slow=arguments.slow)
    return Result(
        columns=_COLUMNS,
        rows=rows,
        conditions={"rounds": rounds, "share": share, "in_flight": _IN_FLIGHT},
        notes=[
            "CPU is user and system time, children included; start-up is the same command on one object, taken off for all.",
            "Anonymous memory is looked at every 10 ms, children included; RSS, the peak that the system keeps, has mapped libraries in it.",
            "asyncref compares every answer with its pin and renames temporaries; the others write in place.",
            "s5cmd also lists the bucket.",
            f"aiobotocore, wandb: the first {arguments.slow} objects of the small cases. wandb reads by its own reference handler in 32 threads.",
        ],
        demands=demands(rows),
        draw=bars(
            [f"{row['tool']} ({row['case']})" for row in rows],
            [row["net_mb_per_cpu_s"] for row in rows],
            "MB per CPU-second, start-up left out; loopback",
        ),
    )


def demands(rows: Sequence[Mapping[str, Any]]) -> list[Demand]:
    """What the figures have to reach, as far as the tools to compare with ran."""
    found = {(row["case"], row["tool"]): row for row in rows}

    def times(what: str, column: str, tool: str, case: str, bound: float) -> list[Demand]:
        ours, theirs = found.get((case, "asyncref")), found.get((case, tool))
        if ours is None or theirs is None:
            return []
        return worst(f"{case}: {what}, beside {tool}'s", bound, {case: ours[column] / theirs[column]}, at_least=True)

    held = {
        f"{row['case']}, {row['tool']}, RSS {row['peak_rss_mb']:,.0f}": row["peak_anonymous_mb"]
        for row in rows
        if row["tool"].startswith("asyncref") and row["peak_anonymous_mb"] is not None
    }
    return [
        *times("objects a CPU-second", "net_mb_per_cpu_s", "s5cmd", "small-1k", 1.3),
        *times("objects a second on the clock", "objects_per_s", "s5cmd", "small-1k", 1.0),
        *times("objects a CPU-second", "net_mb_per_cpu_s", "aiobotocore", "small-1k", 6.0),
        *times("objects a second on the clock", "objects_per_s", "wandb", "small-1k", 10.0),
        *times("MB a CPU-second", "net_mb_per_cpu_s", "obstore", "large", 1.2),
        *times("MB a second on the clock", "mb_per_s", "s5cmd", "large", 1.0),
        *times("MB a second on the clock", "mb_per_s", "obstore", "tls", 1.0),
        *times("MB a CPU-second", "net_mb_per_cpu_s", "obstore", "stream-10k", 1.0),
        *times("MB a CPU-second", "net_mb_per_cpu_s", "obstore", "stream-1m", 1.0),
        *worst("peak anonymous memory, MB", 250, held),
    ]


def _takes_part(tool: Tool, case: Case) -> bool:
    if case.again:
        return tool.repeats
    return (tool.streams or not case.stream) and (not tool.slow or case.object_bytes < 2**20)


@dataclass(slots=True)
class _Runs:
    full: list[Usage] = field(default_factory=list)
    startup: list[Usage] = field(default_factory=list)


def _case(
    name: str, case: Case, tools: Sequence[Tool], *, rounds: int, share: float, slow: int
) -> list[dict[str, Any]]:
    few = case.objects < 100  # then sizes shrink, not counts
    objects = case.objects if few else max(10, int(case.objects * share))
    size = max(2**20, int(case.object_bytes * share)) if few else case.object_bytes
    runs = {tool.name: _Runs() for tool in tools}
    with ExitStack() as stack:
        held = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncref-bench-", dir=_memory())))
        full = stack.enter_context(_prepared(case, objects, size, held / "full", slow))
        tiny = stack.enter_context(_prepared(case, 1, min(size, 1000), held / "tiny", slow))
        for number in range(rounds):
            turn = number % len(tools)  # no tool always runs after the same other
            for tool in [*tools[turn:], *tools[:turn]]:
                runs[tool.name].startup.append(_once(tool, case, tiny, 1))
                wanted = min(objects, slow) if tool.slow else objects
                runs[tool.name].full.append(_once(tool, case, full, wanted))
    rows = [_row(name, tool, min(objects, slow) if tool.slow else objects, size, runs[tool.name]) for tool in tools]
    ours = next((row["us_per_object"] for row in rows if row["tool"] == "asyncref"), None)
    for row in rows:
        if ours and not row["tool"].startswith("asyncref"):
            row["asyncref_is"] = row["us_per_object"] / ours
    return rows


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def _prepared(case: Case, objects: int, size: int, folder: Path, slow: int) -> Iterator[_Ground]:
    """A bucket, its manifest and its list of keys."""
    folder.mkdir()
    with running(Spec(keys=objects, object_bytes=size), tls=case.tls) as store:
        manifest, keys, wandb = folder / "m.parquet", folder / "keys.json", folder / "wandb_manifest.json"
        command = python("benchmarks.peers.asyncref_manifest", uri=store.uri, endpoint=store.endpoint, manifest=str(manifest), keys=str(keys), wandb=str(wandb))  # fmt: skip
        measure(command, environment=store.environment())
        yield _Ground(store, manifest, wandb, keys, None if case.stream else folder / "out", slow)


def _once(tool: Tool, case: Case, ground: _Ground, wanted: int) -> Usage:
    environment = {**ground.store.environment(), "ASYNCREF_CACHE": str(ground.keys.parent / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have their bytecode
    if case.again:
        measure(tool.command(ground), environment=environment)
    elif ground.folder is not None:
        shutil.rmtree(ground.folder, ignore_errors=True)
        ground.folder.mkdir()
    usage = measure(tool.command(ground), environment=environment, quiet=tool.name == "s5cmd")
    if ground.folder is not None:
        there = sum(1 for path in ground.folder.rglob("*") if path.is_file())
        if there != wanted:
            raise PeerFailedError(f"{tool.name} wrote {there} files, of {wanted}")
        if not case.again:
            shutil.rmtree(ground.folder)
    elif usage.output["objects"] != wanted:
        raise PeerFailedError(f"{tool.name} read {usage.output['objects']} objects, of {wanted}")
    return usage


def _row(case: str, tool: Tool, objects: int, size: int, own: _Runs) -> dict[str, Any]:
    startup = median(usage.cpu_s for usage in own.startup)
    net = max(median(usage.cpu_s for usage in own.full) - startup, 1e-3)
    wall = median(usage.wall_s for usage in own.full)
    anonymous = [usage.peak_anonymous_bytes for usage in own.full if usage.peak_anonymous_bytes is not None]
    return {
        "case": case,
        "tool": tool.name,
        "objects": objects,
        "object_bytes": size,
        "us_per_object": net / objects * 1e6,
        "net_mb_per_cpu_s": objects * size / net / 1e6,
        "objects_per_s": objects / wall,
        "mb_per_s": objects * size / wall / 1e6,
        "startup_cpu_s": startup,
        "peak_anonymous_mb": median(anonymous) / 1e6 if anonymous else None,
        "peak_rss_mb": median(usage.peak_rss_bytes for usage in own.full) / 1e6,
        "cpu_s": [usage.cpu_s for usage in own.full],
        "wall_s": [usage.wall_s for usage in own.full],
    }
