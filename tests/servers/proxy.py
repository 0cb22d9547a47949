"""A reverse proxy that counts what reaches it and breaks answers on request; for tests of any server.

It runs in a thread with a loop of its own, so blocking clients and subprocesses can use it too. The Host
header passes unchanged, so signatures made for the proxy's address still hold behind it. It also takes the
absolute-form targets that a client sends to a forward proxy.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Send this many bytes of the body, then drop the connection."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Send this many bytes of the body, then nothing until the client goes."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before asking the server."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status and body; the server is not asked."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replace every match of a pattern in the body; the length header follows."""

    pattern: bytes
    by: bytes


@dataclass(frozen=True, slots=True)
class Retarget:
    """Ask the server for something else: replace every match of a pattern in the request's target."""

    pattern: str
    by: str


@dataclass(frozen=True, slots=True)
class Flip:
    """Turn one bit of the body, at this share of its length; an empty body stays as it is."""

    at: float


@dataclass(frozen=True, slots=True)
class Misrange:
    """Say of a part that it starts one byte later than it does."""


@dataclass(frozen=True, slots=True)
class AddHeader:
    """Add a header to the answer, as a newer server does."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Whole:
    """Send the whole object, these bytes, whatever part was asked for: as the server does that ignores Range."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Swap:
    """Send as many bytes of another object, with its ETag, as if it had been put there meanwhile."""

    data: bytes


Fault = Retarget | Reset | Cut | Stall | Delay | Status | Rewrite | Flip | Misrange | AddHeader | Whole | Swap
Script = Callable[["Seen"], Sequence[Fault]]
"""What befalls each request."""


