"""The command line: parse, run, and turn what went wrong into one line and an exit code."""

from __future__ import annotations

import sys

import typer

from asyncref.cli.exits import INTERRUPTED, OK, line_and_code, silence_stdout
from asyncref.cli.loading import build
from asyncref.process import settle

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; the entry point of `asyncref` and of `python -m asyncref`.

    Args:
        argv: Arguments without the program's name; the process's own if None.

    Returns:
        The exit code, as `asyncref.cli.exits` lists them.
    """
    settle()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a key may hold what the terminal's encoding cannot
    try:
        code = build().main(args=argv, prog_name="asyncref", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
        return OK
    except SystemExit as end:  # what typer makes of a broken pipe, in silence and with 1
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        silence_stdout()
        return OK
    except (KeyboardInterrupt, typer.Abort):  # older typer raises Abort, newer returns 130
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the one place where an error becomes a line
        line, code = line_and_code(error)
        print(line, file=sys.stderr)  # noqa: T201
    if code == INTERRUPTED:
        print("asyncref: interrupted", file=sys.stderr)  # noqa: T201
    return code if isinstance(code, int) else OK
