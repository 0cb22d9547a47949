"""A listing as a stream of Arrow batches, in a task of its own, bounded, without a manifest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import anyio
import pyarrow as pa

from asyncref.engine.flow import Meter, ProgressHook, one_error
from asyncref.engine.scan.budget import Budget
from asyncref.engine.scan.job import Heads, Job, Sink
from asyncref.engine.scan.ledger import Covered
from asyncref.engine.scan.rows import BadKeys
from asyncref.engine.scan.target import Target
from asyncref.globs import Filter
from asyncref.manifest.rows import expand
from asyncref.model import Limits


class Pages:
    """Async context manager and iterator over the batches of one target, as they are listed.

    Batches hold logical rows, ordered inside, not among each other. At most `limits.queue_pages` wait;
    then the listing does.
    Leaving the context ends the listing, its task and its connections.

    Args:
        target: What to list.
        storage_options: fsspec's names, flat or by scheme.
        filter: Globs over relative paths.
        limits: Bounds.
        bad_keys: What to do with keys that no path can stand for.
        heads: Whether to HEAD every object where the listing may not tell version ids.
        progress: Called once with the meter to poll.
        at: The moment whose state is meant; None: now.
    """

    def __init__(
        self,
        target: Target,
        *,
        storage_options: Mapping[str, Any] | None = None,
        filter: Filter = Filter(),  # noqa: A002, B008  the field's word; frozen
        limits: Limits | None = None,
        bad_keys: BadKeys = "raise",
        heads: Heads = "auto",
        progress: ProgressHook | None = None,
        at: datetime | str | None = None,
    ) -> None:
        self._target = target
        meter = Meter("scan")
        bounds = limits or Limits()
        self._queue_pages = bounds.queue_pages
        self._job = Job(storage_options, filter, bounds, bad_keys, heads, Budget(), meter, at)
        self._progress = progress
        self._error: Exception | None = None

    async def __aenter__(self) -> AsyncIterator[pa.RecordBatch]:
        self._send, self._receive = anyio.create_memory_object_stream[pa.RecordBatch](self._queue_pages)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        if self._progress is not None:
            self._progress(self._job.meter)
        self._group.start_soon(self._list)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        self._receive.close()
        with one_error():
            try:
                return await self._group.__aexit__(kind, error, trace)
            except BaseExceptionGroup as group:
                if error is not None and error in group.exceptions:
                    return None  # it leaves as it was raised
                raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        try:
            return expand(await self._receive.receive(), self._job.sources)
        except anyio.EndOfStream:
            if self._error is not None:
                raise self._error from None
            raise StopAsyncIteration from None

    async def _list(self) -> None:
        async def emit(_: int, rows: pa.RecordBatch, __: Covered | None = None) -> None:
            if rows.num_rows:
                await self._send.send(rows)

        async with self._send:
            try:
                await self._job.add(self._target, Sink(emit))
            except Exception as error:  # noqa: BLE001  raised again where the caller waits for the next batch
                self._error = error
            finally:
                await self._job.aclose()
