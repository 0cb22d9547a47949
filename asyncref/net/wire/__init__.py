"""A small HTTP/1.1 client: heads are split, not interpreted; bodies land once, where they are wanted."""

from asyncref.net.wire.connection import BUFFER_BYTES
from asyncref.net.wire.faults import (
    ConnectError,
    ConnectTimeoutError,
    CutShortError,
    MalformedError,
    NoAnswerError,
    SilenceError,
    TrickleError,
    WireError,
)
from asyncref.net.wire.head import Headers
from asyncref.net.wire.origin import Origin, origin_of, split_url
from asyncref.net.wire.pool import LEAST_BYTES_PER_S, WirePool
from asyncref.net.wire.request import request_of
from asyncref.net.wire.response import Response

__all__ = [
    "BUFFER_BYTES",
    "LEAST_BYTES_PER_S",
    "ConnectError",
    "ConnectTimeoutError",
    "CutShortError",
    "Headers",
    "MalformedError",
    "NoAnswerError",
    "Origin",
    "Response",
    "SilenceError",
    "TrickleError",
    "WireError",
    "WirePool",
    "origin_of",
    "request_of",
    "split_url",
]
