"""The synthetic store's process: HTTP/1.1 over a bare asyncio protocol, with latency and throttling.

`python -m benchmarks.store.server '{"layout": "uuid", "keys": 1000, ...}'` prints one JSON line (port) when it listens, and
ends when its standard input closes. `GET /-/counts` reports what was asked, `/-/stats` also how many rows were sent
at least once (milliseconds a million rows), `/-/set?latency_ms=50&throttle=200` changes settings, `/-/reset` sets the
counters to zero.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote_to_bytes

import numpy as np
import uvloop

from benchmarks.store import wire
from benchmarks.store.bucket import Bucket, Reply
from benchmarks.store.render import Spec
from benchmarks.store.secure import serve
from benchmarks.store.table import Table

_BACKLOG: Final = 1024
_LARGE_BYTES: Final = 2**20
"""From here on objects over TLS are sent by threads; of many small answers, a thread each takes twice the loop's CPU."""
_BURST_S: Final = 0.1
_SLOW_DOWN: Final = wire.error(503, "SlowDown", "Please reduce your request rate.")


@dataclass(slots=True, kw_only=True)
class Settings:
    """What may change while the store runs.

    Attributes:
        latency_ms: Wait before each answer; other requests go on meanwhile.
        throttle: Requests per second above which the answer is 503 SlowDown; 0: none.
        page_rows: Most rows a page.
        inclusive: Whether a lone key marker gives its own key again, as Ceph's does.
    """

    latency_ms: float = 0.0
    throttle: float = 0.0
    page_rows: int = 1000
    inclusive: bool = False


@dataclass(slots=True)
class _Counters:
    """What was asked since the start or the last reset."""

    tables: dict[str, int]
    requests: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    refused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    bytes_sent: int = 0
    cpu_start_s: float = field(default_factory=time.process_time)
    first_s: float = 0.0
    last_s: float = 0.0
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def note(self, reply: Reply) -> None:
        self.requests[reply.kind] = self.requests.get(reply.kind, 0) + 1
        self.rows += reply.rows
        self.bytes_sent += sum(map(len, reply.pieces))
        if reply.rows:
            self.spans.setdefault(reply.kind, []).append((reply.first, reply.first + reply.rows))

    def distinct(self, kind: str) -> int:
        """Rows sent at least once."""
        if not self.spans.get(kind):
            return 0
        bounds = np.array(self.spans[kind], dtype=np.int64)
        steps = np.bincount(bounds[:, 0], minlength=self.tables[kind] + 1)
        steps -= np.bincount(bounds[:, 1], minlength=self.tables[kind] + 1)
        return int((np.cumsum(steps) > 0).sum())

    def report(self) -> dict[str, Any]:
        return {
            "at_s": time.monotonic(),
            "requests": self.requests,
            "rows_sent": self.rows,
            "refused": self.refused,
            "most_in_flight": self.most_in_flight,
            "connections": self.connections,
            "bytes_sent": self.bytes_sent,
            "cpu_s": time.process_time() - self.cpu_start_s,
            "span_s": self.last_s - self.first_s,
        }


@dataclass(slots=True)
class Answer:
    """What is sent for one request.

    Attributes:
        pieces: The HTTP answer.
        wait_s: How long to hold it back.
        is_counted: Whether it is the bucket's, and not the control address's.
    """

    pieces: wire.Pieces
    wait_s: float = 0.0
    is_counted: bool = True


