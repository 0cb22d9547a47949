"""Starts the synthetic store in a process of its own, and talks to its control address."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.store.bucket import NAME
from benchmarks.store.certificate import write_certificate
from benchmarks.store.render import Spec, render

CACHE_VARIABLE: Final = "ASYNCREF_BENCH_CACHE"
"""Names a folder that keeps rendered buckets between runs; without it they are removed with the store."""
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class StoreProcess:
    """A running store.

    Attributes:
        endpoint: Base URL for clients.
        control: Base URL of the control address.
        uri: What to scan: everything under the layouts' common prefix.
        rows: Entries of the whole bucket by kind (`list`, `versions`).
        certificate: The PEM file that clients have to trust; None without TLS.
        pid: Its process.
    """

    endpoint: str
    control: str
    uri: str
    rows: dict[str, int]
    certificate: Path | None
    pid: int

    def stats(self) -> dict[str, Any]:
        """Counters since the start or the last reset; `cpu_s` is the server's own CPU time."""
        return self._ask("stats")

    def counts(self) -> dict[str, Any]:
        """The same without `rows_distinct`: cheap enough to ask several times a second."""
        return self._ask("counts")

    def reset(self) -> None:
        """Set the counters to zero."""
        self._ask("reset")

    def set(self, **settings: float) -> None:
        """Change `latency_ms`, `throttle`, `page_rows` or `inclusive` while it runs."""
        self._ask("set?" + urllib.parse.urlencode({name: float(value) for name, value in settings.items()}))

    def environment(self) -> dict[str, str]:
        """Environment for a client's process: fixed credentials, no user's settings, the certificate trusted."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_"))}
        chosen = {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        if self.certificate:
            chosen |= {"AWS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)}
        return kept | chosen

    def _ask(self, verb: str) -> dict[str, Any]:
        trust = ssl.create_default_context(cafile=str(self.certificate)) if self.certificate else None
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with direct.open(f"{self.control}/-/{verb}", timeout=60) as answer:
            return dict(json.load(answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A storage protocol to serve.

    Attributes:
        scheme: Of the URIs to scan.
        module: Runs the server.
        render: Writes a bucket's files into a folder.
    """

    scheme: str
    module: str
    render: Callable[[Spec, Path], None]


S3: Final = Service(scheme="s3", module="benchmarks.store.server", render=render)


@contextmanager
def _bucket_folder(spec: Spec, service: Service) -> Iterator[Path]:
    kept = os.environ.get(CACHE_VARIABLE)
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="asyncref-bench-") as name:
            service.render(spec, Path(name))
            yield Path(name)
        return
    folder = Path(kept) / (spec.name if service is S3 else f"{service.scheme}-{spec.name}")
    if not folder.exists():
        building = Path(tempfile.mkdtemp(dir=_made(Path(kept))))
        service.render(spec, building)
        try:
            building.rename(folder)
        except OSError:  # another process was first with the same bytes
            shutil.rmtree(building)
    yield folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def running(
    spec: Spec, *, port: int = 0, tls: bool = False, service: Service = S3, **settings: float
) -> Iterator[StoreProcess]:
    """Render a bucket, serve it, and end the server on leaving.

    Args:
        spec: The bucket. 1,000,000 keys take 3 to 4 s to render and 0.7 GB of disk while it runs.
        port: 0: any free one.
        tls: Serve HTTPS with a certificate made for the occasion.
        service: Whose protocol it speaks.
        **settings: `benchmarks.store.server.Settings`.
    """
    with _bucket_folder(spec, service) as folder, tempfile.TemporaryDirectory() as scratch:
        certificate = write_certificate(Path(scratch)) if tls else None
        options = {
            "spec": asdict(spec),
            "settings": settings,
            "folder": str(folder),
            "port": port,
            "certificate": str(certificate) if certificate else None,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", service.module, json.dumps(options)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the synthetic store did not start; its own message stands above")
            ready = json.loads(line)
            base = f"{'https' if tls else 'http'}://127.0.0.1:{ready['port']}"
            yield StoreProcess(base, base, f"{service.scheme}://{NAME}/data/", ready["rows"], certificate, process.pid)
        finally:
            process.stdin.close()
            process.stdout.close()
            if process.wait(timeout=30) != 0 and sys.exc_info()[0] is None:
                raise RuntimeError(f"the synthetic store ended with status {process.returncode}")
