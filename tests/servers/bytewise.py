"""A server that speaks byte by byte as its script says, in the test's own loop, and a pool that asks it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Server:
    """Speaks byte by byte as its script says.

    Args:
        script: Called for every request with the connection's number, the request's head and the writer; False hangs up.
    """

    def __init__(self, script):
        self.script = script
        self.requests = []
        self.connections = 0
        self.open = 0
        self.all_closed = asyncio.Event()

    async def connected(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.all_closed.clear()
        number = self.connections
        writer.gone = reader.read  # until the client hangs up
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.requests.append(head)
                    if await self.script(number, head, writer) is False:
                        return
        finally:
            self.open -= 1
            writer.transport.abort()
            if not self.open:
                self.all_closed.set()


@asynccontextmanager
async def serving(script, *, tls=None, **settings):
    """A server, a pool, and the URL."""
    server = Server(script)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=tls)
    pool = HttpPool(HttpSettings(**{"proxies": {}, **settings}))
    try:
        yield server, pool, f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    finally:
        await pool.aclose()
        listening.close()
        if server.connections:
            await asyncio.wait_for(server.all_closed.wait(), 10)


def get(pool, url):
    """Fetch a URL whole."""
    return pool.fetch("GET", url, {}, uri="u")


def whole(body):
    """A script that always answers with this body."""

    async def script(_number, _head, writer):
        writer.write(OK % len(body) + body)

    return script
