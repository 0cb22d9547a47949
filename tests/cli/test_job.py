"""The main job by the command line: every command, its table, its JSON and its exit code."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.servers import S3Server

Fill = Callable[..., str]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def test_a_file_tree_goes_the_whole_way(cli: Cli, tree: Path) -> None:
    uri = f"file://{tree}"
    before = _files(tree)
    logged = cli.json("log", "docs", uri, "--alias", "best", "--type", "text", "--description", "first")
    assert logged["schema"] == "asyncref.log/1"
    assert (logged["version"]["name"], logged["version"]["outcome"]) == ("docs:v0", "new")
    assert logged["version"]["aliases"] == ["latest", "best"]
    assert logged["manifest"]["objects"] == 3
    again = cli("log", "docs", uri, "--type", "text")
    assert "nothing changed: no new version" in again.stdout

    listed = cli.json("ls", "docs", "sub/")
    assert listed["schema"] == "asyncref.ls/1"
    assert [(one["path"], one["size"]) for one in listed["entries"]] == [("sub/b.txt", 2), ("sub/c.bin", 3000)]
    assert cli("ls", "docs:best", "--paths", "--include", "*.txt").stdout == "a.txt\nsub/b.txt\n"
    assert cli("fetch", "docs:v0", "copy").stdout.startswith("folder")
    assert _files(cli.folder / "copy") == before
    assert cli.json("verify", "docs:v0", "copy")["schema"] == "asyncref.verify/1"

    (tree / "a.txt").write_bytes(b"A")
    (tree / "sub/b.txt").unlink()
    (tree / "new.txt").write_bytes(b"new")
    found = cli.json("status", "docs:v0")
    assert found["schema"] == "asyncref.status/1"
    assert found["counts"] == {"unchanged": 1, "changed": 1, "newer_version": 0, "gone": 1, "new": 1}
    cli("status", "docs:v0", "--exit-code", code=3)
    assert cli.json("log", "docs", uri, "--type", "text")["version"]["version"] == "v1"

    differences = cli("diff", "docs:v0", "docs").stdout.splitlines()
    assert [line.split()[:2] for line in differences[:3]] == [["~", "a.txt"], ["+", "new.txt"], ["-", "sub/b.txt"]]
    document = cli.json("diff", "docs:v0", "docs:v1", "--exit-code", code=3)
    assert document["schema"] == "asyncref.diff/1"
    assert document["counts"] == {"added": 1, "removed": 1, "changed": 1, "version_only": 0, "unchanged": 1}
    cli("diff", "docs:v1", uri, "--exit-code")
    (cli.folder / "copy/a.txt").write_bytes(b"!")
    cli("verify", "docs:v0", "copy", code=3)

    assert [one["version"] for one in cli.json("versions", "docs")["versions"]] == ["v1", "v0"]
    artifact = cli.json("artifacts")["artifacts"][0]
    assert (artifact["newest"]["name"], artifact["versions"]) == ("docs:v1", 2)
    shown = cli.json("show", "docs:best")
    assert (shown["version"]["description"], shown["manifest"]["objects"]) == ("first", 3)
    assert cli.json("lineage", "docs:v1")["made_by"][0]["job_type"] == "asyncref log"
    for command in (["artifacts"], ["versions", "docs"], ["show", "docs"], ["lineage", "docs"], ["registry", "show"]):
        assert "docs" in cli(*command).stdout or command[0] == "registry"


def test_a_versioned_bucket_gives_its_old_bytes_back(s3_cli: Cli, filled: Fill, moto: S3Server) -> None:
    objects = {"mnist/a": b"one", "mnist/b": b"two", "mnist/sub/c": b"", "mnist2/x": b"no"}
    bucket = filled(objects)
    uri = f"s3://{bucket}/mnist"
    scanned = s3_cli.json("scan", uri, "-o", "m.parquet")
    assert scanned["schema"] == "asyncref.scan/1"
    assert (scanned["objects"], scanned["bytes"], scanned["file"]) == (3, 6, "m.parquet")
    assert "stat" not in scanned["record"]["requests"]
    assert s3_cli.json("log", "mnist", "m.parquet")["manifest"]["identity"] == scanned["identity"]

    client = moto.client()
    client.put_object(Bucket=bucket, Key="mnist/a", Body=b"ONE")
    client.delete_object(Bucket=bucket, Key="mnist/b")
    s3_cli("diff", "m.parquet", uri, "--exit-code", code=3)
    s3_cli("download", "mnist")
    assert _files(s3_cli.folder / "artifacts/mnist:v0") == {"a": b"one", "b": b"two", "sub/c": b""}
    assert "requests" in s3_cli("show", "m.parquet").stdout
    assert s3_cli.json("doctor", uri)["ok"] is True


def test_an_overwritten_object_without_versions_is_named_and_the_exit_code_is_4(
    s3_cli: Cli, filled: Fill, moto: S3Server
) -> None:
    bucket = filled({"data/a": b"one", "data/b": b"two"}, versioned=False)
    s3_cli("log", "data", f"s3://{bucket}/data")
    moto.client().put_object(Bucket=bucket, Key="data/a", Body=b"ONE")
    done = s3_cli("fetch", "data:v0", code=4)
    assert "artifacts/data:v0.incomplete" in done.stdout.splitlines()[0]
    (line,) = done.stderr.splitlines()
    assert "1 of 2" in line
    assert "a: s3://" in line
    assert "--allow-missing" in line
    document = s3_cli.json("fetch", "data:v0", code=4)
    assert [one["path"] for one in document["failures"]] == ["a"]
    assert not (s3_cli.folder / "artifacts/data:v0").exists()
    assert s3_cli.json("fetch", "data:v0", "--allow-missing")["missing"] == ["a"]


def test_every_failed_entry_is_named_however_many_there_are(cli: Cli, tree: Path) -> None:
    for index in range(10):
        (tree / f"{index}.txt").write_text("before")
    cli("scan", f"file://{tree}", "-o", "m.parquet")
    for index in range(10):
        (tree / f"{index}.txt").write_text("AFTER!")
    done = cli("fetch", "m.parquet", "copy", code=4)
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("failed  ")] == [
        *(f"{index}.txt:" for index in range(10)),
        "10",
    ]
    assert len(done.stderr.splitlines()) == 1


def test_options_reach_the_scan(s3_cli: Cli, filled: Fill, moto: S3Server) -> None:
    bucket = filled({f"p/{index}.{kind}": b"x" for index in range(3) for kind in ("jpg", "txt")})
    bare = s3_cli.having(AWS_ENDPOINT_URL=None, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    account = [f"--storage-option={name}={value}" for name, value in moto.storage_options.items() if "url" not in name]
    options = ["--include", "*.jpg", "--exclude", "1.*", "--name", "images", "--concurrency", "2"]
    scanned = bare.json(
        "scan", f"s3://{bucket}/p/", "--endpoint-url", moto.endpoint, *account, *options, "-o", "m.parquet"
    )
    assert scanned["objects"] == 2
    assert cli_paths(bare, "m.parquet") == ["images/0.jpg", "images/2.jpg"]
    compared = bare.json("status", "m.parquet", *account)  # endpoint and globs stand in the manifest
    assert compared["counts"] == {"unchanged": 2, "changed": 0, "newer_version": 0, "gone": 0, "new": 0}
    assert "max" in bare.refused(
        "scan", f"s3://{bucket}/p/", "--endpoint-url", moto.endpoint, *account, "--max-objects=2"
    )


def cli_paths(cli: Cli, source: str) -> list[str]:
    return cli("ls", source, "--paths").stdout.splitlines()


def test_projects_and_entities_keep_names_apart(cli: Cli, tree: Path) -> None:
    for project in ("one", "two"):
        cli("log", "docs", f"file://{tree}", "--project", project, "--entity", "team")
    assert len(cli.json("artifacts", "--project", "one")["artifacts"]) == 1
    assert cli.json("show", "team/two/docs:v0")["version"]["qualified"] == "team/two/docs:v0"
    assert cli_paths(cli.having(WANDB_PROJECT="one", WANDB_ENTITY="team"), "docs")
    assert cli("ls", "docs", "--project", "two", "--entity", "team", "--paths").stdout.count("\n") == 3
    cli.refused("ls", "docs", "--project", "three")


def test_config_says_where_each_setting_came_from(cli: Cli) -> None:
    document = cli.having(WANDB_PROJECT="mine").json("config")
    settings = {one["name"]: one for one in document["settings"]}
    assert settings["project"]["value"] == "mine"
    assert settings["project"]["origin"] == "environment WANDB_PROJECT"
    assert settings["registry"]["origin"] == "environment ASYNCREF_REGISTRY"
    assert "environment ASYNCREF_REGISTRY" in cli("config").stdout


def test_log_lines_go_to_stderr_in_the_asked_form(cli: Cli, tree: Path) -> None:
    done = cli("scan", f"file://{tree}", "-vv", "--log-format", "json", "--json")
    assert done.stdout.startswith("{")
    assert all(line.startswith('{"time":') for line in done.stderr.splitlines())


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--no-progress"], False)])
def test_the_display_is_for_a_terminal_on_stderr(cli: Cli, tree: Path, options: list[str], shown: bool) -> None:
    terminal, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "asyncref", "scan", f"file://{tree}", "--json", *options],
        cwd=cli.folder,
        env=cli.environment | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    said = _read_all(terminal)
    assert (b"scan 3" in said, b"\x1b[" in said) == (shown, shown)
    assert done.stdout.startswith(b"{")


def _read_all(terminal: int) -> bytes:
    said = b""
    try:
        while chunk := os.read(terminal, 65536):
            said += chunk
    except OSError:  # how Linux ends a terminal whose other side is closed
        pass
    os.close(terminal)
    return said


def test_a_reader_that_leaves_early_is_no_error(cli: Cli, tree: Path) -> None:
    for index in range(3000):
        (tree / f"{index:05}-{'x' * 60}").touch()
    command = f"{sys.executable} -m asyncref ls file://{tree} | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=cli.folder, env=cli.environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.endswith(f"00000-{'x' * 60}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_of_artifacts_are_completed(cli: Cli, tree: Path, shell: str) -> None:
    cli("log", "mnist", f"file://{tree}")
    asked = {
        "_ASYNCREF_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "asyncref ls mn",
        "COMP_WORDS": "asyncref ls mn",
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert "mnist" in cli.having(**asked)().stdout


def test_completing_makes_no_registry(cli: Cli) -> None:
    asked = {"_ASYNCREF_COMPLETE": "complete_bash", "COMP_WORDS": "asyncref ls m", "COMP_CWORD": "2"}
    cli.having(**asked)()
    assert not Path(cli.environment["ASYNCREF_REGISTRY"].removeprefix("sqlite:///")).exists()
