"""What somebody new types first, and what the command line says to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncref.backends.azure import settings as azure_settings
from asyncref.backends.azure import tokens as azure_tokens
from asyncref.backends.gcs import answers as google
from asyncref.backends.gcs import tokens as google_tokens
from asyncref.backends.http import access as web_access
from asyncref.backends.http import answers as web
from asyncref.cli.exits import in_flags
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


@pytest.mark.parametrize("form", ["{folder}/r.db", "r.db", "~/r.db", "sqlite:///r.db", "sqlite:///{folder}/r.db"])
def test_a_registry_is_named_by_a_path_or_a_url(cli: Cli, tree: Path, form: str) -> None:
    named = form.format(folder=cli.folder)
    there = cli.having(ASYNCREF_REGISTRY=named, HOME=str(cli.folder))
    there("log", "docs", f"file://{tree}")
    whole = f"sqlite:///{cli.folder}/r.db"
    assert there.json("registry", "show")["registry"] == whole
    assert f"registry   {whole} " in there("config").stdout
    assert "docs:v0" in cli.having(HOME=str(cli.folder))("versions", "docs", "--registry", named).stdout


def test_a_registry_that_is_neither_is_named_by_its_option_or_variable(cli: Cli) -> None:
    assert "--registry is neither" in cli.refused("artifacts", "--registry", "mysql://host/db", code=2)
    line = cli.having(ASYNCREF_REGISTRY="http://host").refused("ls", "docs", code=2)
    assert "ASYNCREF_REGISTRY is neither" in line
    assert "sqlite:////" in line
    assert "the path of a file" in line


def test_looking_into_a_registry_that_is_not_there_makes_none(cli: Cli, tmp_path: Path) -> None:
    there = cli.having(ASYNCREF_REGISTRY=f"{tmp_path}/new/r.db")
    for command in ("versions", "show", "ls", "lineage", "verify", "fetch"):
        line = there.refused(command, "docs", *(["."] if command in {"verify", "fetch"} else []))
        assert f"{tmp_path}/new/r.db" in line
        assert "not there yet" in line
    done = there("artifacts")
    assert f"{tmp_path}/new/r.db is not there yet" in done.stderr
    assert there.json("registry", "show")["versions"] == 0
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("closed", ["file", "folder too"])
def test_a_registry_that_this_user_may_not_write_can_be_read(cli: Cli, tree: Path, tmp_path: Path, closed: str) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    there = cli.having(ASYNCREF_REGISTRY=f"{folder}/r.db")
    there("log", "docs", f"file://{tree}")
    (folder / "r.db").chmod(0o444)
    if closed == "folder too":
        folder.chmod(0o555)
    obey = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if obey and shutil.which("setpriv") is None:
        pytest.skip("no setpriv here (util-linux), and root may write everywhere")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*obey, sys.executable, "-m", "asyncref", *arguments]
        return subprocess.run(
            command, cwd=there.folder, env=there.environment, check=False, capture_output=True, text=True
        )

    for command in (["artifacts"], ["versions", "docs"], ["show", "docs"], ["ls", "docs:v0"], ["fetch", "docs", "out"]):
        done = run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
    (tree / "a.txt").write_bytes(b"new")
    refused = run("log", "docs", f"file://{tree}")
    assert refused.returncode == 1
    assert "readonly" in refused.stderr or "unable to open" in refused.stderr
    folder.chmod(0o755)


def test_a_reader_that_has_seen_enough_is_no_error(cli: Cli, tree: Path) -> None:
    for number in range(3000):
        (tree / f"{number:0100d}").touch()
    cli("scan", f"file://{tree}", "-o", "m.parquet")
    running = cli.start("ls", "m.parquet")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline()
    running.stdout.close()
    assert (running.wait(60), running.stderr.read()) == (0, "")
    running.stderr.close()


def test_a_target_that_is_a_file_is_one_error_and_no_entrys(cli: Cli, tree: Path) -> None:
    (cli.folder / "out").touch()
    line = cli.refused("fetch", f"file://{tree}", "out")
    assert "out is a file; nothing was written" in line
    assert "a.txt" not in line
    assert "--escape" not in line
    (cli.folder / "folder/a.txt").mkdir(parents=True)
    assert "--escape" not in cli.refused("fetch", f"file://{tree}", "folder")


def test_verify_asks_how_the_folder_was_fetched(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({"data/x": b"x", "data/x/y": b"y"})
    s3_cli("scan", f"s3://{bucket}/data", "-o", "m.parquet")
    assert "--escape writes them" in s3_cli.refused("fetch", "m.parquet", "out")
    s3_cli("fetch", "m.parquet", "out", "--escape")
    line = s3_cli.refused("verify", "m.parquet", "out")
    assert "verify what it wrote with --escape" in line
    assert "nothing was written" not in line
    s3_cli("verify", "m.parquet", "out", "--escape")


def test_verify_leaves_with_4_where_nothing_differs_and_nothing_proves_some_content(cli: Cli, tree: Path) -> None:
    cli("scan", f"file://{tree}/", "--no-checksum", "-o", "names.parquet")
    found = cli.json("verify", "names.parquet", str(tree), code=4)
    assert (found["ok"], found["complete"]) == (True, False)
    assert found["counts"] == {"right": 0, "unchecked-content": 3}
    (tree / "a.txt").write_bytes(b"longer")
    found = cli.json("verify", "names.parquet", str(tree), code=3)
    assert (found["ok"], found["complete"]) == (False, False)
    cli("scan", f"file://{tree}/", "-o", "content.parquet")
    found = cli.json("verify", "content.parquet", str(tree))
    assert (found["ok"], found["complete"]) == (True, True)
    said = " ".join(cli("verify", "--help").stdout.split())
    assert "Leaves with 3 if anything differs" in said
    assert "with 4 if nothing does, but no checksum is known of some content" in said


def test_a_target_that_can_be_no_folder_is_an_error_and_not_half_a_fetch(cli: Cli, tree: Path) -> None:
    line = cli.refused("fetch", f"file://{tree}", "/proc/none/here")
    assert "cannot write to /proc/none/here" in line
    assert "make room" not in line


def test_audit_counts_its_findings_by_severity(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({"data/a": b"x"})
    s3_cli("scan", f"s3://{bucket}/data", "-o", "m.parquet")
    *findings, last = s3_cli("audit", "m.parquet").stdout.splitlines()
    infos = sum(line.startswith("info ") for line in findings)
    assert last == f"1 entry: {f'{infos} info' if infos else 'nothing found'}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch", "file:///", "out", "--cache-links"], "--cache-links needs --cache"),
        (["scan", "file:///", "--estimate", "-o", "m.parquet"], "--estimate makes no manifest"),
        (["scan", "file:///", "-o", "m.csv"], "ends in .parquet"),
        (["scan", "s3:/bucket/data"], "a slash is missing after the scheme; write s3://"),
        (["versions", "docs:v0"], "give the name alone"),
        (["scan", "file:///", "--at", "yesterday"], "--at 'yesterday' is no time"),
        (["scan", "file:///", "--against", "s3://b/x"], "--against 's3://b/x' is a URI"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_their_own_words(
    cli: Cli, arguments: list[str], words: str
) -> None:
    assert words in cli.refused(*arguments, code=2)
    assert list(cli.folder.iterdir()) == []


def test_no_message_speaks_python(cli: Cli, tree: Path) -> None:
    cli("scan", f"file://{tree}", "-o", "m.parquet")
    assert "more than --max-objects 2 objects" in cli.refused("scan", f"file://{tree}", "--max-objects", "2")
    assert "raise --max-objects" in cli.refused("scan", f"file://{tree}", "--max-objects", "2")
    (cli.folder / "out").mkdir()
    (cli.folder / "out/a.txt").write_bytes(b"!")
    failed = cli.json("fetch", "m.parquet", "out", code=4)
    assert "--overwrite replaces it" in failed["message"]
    assert "--overwrite replaces it" in failed["failures"][0]["message"]
    tree.rename(tree.with_name("elsewhere"))
    lost = cli.refused("fetch", "m.parquet", "new")
    assert "ASYNCREF_MOUNTS=/there=/here" in lost
    assert "mounts=" not in lost


def test_a_key_that_looks_like_an_argument_is_left_alone() -> None:
    for text in ("s3://b/at=3/x", "s3://b/max_objects=3", "s3://b/my-registry= is", "https://h/?at=1"):
        assert in_flags(text) == text


def test_hints_on_credentials_are_in_the_words_of_the_command_line() -> None:
    """As the backends word them: read from their modules, so that a hint that is worded anew is looked at again."""
    hints = (
        azure_tokens._HINT,
        azure_settings._HINT,
        google._PAYS,
        google._LOG_IN,
        google_tokens._HINT,
        web._LOG_IN,
        web_access._VERIFY,
    )
    for hint in hints:
        said = in_flags(hint)
        rest = re.sub(r"--storage-option \w+=\S+|AZURE_\w+|GOOGLE_\w+", "", said)
        assert not re.search(r"\w=|storage_options|anon=", rest), said
    assert in_flags(azure_settings._HINT).startswith(
        "give --storage-option account_name=..., set AZURE_STORAGE_ACCOUNT"
    )
    assert "--storage-option requester_pays=true --storage-option project=..." in in_flags(google._PAYS)
    assert "--storage-option sas_token=..., " in in_flags(azure_tokens._HINT)
    assert in_flags("use token='google_default'") == "use --storage-option token=google_default"
    assert in_flags("from storage_options (key, secret)") == "from --storage-option (key, secret)"
    assert in_flags("gs://b/token=/project=1") == "gs://b/token=/project=1"


def test_doctor_speaks_of_flags_and_tries_nothing_on_nothing(cli: Cli, tree: Path) -> None:
    (tree / "empty").mkdir()
    said = cli("doctor", f"file://{tree}/empty/").stdout
    assert said.count("nothing is there to try it on") == 2
    lost = cli("doctor", f"file://{tree}/none", code=1).stdout
    assert "ASYNCREF_MOUNTS=/there=/here" in lost
    assert "mounts=" not in lost


def test_a_glob_in_a_uri_and_an_empty_prefix_are_called_so(s3_cli: Cli, filled: Fill) -> None:
    bucket = filled({"data/a.png": b"x"})
    assert "globs go into --include" in s3_cli.refused("scan", f"s3://{bucket}/*.png")
    assert "--include" not in s3_cli.refused("scan", f"s3://{bucket}/none")
    said = s3_cli("doctor", f"s3://{bucket}/none").stdout
    assert "nothing lies under this prefix" in said
    assert "failed" not in said
    assert "skipped stat: nothing is there to try it on" in said
