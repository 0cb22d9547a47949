"""Files on a kernel NFS 4.1 mount: the contract, a whole job, and a server that stops answering."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import nfs
from tests.servers.nfs import Ran, run_on_nfs

_UP = (
    f"{sys.executable} -m pytest -rs --noconftest -p no:cacheprovider --basetemp=/mnt/home/t tests/backends/on_mount.py"
)
_SCAN = """
import asyncref
from asyncref import blocking
limits = asyncref.Limits(idle_timeout_s=1, attempts=2, backoff_s=0.01)
try:
    blocking.scan("file:///mnt/nfs/", limits=limits)
except asyncref.errors.ConnectionFailedError as error:
    print("named:", error)
"""


@pytest.fixture(scope="module")
def ran() -> Iterator[tuple[Ran, Ran]]:
    """What ran inside; the machine boots once."""
    with tempfile.TemporaryDirectory(prefix="nfs", dir="/tmp") as name:
        folder = Path(name)
        (folder / "scan.py").write_text(_SCAN)
        yield run_on_nfs(folder, up=_UP, down=f"timeout 60 {sys.executable} {folder}/scan.py")


def test_the_contract_and_a_whole_job_pass_on_a_kernel_nfs_mount(ran: tuple[Ran, Ran]) -> None:
    up, _ = ran
    assert up.code == 0, up.output
    assert " passed" in up.output


def test_a_server_that_stops_answering_is_bounded_and_named(ran: tuple[Ran, Ran]) -> None:
    """A hard mount: the system call itself never comes back, and the program ends all the same."""
    _, down = ran
    assert down.code == 0, down.output
    assert down.output.startswith("named: file:///mnt/nfs/")
    assert "hangs" in down.output


@pytest.mark.parametrize(
    ("ci", "machine", "outcome"),
    [
        ("true", "x86_64", pytest.fail.Exception),
        ("true", "aarch64", pytest.skip.Exception),
        ("", "x86_64", pytest.skip.Exception),
    ],
)
def test_a_missing_program_fails_under_ci_where_there_is_one_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, machine: str, outcome: type[Exception]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(nfs, "_PROGRAMS", ("no.such.uml",))
    with pytest.raises(outcome, match=r"no\.such\.uml not found; install with: apt-get install"):
        run_on_nfs(tmp_path, up="true", down="true")
