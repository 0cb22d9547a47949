"""Real servers on loopback for tests: what they share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config


@dataclass(frozen=True, slots=True)
class S3Server:
    """One running S3 server: where it listens, and who may ask it."""

    endpoint: str
    key: str
    secret: str
    region: str
    checks_signatures: bool = False

    @property
    def storage_options(self) -> dict[str, Any]:
        """What a scan of this server needs, in fsspec's names."""
        return {"endpoint_url": self.endpoint, "key": self.key, "secret": self.secret, "region": self.region}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, for a subprocess."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client(self, **config: Any) -> Any:
        """A boto3 client with path addressing; `config` goes to botocore's Config."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}, **config),
        )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(ready: Callable[[], bool], *, what: str, timeout_s: float = 60.0) -> None:
    """Poll until a server is ready; fail the test that asked for it if it never is."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} was not ready within {timeout_s:.0f} s")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def need(binaries: tuple[str, ...], *, install: str) -> None:
    """Skip the asking test, saying how to install what is missing; fail it under CI."""
    missing = [name for name in binaries if shutil.which(name) is None]
    if not missing:
        return
    sentence = f"{', '.join(missing)} not found; install with: {install}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server that this session started."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
