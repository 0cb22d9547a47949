"""An HTTP server whose every answer a test writes down, byte by byte if it must."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; its length is announced, unless `raw` says otherwise.

    Attributes:
        status: Its status.
        body: Its body; not sent to a HEAD.
        headers: Besides the length.
        raw: Send exactly these bytes and hang up.
        silent: Send nothing until the client hangs up.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    silent: bool = False


Script = Callable[[Asked], Said]


@dataclass(slots=True)
class Scripted:
    """A running one.

    Attributes:
        url: Without a final slash.
        asked: Every request so far.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """`GET /target` of every request."""
        return [f"{one.method} {one.target}" for one in self.asked]


@asynccontextmanager
async def scripted(
    script: Script | Mapping[str, Said], host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    """Serve a script: a function, or answers by target (404 for all else); over TLS with a context."""
    answer = script if callable(script) else lambda asked: script.get(asked.target, Said(404))
    serving = Scripted("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked = _parsed(head)
                serving.asked.append(asked)
                said = answer(asked)
                if said.silent:
                    await reader.read()
                    break
                if said.raw is not None:
                    writer.write(said.raw)
                    break
                writer.write(_rendered(said, asked))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    serving.url = f"{'https' if tls else 'http'}://{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield serving
    finally:
        server.close()


def _parsed(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ")
    return Asked(
        method, target, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    )


def _rendered(said: Said, asked: Asked) -> bytes:
    headers = {"Content-Length": str(len(said.body)), **said.headers}
    lines = [f"HTTP/1.1 {said.status} x", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + (b"" if asked.method == "HEAD" else said.body)
