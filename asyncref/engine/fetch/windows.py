r"""What Windows makes of a name that every other system takes as it stands: pure, so that it is tested anywhere.

A backslash divides folders there and a colon ends a drive or begins a stream, so `C:\x` or `a\b` would lie elsewhere than
it says; dots and spaces at the end are dropped, so `a.` and `a` are one file; `con.txt` is the console.
"""

from __future__ import annotations

import re
from typing import Final

_FORBIDDEN: Final = re.compile(r'[\x00-\x1f<>:"|?*\\]')
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL
)


def refusal(segment: str) -> str | None:
    """Why a name without slashes cannot be a file's or folder's on Windows."""
    if (found := _FORBIDDEN.search(segment)) is not None:
        return f"holds {found[0]!r}, which Windows takes for no part of a name"
    if segment.endswith((".", " ")):
        return "ends a segment with a dot or a space, which Windows drops"
    if _DEVICE.fullmatch(segment):
        return "holds a segment that is a device on Windows"
    return None


def spelt_out(segment: str) -> str:
    """The same with `%XX` for the characters that cannot be; `%` itself is escaped already."""
    return _FORBIDDEN.sub(lambda found: _escaped(found[0]), segment)


def guarded(segment: str) -> str:
    """The same with `%XX` for a dot or a space at its end, and for the first letter of a device."""
    if segment.endswith((".", " ")):
        segment = segment[:-1] + _escaped(segment[-1])
    return _escaped(segment[0]) + segment[1:] if _DEVICE.fullmatch(segment) else segment


def _escaped(char: str) -> str:
    return f"%{ord(char):02X}"