def slow_down(retry_after_s: int | None = None) -> Status:
    """S3's 503, with or without Retry-After."""
    body = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
    return Status(503, body, (("Retry-After", str(retry_after_s)),) if retry_after_s is not None else ())


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it reached the proxy."""

    kind: str
    method: str
    target: str
    headers: dict[str, str]


@dataclass(slots=True)
class Proxy:
    """A running proxy.

    Attributes:
        endpoint: Its base URL.
        counts: Requests by kind: `list`, `versions`, `versioning`, `head`, `get`, `put`, ...
        seen: Every request in order.
        open_connections: Client connections open now.
        connections: Client connections ever made.
        in_flight: Requests whose answers are not sent to their end.
        peak: Most of them at once.
        script: Asked for the faults of every request, besides those injected.
    """

    endpoint: str
    counts: Counter[str] = field(default_factory=Counter)
    seen: list[Seen] = field(default_factory=list)
    open_connections: int = 0
    connections: int = 0
    in_flight: int = 0
    peak: int = 0
    script: Script | None = None
    _rules: list[_Rule] = field(default_factory=list)

    def inject(self, fault: Fault, *, kind: str = "", at: int | None = 1, match: str = "") -> None:
        """Break the `at`-th request of this kind from now on (1 is the next); None breaks every one.

        Args:
            fault: What happens to it.
            kind: Only requests of this kind; empty: any.
            at: Which of them.
            match: Only requests whose target holds this text.
        """
        self._rules.append(_Rule(fault, kind, at, match))

    def forget(self) -> None:
        """Start counting again, without faults."""
        self.counts.clear()
        self.seen.clear()
        self.peak = 0
        self._rules.clear()
        self.script = None

    def _note(self, request: Seen) -> list[Fault]:
        self.seen.append(request)
        self.counts[request.kind] += 1
        faults = [rule.fault for rule in self._rules if rule.strikes(request)]
        return [*faults, *self.script(request)] if self.script else faults


@dataclass(slots=True)
class _Rule:
    fault: Fault
    kind: str
    at: int | None
    match: str
    met: int = 0

    def strikes(self, request: Seen) -> bool:
        if (self.kind and request.kind != self.kind) or self.match not in request.target:
            return False
        self.met += 1
        return self.at is None or self.met == self.at


def kind_of(method: str, target: str) -> str:
    """What an S3 request is: by its method and its query."""
    query = urlsplit(target).query
    names = {part.partition("=")[0] for part in query.split("&")}
    if method == "GET":
        for name, kind in (("list-type", "list"), ("versions", "versions"), ("versioning", "versioning")):
            if name in names:
                return kind
    return method.lower()


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy before `upstream` (a base URL), in a thread of its own."""
    address = urlsplit(upstream)
    ready = threading.Event()
    proxy = Proxy("")
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    running: set[asyncio.Task[None]] = set()

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            proxy.connections += 1
            proxy.open_connections += 1
            task = asyncio.current_task()
            assert task is not None
            running.add(task)
            try:
                with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await _Connection(proxy, reader, writer, address.hostname or "", address.port or 80).run()
            finally:
                proxy.open_connections -= 1
                writer.transport.abort() if writer.is_closing() else writer.close()
                running.discard(task)

        end = asyncio.Event()
        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20)
        proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        stop.append((asyncio.get_running_loop(), end))
        ready.set()
        await end.wait()
        server.close()
        if running:  # asyncio 3.11 leaks the socket of a connection whose opening is cancelled
            await asyncio.wait(running.copy(), timeout=2)
        await asyncio.sleep(0.01)  # transports close their sockets in a later turn of the loop

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the proxy did not start")
    try:
        yield proxy
    finally:
        loop, end = stop[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


class _Connection:
    """One client connection, and its own connection to the server."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.address = (host, port)

    async def run(self) -> None:
        while head := await self._head(self.reader):
            method, target, _ = head[0].split(" ", 2)
            if "://" in target:
                parts = urlsplit(target)
                target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            headers = _headers(head)
            if headers.get("expect"):
                self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await self._body(self.reader, headers)
            seen = Seen(kind_of(method, target), method, target, headers)
            if not await self._answer(seen, head, body):
                return

    async def _answer(self, seen: Seen, head: list[str], body: bytes) -> bool:
        self.proxy.in_flight += 1
        self.proxy.peak = max(self.proxy.peak, self.proxy.in_flight)
        try:
            return await self._answer_by(self.proxy._note(seen), seen, head, body)
        finally:
            self.proxy.in_flight -= 1

    async def _answer_by(self, faults: Sequence[Fault], seen: Seen, head: list[str], body: bytes) -> bool:
        for fault in faults:
            if isinstance(fault, Delay):
                await asyncio.sleep(fault.seconds)
            elif isinstance(fault, Retarget):
                seen = replace(seen, target=re.sub(fault.pattern, fault.by, seen.target))
            elif isinstance(fault, Reset):
                self.writer.transport.abort()
                return False
            elif isinstance(fault, Status):
                lines = [f"HTTP/1.1 {fault.status} Injected", *(f"{name}: {value}" for name, value in fault.headers)]
                if "Content-Length" not in dict(fault.headers):  # of a HEAD it is not the body's
                    lines.append(f"Content-Length: {len(fault.body)}")
                await self._send(lines, fault.body)
                return True
        lines, answer = await self._ask(seen, head, body)
        for fault in faults:
            if isinstance(fault, Cut | Stall):
                await self._send([*lines, f"Content-Length: {len(answer)}"], answer[: fault.after_bytes])
                if isinstance(fault, Stall):
                    await self.reader.read(1)  # until the client hangs up
                self.writer.close()
                return False
            lines, answer = _changed(fault, lines, answer)
        lines = [*lines, f"Content-Length: {len(answer)}"] if seen.method != "HEAD" else lines
        await self._send(lines, b"" if seen.method == "HEAD" else answer)
        return True

    async def _send(self, lines: list[str], body: bytes) -> None:
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await self.writer.drain()

    async def _ask(self, seen: Seen, head: list[str], body: bytes) -> tuple[list[str], bytes]:
        """The server's answer and its whole body; the header has a length only where there is no body (HEAD)."""
        reader, writer = await asyncio.open_connection(*self.address, limit=2**20)
        try:
            kept = [
                line
                for line in head[1:]
                if line.split(":")[0].lower() not in {"expect", "connection", "transfer-encoding", "content-length"}
            ]
            length = [f"Content-Length: {len(body)}"] if body or seen.method in {"PUT", "POST"} else []
            lines = [f"{seen.method} {seen.target} HTTP/1.1", *kept, *length, "Connection: close", "", ""]
            writer.write("\r\n".join(lines).encode("latin-1") + body)
            answer = await self._head(reader)
            while answer[0].split(" ")[1] == "100":
                answer = await self._head(reader)
            headers = _headers(answer)
            bodyless = seen.method == "HEAD" or answer[0].split(" ")[1] in {"204", "304"}
            data = b"" if bodyless else await self._body(reader, headers, to_end=True)
        finally:
            writer.close()
        dropped = {"connection", "transfer-encoding", "content-length", "keep-alive"}
        lines = [answer[0], *(line for line in answer[1:] if line.split(":")[0].lower() not in dropped)]
        size = headers.get("content-length", "0")
        return [*lines, f"Content-Length: {size}"] if seen.method == "HEAD" else lines, data

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> list[str]:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return []
        return raw.decode("latin-1").split("\r\n")[:-2]

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: dict[str, str], *, to_end: bool = False) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            parts = []
            while size := int((await reader.readline()).split(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            await reader.readline()
            return b"".join(parts)
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        return await reader.read() if to_end else b""


def _changed(fault: Fault, lines: list[str], answer: bytes) -> tuple[list[str], bytes]:
    """An answer after a fault that changes it."""
    if isinstance(fault, Rewrite):
        answer = re.sub(fault.pattern, fault.by, answer, flags=re.DOTALL)
    elif isinstance(fault, Flip) and answer:
        at, bit = divmod(int(fault.at * len(answer) * 8), 8)
        answer = b"".join([answer[:at], bytes([answer[at] ^ 1 << bit]), answer[at + 1 :]])
    elif isinstance(fault, AddHeader):
        lines = [*lines, f"{fault.name}: {fault.value}"]
    elif isinstance(fault, Misrange):
        lines = [re.sub(r"(?i)^(content-range: bytes )(\d+)", _one_more, line) for line in lines]
    elif isinstance(fault, Whole) and _is_good(lines):
        kept = [line for line in lines[1:] if not line.lower().startswith("content-range:")]
        lines, answer = ["HTTP/1.1 200 OK", *kept], fault.data
    elif isinstance(fault, Swap) and _is_good(lines):
        answer = (fault.data * (len(answer) // len(fault.data) + 1))[: len(answer)]
        lines = [re.sub(r'(?i)^(etag: )"?[^"]*"?', _etag_of(fault.data), line) for line in lines]
    return lines, answer


def _is_good(lines: list[str]) -> bool:
    return lines[0].split(" ")[1] in {"200", "206"}


def _etag_of(data: bytes) -> str:
    return f'ETag: "{hashlib.md5(data).hexdigest()}"'


def _one_more(found: re.Match[str]) -> str:
    return f"{found[1]}{int(found[2]) + 1}"


def _headers(head: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in head[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
