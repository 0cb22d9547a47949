"""The command line's frame: overview, start-up, errors as one line, tables, JSON, the display's words."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from asyncref.cli.exits import line_and_code
from asyncref.cli.loading import COMMANDS, load
from asyncref.cli.output import emit_json_rows, table
from asyncref.cli.printable import printable
from asyncref.display import human_bytes, share, summary
from asyncref.engine.flow import Meter
from asyncref.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    Failure,
    FetchError,
    InvalidURIError,
    PathConflictError,
)

_HEAVY = ("pyarrow", "aiohttp", "aiobotocore", "sqlalchemy", "numpy")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_overview_loads_neither_the_engine_nor_the_registry(arguments: list[str]) -> None:
    done = _python(
        f"import sys; from asyncref.cli import main; code = main({arguments!r}); "
        f"print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


@pytest.mark.parametrize("name", [row.name for row in COMMANDS if not row.hidden])
def test_a_commands_own_help_says_what_the_overview_says(name: str) -> None:
    summary_line = next(row.help for row in COMMANDS if row.name == name)
    assert load(name).help.split("\n")[0] == summary_line


def test_a_typo_is_a_usage_error_with_a_suggestion() -> None:
    done = subprocess.run([sys.executable, "-m", "asyncref", "scann"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "asyncref: error: No such command 'scann'. Did you mean 'scan'?; see asyncref --help\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidURIError("no scheme", uri="a/b", hint="use file://"), 2, "a/b: no scheme; use file://"),
        (
            AccessDeniedError("denied", uri="s3://b", code="AccessDenied", request_id="R1"),
            1,
            "(AccessDenied, request R1)",
        ),
        (ConnectionFailedError("nothing answers", uri="http://x"), 1, "http://x: nothing answers"),
        (FetchError("1 entry failed", failures=(Failure("a", "s3://b/a", ValueError("gone")),)), 4, "a: gone"),
        (PathConflictError("file and folder"), 1, "file and folder"),
        (OSError(errno.ENOSPC, "No space left on device", "m.parquet"), 1, "m.parquet: No space left on device"),
        (ExceptionGroup("two", [InvalidURIError("one"), InvalidURIError("other")]), 2, "one (and 1 more)"),
        (KeyError("x"), 1, "unexpected KeyError: 'x'; a bug"),
    ],
)
def test_every_error_is_one_line_with_its_exit_code(error: Exception, code: int, words: str) -> None:
    line, found = line_and_code(error)
    assert found == code
    assert line.startswith("asyncref: error: ")
    assert words in line
    assert "\n" not in line


def test_a_key_cannot_steer_the_terminal() -> None:
    assert printable("é 🙂 a\x1b[2Jb\nc\udc80") == "é 🙂 a\\x1b[2Jb\\nc\\udc80"
    line, _ = line_and_code(InvalidURIError("bad", uri="s3://b/\x1b]0;x\x07"))
    assert line.isprintable()


def test_columns_are_as_wide_as_their_longest_value() -> None:
    rows = [["a", 1], ["long name", None], ["t", datetime(2025, 3, 1, tzinfo=UTC)]]
    assert list(table(["name", ">size"], rows)) == [
        "NAME                       SIZE",
        "a                             1",
        "long name                     -",
        "t          2025-03-01 00:00:00Z",
    ]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (999_999, "1 MB"),
        (5e18, "5 EB"),
    ],
)
def test_sizes_have_three_digits_and_a_decimal_unit(count: float | None, shown: str) -> None:
    assert human_bytes(count) == shown


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_long_list_is_one_json_document_with_one_row_a_line(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    emit_json_rows("asyncref.ls/1", {"identity": "x"}, "entries", ({"path": f"p{index}"} for index in range(count)))
    text = capsys.readouterr().out
    assert json.loads(text) == {
        "schema": "asyncref.ls/1",
        "identity": "x",
        "entries": [{"path": f"p{index}"} for index in range(count)],
    }
    assert len(text.splitlines()) == count + 2


def test_the_display_says_what_is_done_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncref.engine.flow.progress.time.monotonic", lambda: 10.0)
    meter = Meter(
        "fetch", objects=500, objects_total=1000, bytes=2_000_000, bytes_total=8_000_000, retries=3, started_s=0
    )
    meter.requests["get"] = 700
    assert share(meter) == 0.25
    assert summary(meter) == "fetch 500/1,000  50/s  700 requests  2 MB  0:10  3 retries  ETA 0:30"
    assert "ETA" not in summary(Meter("scan", objects=7, started_s=0))
