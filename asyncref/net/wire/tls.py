"""TLS over a connection's own socket: OpenSSL reads from it and decrypts straight to where the bytes belong.

asyncio's TLS reads into a buffer, copies it to a second, decrypts into a third and copies from there.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

_TURN_BYTES: Final = 2**18
"""Most that one connection reads before the others have their turn."""
_CUT: Final = "the connection was cut: the server did not end TLS"


def can_watch(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop tells when a socket is ready; Windows' own does not."""
    return type(loop).add_reader is not asyncio.AbstractEventLoop.add_reader


async def open_tls(
    loop: asyncio.AbstractEventLoop,
    made: socket.socket,
    context: ssl.SSLContext,
    name: str,
    protocol: asyncio.BufferedProtocol,
) -> None:
    """Shake hands, and connect a protocol.

    Args:
        loop: One that `can_watch`.
        made: Connected and not blocking; taken over.
        context: Whom to trust.
        name: Whose certificate has to be shown.
        protocol: Is called as by asyncio's own TLS.

    Raises:
        ssl.SSLError: The handshake failed.
        OSError: The connection broke.
    """
    secured = context.wrap_socket(made, server_hostname=name, do_handshake_on_connect=False, suppress_ragged_eofs=False)
    try:
        await _shake_hands(loop, secured)
    except BaseException:
        secured.close()
        raise
    TlsTransport(loop, secured, protocol).start()


async def _shake_hands(loop: asyncio.AbstractEventLoop, secured: ssl.SSLSocket) -> None:
    fd = secured.fileno()
    while True:
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(loop, fd, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(loop, fd, loop.add_writer, loop.remove_writer)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ConnectionResetError("the server hung up within the TLS handshake") from None
        else:
            return


async def _ready(
    loop: asyncio.AbstractEventLoop, fd: int, watch: Callable[..., object], unwatch: Callable[[int], object]
) -> None:
    ready = loop.create_future()
    watch(fd, _resolve, ready)
    try:
        await ready
    finally:
        unwatch(fd)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class TlsTransport(asyncio.Transport):
    """What a protocol has to do with: as much of a transport as `Connection` uses.

    While reading is paused and nothing is written, the loop leaves the socket alone, and a thread may read from it: from
    `get_extra_info("ssl_socket").makefile("rb", buffering=0)`, which keeps the descriptor until it is closed itself;
    after `abort` it reads an error.

    Args:
        loop: Where it lives.
        secured: After the handshake.
        protocol: Is called.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, secured: ssl.SSLSocket, protocol: asyncio.BufferedProtocol
    ) -> None:
        super().__init__()
        self._loop = loop
        self._secured = secured
        self._fd = secured.fileno()
        self._protocol = protocol
        self._unsent: deque[bytes] = deque()
        self._is_closing = False
        self._is_reading = False
        self._has_ended = False  # and the protocol is to be told, once all has been read
        self._cause: OSError | None = None

    def start(self) -> None:
        """Let the protocol know, and read."""
        self._protocol.connection_made(self)
        self.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The `ssl_socket` and the `sslcontext`; nothing else is known."""
        known = {"ssl_socket": self._secured, "sslcontext": self._secured.context}
        return known.get(name, default)

    def is_closing(self) -> bool:
        """Whether nothing more will come."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Read nothing more until told so. Idempotent."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Read again. Idempotent."""
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._read)
            if self._has_ended or self._secured.pending():
                self._loop.call_soon(self._read)  # of what OpenSSL holds already, the socket does not tell

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, as soon as it can be."""
        if not self._is_closing:
            self._unsent.append(bytes(data))
            if len(self._unsent) == 1:
                self._send()

    def abort(self) -> None:
        """Close at once; the protocol hears of it in the loop's next turn. Idempotent."""
        self._lose(None)

    def _read(self) -> None:
        """Hand on what came."""
        left = _TURN_BYTES
        try:
            while self._is_reading and left > 0:
                space = memoryview(self._protocol.get_buffer(-1))[:left]
                came = self._fill(space)
                left -= came
                if came:
                    self._protocol.buffer_updated(came)
                if came < len(space):
                    break
            if self._is_reading and self._has_ended:
                if self._cause is None:
                    self._protocol.eof_received()
                self._lose(self._cause)
            elif self._is_reading and left <= 0:
                self._loop.call_soon(self._read)  # of a broken connection, libuv tells but once
        except BaseException:
            self.abort()
            raise
        if self._unsent:  # it may have waited for something of the other side's
            self._send()

    def _fill(self, space: memoryview) -> int:
        """Decrypt what is there, a record a call, as far as it fits; how many bytes that were."""
        read, filled = self._secured.read, 0
        try:
            while filled < len(space) and not self._has_ended:
                # typeshed has it return bytes; with a buffer it is a count
                count = cast("int", read(len(space) - filled, space[filled:]))
                self._has_ended = not count
                filled += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._go_on)
        except ssl.SSLEOFError:
            self._has_ended, self._cause = True, ConnectionResetError(_CUT)
        except OSError as error:
            self._has_ended, self._cause = True, error
        return filled

    def _send(self) -> None:
        try:
            while self._unsent:
                data = self._unsent[0]
                sent = self._secured.send(data)
                if sent < len(data):
                    self._unsent[0] = data[sent:]
                else:
                    self._unsent.popleft()
        except ssl.SSLWantReadError:
            pass  # what comes will let it go on
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._go_on)
        except OSError as error:
            self._lose(error)

    def _go_on(self) -> None:
        """The socket takes more: of what is sent, or of what OpenSSL has to say before it reads."""
        self._loop.remove_writer(self._fd)
        if self._is_reading:
            self._read()
        elif self._unsent:
            self._send()

    def _lose(self, cause: OSError | None) -> None:
        if self._is_closing:
            return
        self.pause_reading()
        self._is_closing = True
        self._loop.remove_writer(self._fd)
        self._unsent.clear()
        with suppress(OSError):
            socket.socket.shutdown(
                self._secured, socket.SHUT_RDWR
            )  # a thread that reads awakes; its own would forget TLS
        self._loop.call_soon(self._end, cause)

    def _end(self, cause: OSError | None) -> None:
        try:
            self._protocol.connection_lost(cause)
        finally:
            self._secured.close()
