"""Text that is safe to print: apart from the rest of the output, so that an error line loads nothing more."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped: a key cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
