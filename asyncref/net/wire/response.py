"""One answer to whoever asked: its status and headers, and three ways to take its body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asyncref.net.wire.connection import BUFFER_BYTES, LEFT, Connection
from asyncref.net.wire.pour import Pour
from asyncref.net.wire.pump import Pump
from asyncref.net.wire.receiver import Receiver


class Response:
    """An answer: its status and headers are here, its body is to come.

    Args:
        connection: Whose.
        receiver: What it comes to.
        pump: Takes bodies to files.
        release: Gives the connection back.

    Attributes:
        status: Of three digits.
        headers: In any case.
    """

    __slots__ = ("_connection", "_pump", "_receiver", "_release", "headers", "status")

    def __init__(
        self, connection: Connection, receiver: Receiver, pump: Pump, release: Callable[[Connection, Receiver], None]
    ) -> None:
        assert receiver.head is not None
        self.status = receiver.head.status
        self.headers = receiver.head.headers
        self._connection = connection
        self._pump = pump
        self._receiver: Receiver | None = receiver
        self._release = release

    async def chunk(self, least: int = BUFFER_BYTES // 2) -> bytes:
        """The next bytes of the body, at most `BUFFER_BYTES`; empty at its end.

        What came before a failure is given first.

        Args:
            least: Wait for so many, or the body's end.

        Raises:
            WireError: The body broke off.
            RuntimeError: The answer was left.
        """
        return (await self._come(least)).take()

    async def whole(self) -> memoryview | None:
        """The rest of the body where it lies, which it does until the answer is closed; None if it is not all here.

        Waits for the body's end, or until there is no room for more; what is not given here `chunk` gives.

        Raises:
            WireError: Nothing of the body came before it broke off.
            RuntimeError: The answer was left.
        """
        receiver = await self._come(BUFFER_BYTES)
        return receiver.lying(receiver.waiting) if receiver.is_complete else None

    async def read_into(self, view: memoryview) -> int:
        """Fill a view with the next bytes of the body; those of an announced length are not copied on their way.

        Args:
            view: Writable bytes, not empty.

        Returns:
            How many bytes it took: fewer than fit only before the body's end or a failure, which the next call tells.

        Raises:
            WireError: The body broke off, and nothing came since the last call.
            RuntimeError: The answer was left.
        """
        receiver = self._held()
        filled = receiver.take_into(view)
        while filled < len(view) and not receiver.is_complete:
            before = filled
            filled += await self._fill(receiver, view[filled:])
            if filled == before:
                break
        if not filled and not receiver.is_complete:
            raise self._connection.failure()
        return filled

    @property
    def pour(self) -> Callable[[int, int, int], Awaitable[int]] | None:
        """See `_move`; None where the system cannot, for a body without an announced length, and for one that is here already."""
        receiver = self._receiver  # looked at first: all of a small body is here
        return self._move if receiver is not None and receiver.coming() and self._connection.can_pour else None

    async def _move(self, file: int, offset: int, length: int) -> int:
        """Move the next bytes of the body to a file, by a thread: through the kernel, or decrypted by it.

        Args:
            file: The open file's descriptor. It is left alone once this has returned or raised.
            offset: Where in it.
            length: How many bytes.

        Returns:
            How many there are now: fewer only before the body's end or a failure, which the next call tells.

        Raises:
            WireError: The body broke off, and nothing came since the last call.
            OSError: The file cannot take them.
            RuntimeError: The answer was left.
        """
        receiver = self._held()
        lying = receiver.lying(length)
        pour = Pour(file, offset, lying, min(length - len(lying), receiver.coming()))
        await self._connection.pour(receiver, pour, self._pump)
        if pour.failure is not None:
            raise pour.failure
        if not pour.moved and not receiver.is_complete:
            raise self._connection.failure()
        return pour.moved

    async def _fill(self, receiver: Receiver, view: memoryview) -> int:
        if not receiver.can_aim:
            if not receiver.want(min(len(view), BUFFER_BYTES // 2)):
                await self._connection.more(receiver)
            return receiver.take_into(view)
        receiver.aim(view)
        try:
            await self._connection.more(receiver)
        except BaseException:
            self._connection.abort()  # bytes have gone where nobody counts them
            raise
        finally:
            count = receiver.disarm()
        return count

    def close(self) -> None:
        """Leave the answer; its connection is kept if all of the body has come. Idempotent."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self._release(self._connection, receiver)

    async def _come(self, least: int) -> Receiver:
        """Wait until so many bytes of the body lie here, or its rest; raises as `chunk` does."""
        receiver = self._held()
        if not receiver.want(least):
            await self._connection.more(receiver)
        if not receiver.waiting and not receiver.is_complete:
            raise self._connection.failure()
        return receiver

    def _held(self) -> Receiver:
        if self._receiver is None:
            raise RuntimeError(LEFT)
        return self._receiver
