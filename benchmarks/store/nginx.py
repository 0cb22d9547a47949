"""A real nginx over a tree of folders, which counts its requests itself; with latency before it where that is asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.measure import ROOT, PeerFailedError

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_READY_S: Final = 30.0
_SIZE: Final = 1000
_CONFIG: Final = """\
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log; {user}
events {{ worker_connections 4096; }}
http {{
 access_log off; default_type application/octet-stream; charset utf-8; root {d}/root; keepalive_requests 1000000;
 client_body_temp_path {d}/tmp; proxy_temp_path {d}/tmp; fastcgi_temp_path {d}/tmp; uwsgi_temp_path {d}/tmp; scgi_temp_path {d}/tmp;
 server {{ listen 127.0.0.1:{port} backlog=1024; autoindex on; location = /-/status {{ stub_status; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running server.

    Attributes:
        uri: Of the tree.
        control: nginx itself, without latency.
    """

    uri: str
    control: str

    def requests(self) -> int:
        """Requests so far, this one left out."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.control}/-/status", timeout=60) as answer:
            counted = re.search(r"requests\n\s*\d+ \d+ (\d+)", answer.read().decode())
        assert counted is not None
        return int(counted[1]) - 1


@contextmanager
def tree(folders: int, files: int) -> Iterator[Path]:
    """A folder for nginx with a tree of that many folders, and so many files in each."""
    with tempfile.TemporaryDirectory(prefix="asyncref-bench-") as name:
        base = Path(name)
        base.chmod(0o755)
        for folder in range(folders):
            made = base / "root" / "data" / f"folder-{folder:04}"
            made.mkdir(parents=True)
            for file in range(files):
                (made / f"file-{file:05}.bin").write_bytes(bytes(_SIZE))
        yield base


@contextmanager
def serving(base: Path, latency_ms: float) -> Iterator[Served]:
    """Serve a tree, and end the servers on leaving.

    Raises:
        PeerFailedError: nginx is not installed, or does not start.
    """
    program = shutil.which("nginx", path=_PATH)
    if program is None:
        raise PeerFailedError("nginx not found; install with: apt-get install --no-install-recommends nginx")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (base / "tmp").mkdir(exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    (base / "nginx.conf").write_text(_CONFIG.format(d=base, port=port, user=user))
    process = subprocess.Popen([program, "-c", str(base / "nginx.conf"), "-e", str(base / "error.log")])
    control = f"http://127.0.0.1:{port}"
    try:
        _await(port, process)
        with ExitStack() as stack:
            front = stack.enter_context(_delayed(port, latency_ms)) if latency_ms else port
            yield Served(f"http://127.0.0.1:{front}/data/", control)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + _READY_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise PeerFailedError("nginx did not start; its own message stands above")


@contextmanager
def _delayed(port: int, latency_ms: float) -> Iterator[int]:
    settings = json.dumps({"port": port, "latency_ms": latency_ms})
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.store.delay", settings],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=30)
