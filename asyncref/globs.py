"""Patterns that choose paths: one rule for scan, select, fetch and the command line.

A glob without `/` matches the basename at any depth; with one it matches the whole relative path. `*` and
`?` stop at `/`, `**` does not, `[...]` is a set. Exclude wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Final

_TOKEN: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)


@lru_cache(maxsize=1024)
def to_regex(glob: str) -> str:
    """The RE2 and Python regular expression that matches whole paths as the glob does."""
    body = "".join(_translate(token) for token in _TOKEN.findall(glob.lstrip("/")))
    anywhere = "" if "/" in glob else r"(?:[\s\S]*/)?"
    return rf"^{anywhere}{body}$"


def anchored(glob: str) -> tuple[str, str] | None:
    """The text that everything which a glob matches starts with, and what of the glob follows; None: at any depth."""
    if "/" not in glob:
        return None
    tokens = _TOKEN.findall(glob.lstrip("/"))
    head = "".join(takewhile(lambda part: len(part) == 1 and part not in "*?", tokens))
    return head, "".join(tokens)[len(head) :]


def _translate(token: str) -> str:
    match token:
        case "**/":
            return r"(?:[\s\S]*/)?"
        case "**":
            return r"[\s\S]*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
    if len(token) > 1:
        negated = token[1] in "!^"
        members = token[2 if negated else 1 : -1].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
        return f"[{'^/' if negated else ''}{members}]"
    return re.escape(token)


@dataclass(frozen=True, slots=True)
class Filter:
    """What to take: everything that an include matches (all, if there are none) and no exclude does."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: Iterable[str] | str | None = None, exclude: Iterable[str] | str | None = None) -> Filter:
        """From what a caller gives: one glob, several, or none."""
        return cls(_tuple(include), _tuple(exclude))

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.include or self.exclude)

    @property
    def include_regex(self) -> str | None:
        """One expression for all includes; None if there are none."""
        return "|".join(map(to_regex, self.include)) or None

    @property
    def exclude_regex(self) -> str | None:
        """One expression for all excludes; None if there are none."""
        return "|".join(map(to_regex, self.exclude)) or None

    def matches(self, path: str) -> bool:
        """Whether one path is taken."""
        return bool(
            (not self.include or re.search(self.include_regex or "", path))
            and not (self.exclude and re.search(self.exclude_regex or "", path))
        )


def _tuple(globs: Iterable[str] | str | None) -> tuple[str, ...]:
    if globs is None:
        return ()
    return (globs,) if isinstance(globs, str) else tuple(globs)
