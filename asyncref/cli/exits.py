"""Exit codes, and the one line that an error becomes."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Final

from asyncref.cli.printable import printable
from asyncref.errors import AsyncrefError

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
DIFFERENT: Final = 3
INCOMPLETE: Final = 4
INTERRUPTED: Final = 130

_OPTION: Final = "--storage-option"
# What messages say of the Python face, in the words of the command line. An argument's name counts only at a word's
# begin, lest a part of a key such as `/at=3/` is taken for one.
_FLAGS: Final = tuple(
    (re.compile(rf"(?<![\w/?&.-]){pattern}"), flag)
    for pattern, flag in (
        ("allow_missing_references=True", "--allow-missing"),
        ("allow_partial=True", "--allow-partial"),
        ("anon=True", "--anon"),
        ("bad_keys='skip'", "--bad-keys skip"),
        ("checksum='never'", "--checksum never"),
        ("checksum=False", "--no-checksum"),
        ("escape=True", "--escape"),
        ("overwrite=True", "--overwrite"),
        (r"mounts=\{'/there': '/here'\}", "ASYNCREF_MOUNTS=/there=/here"),
        (r"max_objects\b(?!=)", "--max-objects"),
        (r"(at|against|include|registry)=(?=\s|$)", r"--\1"),
        (r"(at|against)=(?=')", r"--\1 "),
        (r"max_objects=(?=\d)", "--max-objects "),
        (
            r"storage_options=\{'requester_pays': True, 'project': \.\.\.\}",
            "--storage-option requester_pays=true --storage-option project=...",
        ),
        (
            "storage_options: username and password, token, or headers",
            f"{_OPTION} username=... {_OPTION} password=..., or {_OPTION} token=...",
        ),
        ("storage_options: verify names", f"{_OPTION} verify=FILE names"),
        ("storage_options folder_repeats,", f"{_OPTION} folder_repeats=N,"),
        (r"storage_options \(([\w, ]+)\)", rf"{_OPTION} (\1)"),
        (r"(account_key|account_name|connection_string|project|sas_token|token)=(?=[\s,]|$)", rf"{_OPTION} \1=..."),
        (r"token='(\w+)'", rf"{_OPTION} token=\1"),
    )
)


def line_and_code(error: Exception) -> tuple[str, int]:
    """The line for stderr (a group's help where no command was named) and the exit code of an error that ended a command.

    An unexpected one says how to report it; with `-v` its traceback comes first.
    """
    known = [one for one in _leaves(error) if isinstance(one, AsyncrefError)]
    if known:
        more = f" (and {len(known) - 1} more)" if len(known) > 1 else ""
        return _line(f"{known[0]}{more}"), known[0].exit_code
    if type(error).__name__ == "NoArgsIsHelpError":  # a group alone; what it says is its help, of many lines
        return str(error.format_message()).rstrip("\n"), USAGE  # type: ignore[attr-defined]
    if hasattr(error, "format_message"):  # typer's own; the class's place differs between its versions
        return _line(_usage(error)), int(getattr(error, "exit_code", USAGE))
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return _line(f"{where}{error.strerror}"), ERROR
    if logging.getLogger("asyncref").isEnabledFor(logging.INFO):
        traceback.print_exception(error)
    name = type(error).__name__
    return _line(f"unexpected {name}: {error}; a bug: report this line, the command run again with -v says more"), ERROR


def in_flags(text: str) -> str:
    """A message with the names of options where it names arguments of the Python face."""
    for pattern, flag in _FLAGS:
        text = pattern.sub(flag, text)
    return text


def silence_stdout() -> None:
    """Send what is left to nowhere: the reader of the pipe (`| head`) has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(text: str) -> str:
    return f"asyncref: error: {printable(in_flags(text))}"


def _usage(error: Exception) -> str:
    message = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message}; see {context.command_path} --help" if context is not None else message


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
