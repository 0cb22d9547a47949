"""Which digits do not stand where keys hold dates: a thirteenth month is not worth asking for. Pure.

A model of characters that has seen January takes all ten digits for likely in both places of a month, and asks for the
months 13 to 99 in vain, and for years decades ahead: a listing of a tree of hours spent its first second so, at 50 ms a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_BETWEEN: Final = r"(?:[-_./T :]|[-_/.][A-Za-z_]{1,8}=)?"
"""What parts the numbers of a date: nothing, one sign, or a name as in `year=2024/month=05`."""
_DATE: Final = re.compile(
    rf"(?<![0-9])((?:19|20)[0-9]{{2}}){_BETWEEN}(0[1-9]|1[0-2])"
    rf"(?:{_BETWEEN}(0[1-9]|[12][0-9]|3[01])(?:{_BETWEEN}([01][0-9]|2[0-3])(?:{_BETWEEN}([0-5][0-9]))?)?)?(?![0-9])"
)
_NINE: Final = "9"
_MOST: Final = ("12", "31", "23", "59")
"""Of months, days, hours and minutes."""

Bounds = Mapping[int, Mapping[str, str]]
"""By depth and the character before (empty: whichever): the highest digit that a date allows there."""


def bounds_in(keys: Sequence[str]) -> Bounds:
    """What a page's keys tell, where all of them have a date in the same place. Cost: about 2 µs a key.

    Years go on to the one after the last key's. A wrong guess costs requests, never a key, and what comes all the same
    is expected from then on.

    Args:
        keys: Ascending.

    Returns:
        Nothing where any of them has no date there.
    """
    places: Sequence[tuple[int, int]] = ()
    for number, key in enumerate(keys):
        found = _DATE.search(key)
        if found is None:
            return {}
        places = _agreed(places, found.regs[1:]) if number else found.regs[1:]
    if not places[1:]:
        return {}
    stop = places[0][1]
    century, decade, year = keys[-1][stop - 4 : stop - 2], keys[-1][stop - 2], keys[-1][stop - 1]
    bounds: dict[int, Mapping[str, str]] = {
        stop - 4: {"": century[0]},
        stop - 3: {"": century[1]},
        stop - 2: {"": _next(decade) if year == _NINE else decade},
        stop - 1: {"": _next(year)},
    }
    for (start, _), most in zip(places[1:], _MOST, strict=False):
        bounds[start] = {"": most[0]}
        bounds[start + 1] = {most[0]: most[1]}
    return bounds


def _next(digit: str) -> str:
    """The digit above, if there is one."""
    return str(min(9, int(digit) + 1))


def _agreed(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What two dates have in the same places: what follows a date may look like one more part of it."""
    same = [mine == theirs != (-1, -1) for mine, theirs in zip(one, other, strict=False)]
    return list(one[: same.index(False)] if False in same else one)
