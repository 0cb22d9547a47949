"""One connection: it hands the transport's bytes to the answer they belong to, and wakes who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

import anyio

from asyncref.net.wire.faults import (
    CutShortError,
    MalformedError,
    NoAnswerError,
    SilenceError,
    TrickleError,
    WireError,
)
from asyncref.net.wire.head import HEAD_BYTES
from asyncref.net.wire.origin import Origin
from asyncref.net.wire.pour import Pour
from asyncref.net.wire.pump import POURS, Pump
from asyncref.net.wire.receiver import Receiver

BUFFER_BYTES: Final = 2**19
"""Most that waits for a slow reader, and the longest chunk; half of it, at least, makes one of a long body."""
_OTHER: Final = 300
"""Of statuses, the first that says that this is not what was asked for."""
LEFT: Final = "the answer was left, and its connection belongs to another"
assert BUFFER_BYTES >= 2 * HEAD_BYTES


class Connection(asyncio.BufferedProtocol):
    """A connection to an origin, made by `dial`, kept and used again by `WirePool`.

    Args:
        loop: Where it lives.
        origin: Where it leads.
        forget: Called once when it is lost.

    Attributes:
        origin: The same.
        idle_since_s: When it was last left, on the loop's clock.
    """

    __slots__ = (
        "_failure", "_forget", "_fresh", "_is_lost", "_is_page", "_is_paused", "_least", "_loop", "_pour",
        "_quiet_ticks", "_receiver", "_transport", "_waiter", "idle_since_s", "origin",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, forget: Callable[[Connection], None]) -> None:
        self.origin = origin
        self.idle_since_s = 0.0
        self._loop = loop
        self._forget = forget
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pour: Pour | None = None
        self._failure: WireError | None = None
        self._is_lost = False
        self._is_paused = False
        self._quiet_ticks = 0
        self._least = self._fresh = 0
        self._is_page = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; one byte for those that nobody asked for."""
        del sizehint
        receiver = self._receiver
        return memoryview(bytearray(1)) if receiver is None else receiver.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that came."""
        receiver = self._receiver
        if receiver is None:
            self.abort()
            return
        try:
            is_enough = receiver.received(nbytes)
        except MalformedError as error:
            self._fail(error)
            return
        self._fresh += nbytes
        head = receiver.head
        if self._fresh >= self._least or (head is not None and head.status < _OTHER and not self._is_page):
            self._quiet_ticks = self._fresh = 0
        if receiver.is_full or receiver.has_extra or receiver.has_landed:
            self._pause()
        if is_enough:
            self._wake()

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._is_lost = True
        receiver = self._receiver
        if receiver is not None:
            if exc is None:
                receiver.ended()
            if self._failure is None and not receiver.is_complete:
                said = str(exc) if exc is not None else receiver.missing
                self._failure = NoAnswerError(said) if receiver.is_untouched else CutShortError(said)
        self._wake()
        self._forget(self)

    # What the pool calls

    @property
    def is_open(self) -> bool:
        """Whether it is not known to be closed."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(
        self, request: bytes, buffer: memoryview, *, bodyless: bool, is_page: bool = False, least: int = 1
    ) -> Receiver:
        """Send a request and wait for the head of its answer; bodies that fit in the buffer come with it.

        Args:
            request: As it goes out.
            buffer: For the answer.
            bodyless: It is a HEAD.
            is_page: The body is to come at a pace.
            least: That pace: bytes until silence is counted anew. Of a head and of an error's body, too; of others a
                byte is enough.

        Raises:
            WireError: There is no answer, or none that is HTTP.
        """
        assert self._transport is not None
        assert self._receiver is None
        receiver = self._receiver = Receiver(buffer, bodyless=bodyless)
        self._is_page, self._least = is_page, least
        if self.is_open:
            self._transport.write(request)
            await self._wait()
        if receiver.head is None:
            raise self._failure or NoAnswerError("it was closed")
        return receiver

    def leave(self) -> bool:
        """End the exchange; whether another may follow. A reader that still waits is told."""
        receiver, self._receiver = self._receiver, None
        keeps = (
            receiver is not None
            and receiver.is_complete
            and not receiver.has_extra
            and receiver.head is not None
            and receiver.head.keeps
            and self._failure is None
            and not self._is_lost
        )
        if keeps:
            self._resume()
        else:
            self.abort()
        self._wake()
        return keeps

    def tick(self, most: int) -> None:
        """Called in turn: given up at `most` turns in a row without a byte, or bytes enough, while someone waits."""
        if self._waiter is not None:
            if self._pour is not None and not self._pour.is_quiet():
                self._quiet_ticks = 0
            self._quiet_ticks += 1
            if self._quiet_ticks >= most:
                self._fail(TrickleError(f"{self._fresh:,} bytes") if self._fresh else SilenceError())

    def abort(self) -> None:
        """Close at once. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    # What an answer calls

    async def more(self, receiver: Receiver) -> None:
        """Wait until the receiver has what it wants, or nothing more can come.

        Raises:
            RuntimeError: The answer was left.
        """
        if (
            receiver is self._receiver and self._failure is None and not self._is_lost
        ):  # closing: its loss is yet to come
            self._resume()
            await self._wait()
        if receiver is not self._receiver:
            raise RuntimeError(LEFT)

    @property
    def can_pour(self) -> bool:
        """Whether what comes next can be taken from the socket as it stands."""
        transport = self._transport
        if not POURS or transport is None:
            return False
        return transport.get_extra_info("sslcontext") is None or transport.get_extra_info("ssl_socket") is not None

    async def pour(self, receiver: Receiver, pour: Pour, pump: Pump) -> None:
        """Let a thread have the socket, until it has moved all, or nothing more can come. Nothing is written after it.

        Raises:
            RuntimeError: The answer was left.
        """
        transport = self._transport
        if receiver is self._receiver and transport is not None and self._failure is None and not self._is_lost:
            self._pause()
            pump.start(pour, transport.get_extra_info("ssl_socket") or transport.get_extra_info("socket"))
            pour.ended.add_done_callback(lambda _: self._wake())
            self._pour = pour
            try:
                await self._wait()
            except BaseException:
                self.abort()  # nobody counts what comes now
                raise
            finally:
                self._pour = None
                if not pour.ended.done():
                    pump.stop(pour)
                    with anyio.CancelScope(shield=True):
                        await _over(pour.ended)
                receiver.poured(pour.moved)
            if pour.left or pour.failure is not None:
                self._fail(CutShortError(str(pour.broke) if pour.broke is not None else receiver.missing))
        if receiver is not self._receiver:
            raise RuntimeError(LEFT)

    def failure(self) -> WireError:
        """Why an answer is not whole."""
        return self._failure or CutShortError("the connection was closed")

    async def _wait(self) -> None:
        self._waiter = waiter = self._loop.create_future()
        self._quiet_ticks = self._fresh = 0
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: WireError) -> None:
        if self._failure is None:
            self._failure = error
        self.abort()
        self._wake()

    def _pause(self) -> None:
        transport = self._transport
        if not self._is_paused and transport is not None and not transport.is_closing():
            self._is_paused = True
            transport.pause_reading()

    def _resume(self) -> None:
        transport = self._transport
        if self._is_paused and transport is not None and not transport.is_closing():
            self._is_paused = False
            transport.resume_reading()


async def _over(ended: asyncio.Future[None]) -> None:
    """Wait for a thread to leave what its caller is about to close: a moment, or a write that a disk holds up."""
    while not ended.done():
        with contextlib.suppress(asyncio.CancelledError):  # the first of them is on its way already
            await asyncio.wait([ended])
