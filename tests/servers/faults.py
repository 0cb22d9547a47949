"""Seeded scripts for the proxy: which request breaks, and how, whatever order requests come in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from tests.fetch import noise
from tests.servers.proxy import (
    Cut,
    Delay,
    Fault,
    Flip,
    Misrange,
    Reset,
    Script,
    Seen,
    Stall,
    Status,
    Swap,
    Whole,
    slow_down,
)

Draw = random.Random
KINDS: Final[dict[str, Callable[[Draw, bytes, bytes], Fault]]] = {
    "reset": lambda _draw, _own, _other: Reset(),
    "cut": lambda draw, _own, _other: Cut(_place(draw)),
    "flip": lambda draw, _own, _other: Flip(draw.random()),
    "stall": lambda draw, _own, _other: Stall(_place(draw)),
    "delay": lambda draw, _own, _other: Delay(draw.uniform(0.01, 0.1)),
    "500": lambda _draw, _own, _other: Status(500, b""),
    "503": lambda _draw, _own, _other: slow_down(),
    "503 with Retry-After": lambda draw, _own, _other: slow_down(draw.choice((0, 0, 0, 1))),
    "429": lambda _draw, _own, _other: Status(429, b"", (("Retry-After", "0"),)),
    "wrong Content-Range": lambda _draw, _own, _other: Misrange(),
    "Range ignored": lambda _draw, own, _other: Whole(own),
    "swapped": lambda _draw, _own, other: Swap(other),
}
"""Every kind of fault, by name: made from a draw, the object's bytes and those of another object."""


def seeded(
    seed: int,
    *,
    share: float,
    contents: Mapping[str, bytes],
    struck: Counter[str],
    kinds: Sequence[str] = tuple(KINDS),
) -> Script:
    """A script in which the faults follow from the seed, the object, the part and how often that was asked for.

    Not from the rest of a URL: a generation in it is another one whenever the object is put.

    Args:
        seed: Of everything.
        share: Of the GETs that break.
        contents: Every object by its key, which is the last segment of a request's path.
        struck: Counts the faults by kind.
        kinds: Those to draw from.
    """
    met: Counter[tuple[str, str]] = Counter()
    other = noise(1000, "swapped")

    def script(request: Seen) -> Sequence[Fault]:
        key = unquote(urlsplit(request.target).path.rpartition("/")[2])
        if request.kind != "get" or key not in contents:
            return ()
        what = key, request.headers.get("range", request.headers.get("x-ms-range", ""))
        met[what] += 1
        draw = Draw(f"{seed} {what} {met[what]}")
        if draw.random() >= share:
            return ()
        kind = draw.choice(kinds)
        struck[kind] += 1
        return (KINDS[kind](draw, contents[key], other),)

    return script


def _place(draw: Draw) -> int:
    """Where a body breaks: early in small ones, anywhere in large ones."""
    return int(10 ** draw.uniform(0, 6.5))
