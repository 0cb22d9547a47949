"""What goes wrong on the wire, before anyone says for whom; `asyncref.net.http` has the table to our errors."""

from __future__ import annotations


class WireError(Exception):
    """An exchange that did not end as it should."""


class ConnectError(WireError):
    """The system could not connect."""


class ConnectTimeoutError(WireError):
    """No connection in time."""


class NoAnswerError(WireError):
    """The connection ended before the first byte of an answer."""


class CutShortError(WireError):
    """The connection ended within an answer."""


class SilenceError(WireError):
    """Nothing came for too long."""


class TrickleError(WireError):
    """Too little came for too long."""


class MalformedError(WireError):
    """What came is not HTTP/1.1, or can be read in two ways."""
