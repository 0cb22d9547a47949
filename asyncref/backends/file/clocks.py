"""What the clocks of file servers have reached. Their files' times are theirs, and this machine's clock may be ahead."""

from __future__ import annotations

from collections.abc import Container


class Clocks:
    """Lower bounds of the clocks of devices, from changes (ctimes, which nobody can set) that were seen on them.

    A server's clock stood at a change's time when it was seen, or later, and has gone on since as clocks do.

    Args:
        own: Devices whose times are this machine's; None: all are.
    """

    def __init__(self, own: Container[int] | None = None) -> None:
        self._own = own
        self._ahead_ns: dict[int, int] = {}

    def is_own(self, device: int) -> bool:
        """Whether a device's times are by this machine's clock."""
        return self._own is None or device in self._own

    def see(self, device: int, changed_ns: int, *, steady_ns: int) -> None:
        """A file had been changed at this time by its device's clock when this machine's steady clock was there."""
        ahead_ns = changed_ns - steady_ns
        if self._ahead_ns.get(device, ahead_ns) <= ahead_ns:
            self._ahead_ns[device] = ahead_ns

    def reached_ns(self, device: int, *, wall_ns: int, steady_ns: int) -> int:
        """What a device's clock showed at least, at a moment of this machine's clocks; 0 where nothing is known.

        Of another machine's clock never more than this one's showed: it may have been set since.
        """
        if self.is_own(device):
            return wall_ns
        ahead_ns = self._ahead_ns.get(device)
        return 0 if ahead_ns is None else min(wall_ns, ahead_ns + steady_ns)