class Store:
    """The bucket with its settings, its counters and its bucket of throttling tokens."""

    def __init__(self, bucket: Bucket, settings: Settings) -> None:
        self.bucket = bucket
        self.settings = settings
        self._tokens = 1.0
        self._refilled_s = time.monotonic()
        self.reset()

    def reset(self) -> None:
        """Set every counter to zero."""
        self.counters = _Counters({kind: self.bucket.table.rows(kind) for kind in self.bucket.table.spec.kinds})

    def take(self, head: bytes) -> Answer:
        """Answer one request and count it.

        Args:
            head: From its first byte to before the empty line.
        """
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.split(b" ", 2)
        raw_path, _, raw_query = target.partition(b"?")
        query = dict(parse_qsl(raw_query.decode(), keep_blank_values=True))
        if raw_path.startswith(b"/-/"):
            return Answer(self._control(raw_path[3:], query), is_counted=False)
        pairs = (line.split(b":", 1) for line in lines)
        headers = {name.lower(): value.strip() for name, value in pairs}
        counters, now = self.counters, time.monotonic()
        counters.first_s, counters.last_s = counters.first_s or now, now
        counters.in_flight += 1
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        latency_s = self.settings.latency_ms / 1000
        if self._refuses():
            counters.refused += 1
            return Answer(_SLOW_DOWN, latency_s)
        reply = self.bucket.answer(method.decode(), unquote_to_bytes(raw_path), query, headers)
        counters.note(reply)
        return Answer(reply.pieces if method != b"HEAD" else reply.pieces[:1], latency_s)

    def give(self, answer: Answer) -> wire.Pieces:
        """What to send, now that its time has come."""
        if answer.is_counted:
            self.counters.in_flight -= 1
        return answer.pieces

    def _refuses(self) -> bool:
        """Take one token, which fill up at the throttled rate; True if there was none."""
        now = time.monotonic()
        rate = self.settings.throttle
        if not rate:
            return False
        self._tokens = min(max(1.0, rate * _BURST_S), self._tokens + (now - self._refilled_s) * rate)
        self._refilled_s = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def _control(self, verb: bytes, query: dict[str, str]) -> wire.Pieces:
        """Answer a request for `/-/VERB`."""
        if verb == b"reset":
            self.reset()
        elif verb == b"set":
            for name, text in query.items():
                setattr(self.settings, name, type(getattr(self.settings, name))(float(text)))
            self.bucket.page_rows, self.bucket.inclusive = self.settings.page_rows, self.settings.inclusive
        report = self.counters.report()
        if verb == b"stats":
            report["rows_distinct"] = {kind: self.counters.distinct(kind) for kind in self.counters.tables}
        return wire.response(200, [json.dumps(report).encode()], content_type=b"application/json")


class _Connection(asyncio.Protocol):
    """One client's connection: whole requests in, answers out in order."""

    __slots__ = ("_loop", "_store", "_transport", "_unread")

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._unread = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._store.counters.connections += 1

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head, self._unread = self._unread[:end], self._unread[end + 4 :]
            answer = self._store.take(head)
            if answer.wait_s:
                self._loop.call_later(answer.wait_s, self._send, answer)
            else:
                self._send(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None

    def _send(self, answer: Answer) -> None:
        pieces = self._store.give(answer)
        if self._transport is not None:
            self._transport.writelines(pieces)


class _InTurn:
    """The store as threads ask it: one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()

    def connected(self) -> None:
        with self._turn:
            self._store.counters.connections += 1

    def answer(self, head: bytes) -> wire.Pieces:
        with self._turn:
            answer = self._store.take(head)
        time.sleep(answer.wait_s)
        with self._turn:
            return self._store.give(answer)


async def _serve(store: Store, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(store, loop), sock=listening, backlog=_BACKLOG, ssl=tls)
    await loop.run_in_executor(None, sys.stdin.buffer.read)  # the parent's end closes it, however the parent ends


def main(argument: str, kind: type[Bucket] = Bucket) -> None:
    """Serve a rendered bucket until standard input closes.

    Args:
        argument: JSON with `spec`, `settings`, `folder`, `port` and, for TLS, `certificate` (a PEM file with both parts).
        kind: What answers requests: S3's protocol, or another's.
    """
    options = json.loads(argument)
    tls = None
    if options.get("certificate"):
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options["certificate"])
    settings = Settings(**options["settings"])
    bucket = kind(
        Table(Spec(**options["spec"]), Path(options["folder"])),
        page_rows=settings.page_rows,
        inclusive=settings.inclusive,
    )
    store = Store(bucket, settings)
    listening = socket.create_server(("127.0.0.1", options["port"]), backlog=_BACKLOG)
    print(json.dumps({"port": listening.getsockname()[1], "rows": store.counters.tables}), flush=True)
    gc.freeze()
    if tls is None or (bucket.table.spec.object_bytes or 0) < _LARGE_BYTES:
        uvloop.run(_serve(store, listening, tls))
    else:
        threading.Thread(target=serve, args=(listening, tls, _InTurn(store)), daemon=True).start()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1])
