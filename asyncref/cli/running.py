"""Running a command's coroutine: the loop, Ctrl-C, log lines, the display."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import orjson

from asyncref.cli.exits import in_flags
from asyncref.cli.options import LogFormat, Output
from asyncref.cli.printable import printable
from asyncref.display import display, summary
from asyncref.engine.flow import Meter, ProgressHook

T = TypeVar("T")
_log = logging.getLogger("asyncref.cli")


def run(output: Output, start: Callable[[ProgressHook], Coroutine[Any, Any, T]]) -> T:
    """Run a verb to its end with a display on stderr.

    Ctrl-C cancels the coroutine, which cleans up; `KeyboardInterrupt` is raised afterwards. What the run noted
    is printed on stderr at its end.

    Args:
        output: Whether to show a display and log lines.
        start: Makes the coroutine, given the hook to call with its meter.
    """
    configure(output)
    meters: list[Meter] = []
    shown = not output.no_progress and sys.stderr.isatty()
    with display(meters) if shown else nullcontext(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        result = runner.run(start(meters.append))
    for meter in meters:
        _log.info("%s", summary(meter))
        for name, state in meter.statistics().items():
            _log.info("%s: %s", name, ", ".join(f"{key} {value:.4g}" for key, value in state.items() if value))
    for note in dict.fromkeys(note for meter in meters for note in meter.notes):
        print(f"asyncref: note: {printable(in_flags(note))}", file=sys.stderr)  # noqa: T201
    return result


def configure(output: Output) -> None:
    """Send the loggers under `asyncref` to stderr: warnings always, more with `-v`, all with `-vv`."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(output.verbose, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if output.log_format is LogFormat.json else logging.Formatter(_TEXT))
    logger = logging.getLogger("asyncref")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: str(message)
    logging.getLogger("py.warnings").handlers = [handler]


_TEXT = "%(name)s: %(levelname)s: %(message)s"


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where there is one; no global policy is set."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
