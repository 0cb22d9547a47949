"""What somebody new types first, and what the command line says to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

Fill = Callable[..., str]


@pytest.mark.parametrize("arguments", [[], ["registry"]])
def test_a_group_alone_shows_its_help(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments, code=2)
    assert done.stdout == ""
    assert done.stderr == cli(*arguments, "--help").stdout


def test_a_fetch_that_failed_in_part_says_what_it_did(cli: Cli, tree: Path) -> None:
    cli("scan", f"file://{tree}", "-o", "m.parquet")
    (tree / "a.txt").unlink()
    done = cli("fetch", "m.parquet", "copy", code=4)
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["folder"] == str(cli.folder / "copy")
    assert said["fetched"].startswith("2 objects")
    assert said["failed"] == "1"
    assert "a.txt" in done.stderr


def test_log_and_show_say_what_was_left_out(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({"data/a": b"x", "data/../b": b"y"})
    uri = f"s3://{bucket}/data"
    for done in (s3_cli("log", "nasty", uri, "--bad-keys", "skip"), s3_cli("show", "nasty")):
        said = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
        assert {"left out", "rows", "complete"} <= said.keys()
        assert said["complete"].endswith("yes")
        assert "1 page, 1 range:" in said["rows"]
