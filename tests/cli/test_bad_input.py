"""Bad input: each is one line with the right exit code, and leaves nothing half-done."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.servers import S3Server, free_ports

Fill = Callable[..., str]
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message><RequestId>REQ7</RequestId></Error>"


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-request-id", "REQ7")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  http.server's name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def account(cli: Cli) -> Cli:
    """The runner with some credentials."""
    return cli.having(AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="us-east-1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scan", "s3://"], "no bucket"),
        (["scan", "file://relative/path"], "absolute path"),
        (["scan", "datasets/mnist"], "for a local path use file://"),
        (["scan", "ftp://host/x"], "a package adds one by the entry-point group asyncref.backends"),
        (["scan", "s3://b/k?X-Amz-Signature=1"], "signed URL"),
        (["scan", "s3://b", "--storage-option", "region"], "KEY=VALUE"),
        (["scan", "s3://b", "--storage-option", "colour=red"], "colour"),
        (["scan", "file:///", "-o", "missing/m.parquet"], "does not exist"),
        (["log", "a b", "file:///"], "no artifact name"),
        (["log", "mnist:v3", "file:///"], "log makes the version itself"),
        (["log", "mnist", "file:///", "--alias", "v3"], "reserved"),
        (["ls", "a/b/c/d"], "no artifact name"),
        (["ls", "mnist:"], "colon"),
        (["fetch"], "Missing argument"),
        (["scan", "file:///", "--bad-keys", "maybe"], "maybe"),
        (["diff", "a"], "Missing argument"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in cli.refused(*arguments, code=2)


def test_a_bucket_that_is_not_there_is_named(s3_cli: Cli, bucket: str) -> None:
    line = s3_cli.refused("scan", f"s3://{bucket}/data")
    assert bucket in line
    assert "NoSuchBucket" in line


def test_a_prefix_with_nothing_under_it_is_an_error_and_no_file_is_left(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({"other/x": b"x"})
    assert f"s3://{bucket}/data" in s3_cli.refused("scan", f"s3://{bucket}/data", "-o", "m.parquet")
    assert list(s3_cli.folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(cli: Cli, tmp_path: Path) -> None:
    assert f"{tmp_path}/none" in cli.refused("scan", f"file://{tmp_path}/none")


def test_denied_is_never_called_missing(account: Cli) -> None:
    with _answering(403, _DENIED) as endpoint:
        line = account.refused("scan", "s3://secret/data", "--endpoint-url", endpoint)
    assert "s3://secret" in line
    assert "denied" in line.lower()
    assert "REQ7" in line
    assert "missing" not in line.lower()


def test_without_credentials_the_line_says_so(cli: Cli, moto: S3Server) -> None:
    line = cli.having(AWS_DEFAULT_REGION="us-east-1").refused("scan", "s3://any/data", "--endpoint-url", moto.endpoint)
    assert "s3://any" in line
    assert "credentials" in line


def test_an_endpoint_that_is_down_is_named(account: Cli) -> None:
    [port] = free_ports(1)
    assert f"127.0.0.1:{port}" in account.refused("scan", "s3://any/x", "--endpoint-url", f"http://127.0.0.1:{port}")


def test_a_proxy_that_is_down_is_named(account: Cli) -> None:
    [port] = free_ports(1)
    behind = account.having(HTTP_PROXY=f"http://127.0.0.1:{port}", http_proxy=f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in behind.refused("scan", "s3://any/x", "--endpoint-url", "http://storage.invalid")


def test_a_registry_that_cannot_be_written_is_named_before_anything_is_scanned(cli: Cli, tree: Path) -> None:
    (cli.folder / "file").touch()
    elsewhere = cli.having(ASYNCREF_REGISTRY=f"sqlite:///{cli.folder}/file/registry.db")
    assert f"{cli.folder}/file" in elsewhere.refused("log", "docs", f"file://{tree}")


def test_a_registry_from_a_newer_version_is_refused(cli: Cli, tree: Path) -> None:
    cli("log", "docs", f"file://{tree}")
    with sqlite3.connect(cli.environment["ASYNCREF_REGISTRY"].removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE schema_version SET version = 999")
    connection.close()
    for command in (["ls", "docs"], ["log", "docs", f"file://{tree}"], ["artifacts"]):
        assert "999" in cli.refused(*command)


def test_an_unknown_artifact_version_or_alias_lists_what_exists(cli: Cli, tree: Path) -> None:
    cli("log", "docs", f"file://{tree}", "--alias", "best")
    assert "docs" in cli.refused("ls", "dogs")
    assert "v0" in cli.refused("ls", "docs:v7")
    assert "best" in cli.refused("fetch", "docs:worst")
    assert not (cli.folder / "artifacts").exists()


def test_a_file_that_is_no_manifest_is_named(cli: Cli) -> None:
    (cli.folder / "m.parquet").write_bytes(b"PAR1 or not")
    assert "m.parquet" in cli.refused("ls", "m.parquet")
    assert "none.parquet" in cli.refused("ls", "none.parquet")


def _small_files() -> None:
    # Stands for a full disk: writes past the limit fail in mid-file (EFBIG) without needing a mount.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_full_disk_ends_a_fetch_with_nothing_under_the_final_name(cli: Cli, tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(300_000))
    cli("scan", f"file://{tree}", "-o", "m.parquet")
    done = cli("fetch", "m.parquet", "copy", code=4, preexec_fn=_small_files)
    assert len(done.stderr.splitlines()) == 1
    assert "large" in done.stderr
    assert not (cli.folder / "copy/large").exists()
    assert not [one for one in (cli.folder / "copy").rglob("*") if one.is_file() and one.stat().st_size == 100_000]


def test_a_full_disk_ends_a_scan_without_a_file(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(3000):
        (folder / f"{os.urandom(40).hex()}-{index}").touch()
    cli.refused("scan", f"file://{folder}", "-o", "m.parquet", preexec_fn=_small_files)
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize("command", [["scan", "s3://any/x", "-o", "m.parquet"], ["log", "mnist", "s3://any/x"]])
def test_ctrl_c_leaves_with_130_and_nothing_behind(account: Cli, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = account.start(*command, "--endpoint-url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)  # the request is on its way: the command waits for an answer that never comes
            running.send_signal(signal.SIGINT)
            output, errors = running.communicate(timeout=60)
    assert (running.returncode, output, errors) == (130, "", "asyncref: interrupted\n")
    assert list(account.folder.iterdir()) == []


def test_ctrl_c_in_a_fetch_leaves_no_folder_under_the_final_name(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({f"data/{index}": b"x" * 1000 for index in range(5)})
    s3_cli("log", "data", f"s3://{bucket}/data")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = s3_cli.start("fetch", "data", "--endpoint-url", address)
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "asyncref: interrupted\n")
    assert not (s3_cli.folder / "artifacts/data:v0").exists()
