"""What a process does with its open runs when it ends: finished at a normal exit, crashed on an uncaught exception.

A process that is killed, or leaves by `os._exit`, says nothing: its runs stay `running`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from types import TracebackType
from typing import Protocol

from asyncref.errors import AsyncrefError


class Open(Protocol):
    """A run, as far as the end of a process is concerned."""

    def finish(self, exit_code: int | None = None) -> None:
        """End it."""
        ...


_open: dict[Open, tuple[int, threading.Thread]] = {}  # the process and the thread that started each
_uncaught = False


def track(run: Open) -> None:
    """End this run with the process, unless it ends before."""
    if not _open:
        _install()
    _open[run] = (os.getpid(), threading.current_thread())


def untrack(run: Open) -> None:
    """This run has ended."""
    _open.pop(run, None)


def _install() -> None:
    global _previous, _previous_in_thread
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
    if sys.excepthook is not _on_exception:
        _previous, sys.excepthook = sys.excepthook, _on_exception
    if threading.excepthook is not _on_thread_exception:
        _previous_in_thread, threading.excepthook = threading.excepthook, _on_thread_exception


def _on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    global _uncaught  # noqa: PLW0603
    _uncaught = True
    _previous(kind, error, trace)


def _on_thread_exception(seen: threading.ExceptHookArgs) -> None:
    _previous_in_thread(seen)
    for run, (pid, thread) in list(_open.items()):
        if thread is seen.thread and pid == os.getpid():
            _end(run, 1)


def _at_exit() -> None:
    for run, (pid, _) in list(_open.items()):
        if pid == os.getpid():  # a forked child leaves its parent's runs alone
            _end(run, 1 if _uncaught else 0)


def _end(run: Open, exit_code: int) -> None:
    try:
        run.finish(exit_code)
    except AsyncrefError as error:
        sys.stderr.write(f"asyncref: a run could not be ended: {error}\n")


_previous = sys.excepthook
_previous_in_thread = threading.excepthook
