"""Task groups raise groups of errors; callers of this library get the one error that matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asyncref.errors import AsyncrefError


@contextmanager
def one_error() -> Iterator[None]:
    """Around a task group: raise its first `AsyncrefError`, or its first error, instead of the group.

    Enclose the task group, never stand inside it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        chosen = next((error for error in errors if isinstance(error, AsyncrefError)), errors[0])
        raise chosen from chosen.__cause__


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
