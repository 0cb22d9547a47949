"""The verbs of `asyncref`, sync: for scripts and notebooks, inside a running event loop, too.

    from asyncref import blocking as ar
    manifest = ar.scan("s3://bucket/prefix")
    with ar.stream("mnist:v3") as objects: ...

Each takes and returns what its async twin in `asyncref.verbs` does. They run on one background loop; Ctrl-C
cancels what runs there and waits until it has cleaned up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial, update_wrapper
from typing import ParamSpec, TypeVar

from asyncref import verbs
from asyncref.net import portal

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["audit", "fetch", "forecast", "load", "pages", "scan", "status", "stream", "verify"]


def _verb(function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    blocking: Callable[P, T] = partial(portal.call, function)
    return update_wrapper(blocking, function)


def _stream(
    opener: Callable[P, AbstractAsyncContextManager[AsyncIterator[T]]],
) -> Callable[P, AbstractContextManager[Iterator[T]]]:
    blocking: Callable[P, AbstractContextManager[Iterator[T]]] = partial(portal.iterate, opener)
    return update_wrapper(blocking, opener)


scan = _verb(verbs.scan)
load = _verb(verbs.load)
fetch = _verb(verbs.fetch)
status = _verb(verbs.status)
verify = _verb(verbs.verify)
audit = _verb(verbs.audit)
forecast = _verb(verbs.forecast)
pages = _stream(verbs.pages)
stream = _stream(verbs.stream)
