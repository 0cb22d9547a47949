"""A relay that holds back what a client sends, before a real server: its answers come that much later.

`python -m benchmarks.store.delay '{"port": 8080, "latency_ms": 20}'` prints one JSON line (its own port) when it listens, and ends when
its standard input closes. It reads nothing and takes 22 us of CPU a request: 64 connections at 20 ms, 3,200 a second, are 7% of a core.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from typing import Any, cast

import uvloop


class _Back(asyncio.Protocol):
    """The connection to the server: its answers go on at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._client.close()


class _Front(asyncio.Protocol):
    """A client's connection: what it sends waits."""

    def __init__(self, port: int, latency_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self._port, self._latency_s, self._loop = port, latency_s, loop
        self._server: asyncio.Task[asyncio.Transport] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._server = self._loop.create_task(self._connected(client))

    async def _connected(self, client: asyncio.Transport) -> asyncio.Transport:
        transport, _ = await self._loop.create_connection(lambda: _Back(client), "127.0.0.1", self._port)
        return transport

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._latency_s, self._pass, data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._to_server(lambda server: server.close())

    def _pass(self, data: bytes) -> None:
        self._to_server(lambda server: server.write(data))

    def _to_server(self, act: Callable[[asyncio.Transport], None]) -> None:
        """Once it is reached, which it is but for the first request of a connection."""

        def reached(done: asyncio.Task[asyncio.Transport]) -> None:
            if not done.cancelled() and done.exception() is None:
                act(done.result())

        assert self._server is not None
        self._server.add_done_callback(reached)


async def _serve(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    port, latency_s = options["port"], options["latency_ms"] / 1000
    server = await loop.create_server(lambda: _Front(port, latency_s, loop), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.buffer.read)  # the parent's end closes it, however the parent ends


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.argv[1])))
