"""moto's S3 server: quick to start, versions as on AWS, signatures not checked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import S3Server, accepts, end, free_ports, wait_until

_RUN = "import sys; from moto.server import main; main(sys.argv[1:])"


@contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """A moto server of one's own; its log lies in `folder`."""
    if importlib.util.find_spec("moto") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("install with: pip install 'moto[server]'")
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "MOTO_S3_CUSTOM_ENDPOINTS": endpoint},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: accepts(port), what="moto")
        yield S3Server(endpoint, "testaccess", "testsecret", "us-east-1")
    finally:
        end(process)
