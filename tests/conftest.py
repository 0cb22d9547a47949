"""Fixtures that every test may ask for: real servers, a faulty proxy, and a clean environment."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.servers.azurite import Azurite, azurite_server
from tests.servers.moto import moto_server
from tests.servers.proxy import Proxy, faulty_proxy
from tests.servers.radosgw import radosgw_server
from tests.servers.webservers import (
    Nginx,
    WebServer,
    apache_server,
    caddy_server,
    lighttpd_server,
    nginx_server,
    python_server,
)

_FOREIGN = (
    *("AWS_", "AZURE_", "GOOGLE_", "GCE_METADATA_", "CLOUDSDK_", "STORAGE_EMULATOR_HOST", "ASYNCREF_", "WANDB_"),
    *("IDENTITY_", "MSI_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
_NUMBERS = count(1)

# A shell's background job starts with SIGINT ignored, and hands that on: the tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where Debian keeps most of the servers; only root's PATH has it.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No account, proxy or registry of whoever runs the tests takes part in them."""
    for name in os.environ:
        if name.upper().startswith(_FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(home / "no-gcloud"))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("ASYNCREF_CACHE", str(home / "cache"))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A moto server for the whole session."""
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def radosgw() -> Iterator[S3Server]:
    """A radosgw for the whole session; starts in about ten seconds."""
    folder = Path(tempfile.mkdtemp(prefix="rgw"))  # short: see radosgw_server
    try:
        with radosgw_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite for the whole session; starts in about two seconds."""
    with azurite_server(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(params=["moto", "radosgw"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    """Each S3 server in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="session")
def served() -> Iterator[Path]:
    """The folder that every HTTP server serves; readable by a server that is not root."""
    with tempfile.TemporaryDirectory(prefix="served") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Nginx]:
    """An nginx for the whole session."""
    with nginx_server(tmp_path_factory.mktemp("nginx"), served) as server:
        yield server


@pytest.fixture(scope="session")
def apache(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[WebServer]:
    """An Apache for the whole session."""
    with apache_server(tmp_path_factory.mktemp("apache"), served) as server:
        yield server


@pytest.fixture(scope="session")
def caddy(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[WebServer]:
    """A Caddy for the whole session."""
    with caddy_server(tmp_path_factory.mktemp("caddy"), served) as server:
        yield server


@pytest.fixture(scope="session")
def lighttpd(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[WebServer]:
    """A lighttpd for the whole session."""
    with lighttpd_server(tmp_path_factory.mktemp("lighttpd"), served) as server:
        yield server


@pytest.fixture(scope="session")
def python_http(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[WebServer]:
    """Python's own http.server for the whole session."""
    with python_server(tmp_path_factory.mktemp("python_http"), served) as server:
        yield server


@pytest.fixture
def bucket() -> str:
    """A bucket name that no other test uses; the bucket is not made."""
    return f"bucket-{os.getpid()}-{next(_NUMBERS)}"


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str], Proxy]]:
    """Make a counting, faulty proxy before an endpoint: `proxy_to(server.endpoint)`."""
    with ExitStack() as proxies:
        yield lambda upstream: proxies.enter_context(faulty_proxy(upstream))
