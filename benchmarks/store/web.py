"""A synthetic HTTP file server: a tree of folders with nginx's index pages, and latency.

`python -m benchmarks.store.web '{"folders": 200, "files": 100, "latency_ms": 20}'` prints one JSON line (port) when it
listens, and ends when its standard input closes. `GET /-/counts` says what was asked by method.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import Counter
from typing import Any, Final, cast

import uvloop

_ROW: Final = '<a href="{name}">{name}</a>{pad}23-Nov-2026 23:44 {size:>19}\n'
_PAGE: Final = '<html>\n<head><title>Index of {path}</title></head>\n<body>\n<h1>Index of {path}</h1><hr><pre><a href="../">../</a>\n{rows}</pre><hr></body>\n</html>\n'
_SIZE: Final = 1000


class Tree:
    """Answers, made once.

    Args:
        folders: Below the root.
        files: In each.
    """

    def __init__(self, folders: int, files: int) -> None:
        names = [f"folder-{number:04}/" for number in range(folders)]
        inside = [f"file-{number:05}.bin" for number in range(files)]
        self._pages = {b"/data/": _index("/data/", names)}
        self._pages |= {f"/data/{name}".encode(): _index(f"/data/{name}", inside) for name in names}
        self.asked: Counter[str] = Counter()

    def answer(self, method: bytes, target: bytes) -> bytes:
        """A whole answer."""
        self.asked[method.decode()] += 1
        if page := self._pages.get(target):
            return page
        if target == b"/data":
            return b"HTTP/1.1 301 Moved\r\nLocation: /data/\r\nContent-Length: 0\r\n\r\n"
        mark = hash(target) & 0xFFFFFFFF
        head = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "%08x-3e8"\r\nLast-Modified: Mon, 23 Nov 2026 23:44:37 GMT\r\n\r\n'
        return head % (_SIZE, mark) + (b"" if method == b"HEAD" else bytes(_SIZE))


def _index(path: str, names: list[str]) -> bytes:
    rows = [_ROW.format(name=name, pad=" " * 30, size="-" if name.endswith("/") else _SIZE) for name in names]
    body = _PAGE.format(path=path, rows="".join(rows)).encode()
    head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


class _Connection(asyncio.Protocol):
    def __init__(self, tree: Tree, latency_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self._tree, self._latency_s, self._loop = tree, latency_s, loop
        self._unread = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            method, target, _ = self._unread[:end].split(b"\r\n", 1)[0].split(b" ", 2)
            self._unread = self._unread[end + 4 :]
            if target == b"/-/counts":
                body = json.dumps(self._tree.asked).encode()
                self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                self._tree.asked.clear()
            elif self._latency_s:
                self._loop.call_later(self._latency_s, self._send, self._tree.answer(method, target))
            else:
                self._send(self._tree.answer(method, target))

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def _serve(options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    tree, latency_s = Tree(options["folders"], options["files"]), options["latency_ms"] / 1000
    server = await loop.create_server(lambda: _Connection(tree, latency_s, loop), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.buffer.read)  # the parent's end closes it, however the parent ends


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.argv[1])))
