"""Which file each entry becomes: every name judged before anything is written.

Paths are object keys: they may hold what no file system can (`a//b`, `..`, a file beside a folder of the
same name). Such names are refused together, or written in an escape that can be read back:

* `%` becomes `%25` and NUL `%00`; a segment `.` or `..` becomes `%2E`, `%2E%2E`;
* a slash that starts or ends a path or follows another becomes `%2F`: `a//b` is the file `%2Fb` in `a`;
* a file beside a folder of its name gets `%~` at its end: `mnist` beside `mnist/1.png` is `mnist%~`;
* a segment that is too long goes on in a folder: `aaa%+/aaa`;
* on Windows, what it does not take as it stands (`asyncref.engine.fetch.windows`) is `%XX`;
* where a file system does not tell case, upper-case and non-ASCII letters of clashing paths are `%XX`.

All else stays as it is. `decode` reads every form, so no two paths have one name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from asyncref.engine.fetch.windows import guarded, refusal, spelt_out

RESERVED: Final = ".asyncref-"
"""What the names of temporaries start with: no entry may have such a name."""
_SLASH: Final = re.compile(r"(?:^|(?<=/))/|/$")
_TOKEN: Final = re.compile(r"%[0-9A-F]{2}|%~|.", re.DOTALL)
_JOINT_BYTES: Final = 8  # room in a chunk for the joint and for escaped dots


@dataclass(frozen=True, slots=True)
class Conflict:
    """One path that the target cannot hold, and why."""

    path: str
    reason: str


class PathPlan:
    """Judges paths one after the other and then names the file of each.

    Memory: as deep as files are nested in each other's names, so next to none; where the file system does
    not tell case, every path is kept. Cost: about 1 µs a path.

    Args:
        escape: Write what cannot be held in the escape above, instead of refusing it.
        insensitive: The file system does not tell case (nor Unicode normal forms).
        name_max: Most bytes a name.
        path_max: Most bytes a path below the target.
        windows: Names are Windows'.
    """

    def __init__(
        self,
        *,
        escape: bool = False,
        insensitive: bool = False,
        name_max: int = 255,
        path_max: int = 4000,
        windows: bool = os.name == "nt",
    ) -> None:
        self.escape = escape
        self._windows = windows
        self._insensitive = insensitive
        self._name_max = name_max
        self._path_max = path_max
        self._conflicts: list[Conflict] = []
        self._open: list[str] = []  # paths that are prefixes of the last one
        self._beside: set[str] = set()  # files that are folders too
        self._cased: set[str] = set()
        self._folded: dict[str, list[str]] = {}
        self._folders: set[str] = set()

    def add(self, paths: Iterable[str]) -> None:
        """Take further paths, in byte order over all calls."""
        for path in paths:
            if not self.escape and (reason := _reason(path, self._name_max, windows=self._windows)):
                self._conflicts.append(Conflict(path, reason))
            self._add_nested(path)
            if self._insensitive:
                folded = _fold(path)
                self._folded.setdefault(folded, []).append(path)
                self._folders.update(folded[:at] for at, char in enumerate(folded) if char == "/")
            if not self._insensitive and len(path) > self._path_max // 12:
                self._add_long(path)

    def finish(self) -> list[Conflict]:
        """Everything that the target cannot hold, in path order; empty if all is well."""
        for folded, paths in self._folded.items():
            if len(paths) > 1:
                self._cased.update(paths)
            if folded in self._folders:
                self._beside.update(paths)
            for path in paths:
                self._add_long(path)
        if not self.escape:
            self._conflicts += [Conflict(path, "a file and a folder of one name") for path in self._beside]
            self._conflicts += [Conflict(path, "differs from another only in case") for path in self._cased]
        return sorted(self._conflicts, key=lambda conflict: (conflict.path, conflict.reason))

    def local(self, path: str) -> str:
        """The file below the target, with `/` between its segments. After `finish` only."""
        if not self.escape:
            return path
        return self._encoded(path, beside=path in self._beside)

    def _encoded(self, path: str, *, beside: bool) -> str:
        cased = path in self._cased
        return encode(path, beside=beside, cased=cased, name_max=self._name_max, windows=self._windows)

    def _add_nested(self, path: str) -> None:
        files = self._open
        while files and not path.startswith(files[-1]):
            files.pop()
        for file in files:
            if path[len(file)] == "/":
                self._beside.add(file)
        files.append(path)

    def _add_long(self, path: str) -> None:
        local = self._encoded(path, beside=True) if self.escape else path
        if len(local.encode()) > self._path_max:
            self._conflicts.append(Conflict(path, f"longer than {self._path_max} bytes"))


def _reason(path: str, name_max: int, *, windows: bool) -> str | None:
    """Why a path alone cannot be a file; the common case costs five searches."""
    if "\0" in path:
        return "holds a NUL character"
    if not path or path[0] == "/":
        return "starts with a slash" if path else "has no name"
    if path[-1] == "/":
        return "ends with a slash"
    if "//" in path:
        return "holds an empty segment"
    if path[0] == "." or "/." in path:
        segments = path.split("/")
        if "." in segments or ".." in segments:
            return "holds a segment '.' or '..'"
        if any(_is_reserved(segment) for segment in segments):
            return f"holds a segment that starts with {RESERVED}, which temporaries have for themselves"
    if len(path) * 4 > name_max and any(len(segment.encode()) > name_max for segment in path.split("/")):
        return f"holds a segment longer than {name_max} bytes"
    return next(filter(None, map(refusal, path.split("/"))), None) if windows else None


def encode(
    path: str, *, beside: bool = False, cased: bool = False, name_max: int = 255, windows: bool = os.name == "nt"
) -> str:
    """The escape of one path.

    Args:
        path: Any text without lone surrogates.
        beside: It is a file beside a folder of the same name.
        cased: It clashes with another where case is not told.
        name_max: Most bytes a segment of the result.
        windows: The result is for Windows.
    """
    text = _spell_out(path) if cased else path.replace("%", "%25").replace("\0", "%00")
    text = _SLASH.sub("%2F", text)
    if beside or not path:
        text += "%~"
    safe = _safe
    if windows:
        text = "/".join(map(spelt_out, text.split("/")))
        safe = _safe_on_windows
    return "/".join(_cut(safe(segment), name_max, safe) for segment in text.split("/"))


def decode(local: str) -> str:
    """The path that `encode` was given."""
    return unquote_to_bytes(local.replace("%+/", "").removesuffix("%~")).decode()


def _spell_out(path: str) -> str:
    kept = (char if char.isascii() and not char.isupper() and char not in "%\0" else None for char in path)
    pairs = zip(path, kept, strict=True)
    return "".join(char if same else "".join(f"%{byte:02X}" for byte in char.encode()) for char, same in pairs)


def _safe(segment: str) -> str:
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    return "%2E" + segment[1:] if _is_reserved(segment) else segment


def _safe_on_windows(segment: str) -> str:
    return guarded(_safe(segment))


def _is_reserved(segment: str) -> bool:
    return segment[:1] == "." and segment[: len(RESERVED)].casefold() == RESERVED


def _cut(segment: str, name_max: int, safe: Callable[[str], str]) -> str:
    if len(segment) * 4 <= name_max or len(segment.encode()) <= name_max:
        return segment
    chunks, held, room = [""], 0, name_max - _JOINT_BYTES
    for token in _TOKEN.findall(segment):
        token_bytes = len(token.encode())
        if held + token_bytes > room:
            chunks.append("")
            held = 0
        chunks[-1] += token
        held += token_bytes
    return "%+/".join(map(safe, chunks))


def _fold(path: str) -> str:
    """What file systems that do not tell case compare (APFS, HFS+: also without regard to normal forms)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
