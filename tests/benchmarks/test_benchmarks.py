"""Each benchmark runs in seconds with `--quick`, prints its table and keeps its figures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.measure import PeerFailedError, measure
from benchmarks.peers.listers import PEERS
from benchmarks.report import Demand, Result, publish, worst
from benchmarks.store.process import running
from benchmarks.store.render import Spec
from tests.servers import need

QUICK = {
    "scan": ["--keys", "3000"],
    "memory": ["--keys", "3000"],
    "small": ["--objects", "1000"],
    "parse": ["--layouts", "uuid,astral"],
    "scale": ["--keys", "200000", "--layouts", "counter,hot"],
    "layouts": ["--layouts", "astral", "--keys", "3000", "--latency-ms", "5", "--cases", "versions"],
    "throttle": ["--seconds", "1"],
    "resume": ["--keys", "3000"],
    "fetch-small": ["--cases", "small-1k", "--tools", "asyncref,s5cmd,wandb", "--share", "0.002"],
    "fetch-large": ["--tools", "asyncref,obstore", "--share", "0.002"],
    "refetch": ["--tools", "asyncref", "--share", "0.002"],
    "stream": ["--cases", "stream-10k", "--tools", "obstore", "--share", "0.002"],
    "gcs": ["--keys", "3000", "--layouts", "folders", "--latency-ms", "5"],
    "azure": ["--keys", "6000", "--layouts", "folders", "--latency-ms", "5"],
    "http": ["--folders", "4", "--files", "5", "--latency-ms", "2"],
    "files": ["--files", "60", "--folders", "6", "--large-mb", "1"],
}


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_writes_its_figures_with_commit_and_machine(name: str, tmp_path: Path) -> None:
    if name == "http":
        need(("nginx",), install="apt-get install --no-install-recommends nginx")
    assert main([name, "--quick", "--out", str(tmp_path), *QUICK[name]]) == 0
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert found["schema"] == "asyncref.benchmark/1"
    assert found["question"].endswith("?")
    assert found["machine"]["python"]
    assert found["rows"]


def test_the_names_are_a_line_each_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    with pytest.raises(SystemExit, match="0"):
        main(["--names"])
    assert capsys.readouterr().out.split("\n") == [*NAMES, ""]


def test_a_demand_says_whether_it_is_met_and_by_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demands = [
        *worst("times", 2.0, {"a": 1.5, "b": 2.5}),
        *worst("share", 0.9, {"a": 0.95, "b": 0.99}, at_least=True),
        *worst("nothing", 1.0, {}),
        Demand(what="exactly", value=1, bound=1),
    ]
    assert [demand.met for demand in demands] == [False, True, True]
    publish("x", "x?", Result(columns={}, rows=[], conditions={}, demands=demands), folder=tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert "NOT MET: times: 2.5 (b), at most 2 asked for; +25% of the bound" in printed
    assert "met: share: 0.95 (a), at least 0.9 asked for; +6% of the bound" in printed
    assert [found["met"] for found in json.loads((tmp_path / "x.json").read_text())["demands"]] == [False, True, True]


@pytest.mark.parametrize("peer", [peer for peer in PEERS if not peer.quiet], ids=lambda peer: peer.name)
@pytest.mark.parametrize("versions", [False, True])
def test_every_peer_lists_the_whole_bucket(peer, versions: bool) -> None:
    if versions and not peer.versions:
        pytest.skip(f"{peer.name} lists no versions")
    with running(Spec(keys=2100, versioned=versions)) as store:
        usage = peer.run(store, versions=versions, most=10**9)
        kind = "versions" if versions else "list"
        assert usage.output["objects"] == 2100
        assert store.stats()["rows_distinct"] == {"list": 0, "versions": 0} | {kind: 2100}
    assert usage.cpu_s > 0
    assert usage.peak_rss_bytes > 10e6


def test_the_cost_of_a_program_does_not_hold_the_cost_of_who_measures_it() -> None:
    ballast = bytearray(300_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    usage = measure([sys.executable, "-S", "-c", "sum(range(5_000_000)); print('{}')"], environment=os.environ)
    assert usage.peak_rss_bytes < 100e6
    assert 0.01 < usage.cpu_s <= usage.wall_s * (os.cpu_count() or 1) + 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_anonymous_memory_is_that_of_a_program_and_its_children_without_mapped_files(tmp_path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(bytes(80_000_000))
    child = "held = b'x' * 50_000_000; print(flush=True); input()"
    program = f"""
import mmap, subprocess, sys
held = b"x" * 30_000_000
file = open({str(mapped)!r}, "r+b")
seen = sum(mmap.mmap(file.fileno(), 0)[::4096])
child = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
__import__("time").sleep(0.3)
child.communicate(b"end")
"""
    usage = measure([sys.executable, "-S", "-c", program], environment=os.environ)
    assert usage.peak_anonymous_bytes is not None
    assert 80e6 < usage.peak_anonymous_bytes < 120e6
    assert usage.peak_rss_bytes > 110e6


def test_a_program_that_fails_is_an_error_with_its_own_message() -> None:
    with pytest.raises(PeerFailedError, match=r"status 3.*no such bucket"):
        measure(
            [sys.executable, "-c", "import sys; print('no such bucket', file=sys.stderr); sys.exit(3)"],
            environment=os.environ,
        )
