"""HTTP/1.1 over TLS for large bodies, a thread a connection: encrypting and sending leave Python's lock, all cores do it.

asyncio's TLS encrypts and copies on its loop's one thread: at 500 MB/s, the store was what was measured.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Final, Protocol

from benchmarks.store import wire

_READ_BYTES: Final = 2**16
_JOINED_BYTES: Final = 2**17


class Asked(Protocol):
    """What is served; called by many threads."""

    def connected(self) -> None:
        """Count a connection."""

    def answer(self, head: bytes) -> wire.Pieces:
        """Answer a request, after its time has come."""


def serve(listening: socket.socket, context: ssl.SSLContext, asked: Asked) -> None:
    """Accept connections for ever.

    Args:
        listening: Where.
        context: Holds the certificate.
        asked: Answers.
    """
    while True:
        made, _ = listening.accept()
        threading.Thread(target=_converse, args=(made, context, asked), daemon=True).start()


def _converse(made: socket.socket, context: ssl.SSLContext, asked: Asked) -> None:
    """Answer one client's requests in order until it hangs up, whichever way."""
    with contextlib.suppress(OSError), made:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(made, server_side=True) as secured:
            asked.connected()
            unread = b""
            while data := secured.recv(_READ_BYTES):
                unread += data
                while (end := unread.find(b"\r\n\r\n")) >= 0:
                    head, unread = unread[:end], unread[end + 4 :]
                    _send(secured, asked.answer(head))


def _send(secured: ssl.SSLSocket, pieces: wire.Pieces) -> None:
    """Small answers in one piece: each is a record, a call and a packet of its own."""
    if sum(map(len, pieces)) <= _JOINED_BYTES:
        secured.sendall(b"".join(pieces))
        return
    for piece in pieces:
        secured.sendall(piece)
