"""One folder as pages: names by one scan, then size and times of a page's files. Blocking; run in threads."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.file.failure import translated
from asyncref.backends.file.hashes import State
from asyncref.errors import NotFoundError
from asyncref.model import PAGE_SCHEMA

try:
    from asyncref import _entries
except ImportError:
    _entries = None  # type: ignore[assignment]

FOLDER: Final = ord("/")
FILE: Final = ord("-")
LINK: Final = ord("@")
OTHER: Final = ord("?")


@dataclass(frozen=True, slots=True)
class Names:
    """All names in a folder, sorted by bytes. Memory: about 5 bytes a name more than the names themselves.

    Attributes:
        names: `binary`, strictly ascending.
        kinds: A byte a name: `FOLDER`, `FILE`, `LINK` or `OTHER`.
        device: That the folder lay on before it was read.
    """

    names: pa.BinaryArray
    kinds: np.ndarray[tuple[int], np.dtype[np.uint8]]
    device: int

    def after(self, name: bytes) -> int:
        """Index of the first name after this one."""
        return bisect_right(_Bytes(self.names), name)

    def part(self, start: int, stop: int) -> tuple[list[bytes], list[int]]:
        """Names and their kinds from `start` to before `stop`."""
        return cast("list[bytes]", self.names.slice(start, stop - start).to_pylist()), self.kinds[start:stop].tolist()

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, slots=True)
class _Bytes(Sequence[bytes]):
    """An Arrow column seen as a sequence, for bisect."""

    column: pa.BinaryArray

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]
        value: bytes = self.column[index].as_py()
        return value

    def __len__(self) -> int:
        return len(self.column)


class Scan:
    """A scan of one folder, in steps, so that a huge one is not mistaken for one that hangs.

    Args:
        path: Ends in `/`.
        step_names: Most names a step.

    Raises:
        OSError: As the operating system says; `step` raises so, too.
    """

    def __init__(self, path: bytes, step_names: int = 50_000) -> None:
        self._device = os.stat(path).st_dev  # noqa: PTH116  bytes paths, whatever the locale
        self._found = os.scandir(path)
        self._step_names = step_names
        self._names: list[bytes] = []
        self._kinds = bytearray()

    def step(self) -> Names | None:
        """Read on; all names once there are no more."""
        names, kinds = self._names, self._kinds
        stop = len(names) + self._step_names
        try:
            for item in self._found:
                names.append(item.name)
                kinds.append(kind_of(item))
                if len(names) >= stop:
                    return None
        except BaseException:
            self._found.close()
            raise
        self._found.close()
        column = pa.array(names, pa.binary())
        order = pc.sort_indices(column)
        return Names(column.take(order), np.frombuffer(bytes(kinds), np.uint8)[order.to_numpy()], self._device)


def kind_of(item: os.DirEntry[bytes]) -> int:
    """From the directory itself, without a stat (d_type), on every usual file system."""
    if item.is_file(follow_symlinks=False):
        return FILE
    if item.is_dir(follow_symlinks=False):
        return FOLDER
    return LINK if item.is_symlink() else OTHER


@dataclass(slots=True)
class Rows:
    """Some names of a folder, looked at.

    Attributes:
        names: Those that are files.
        states: What tells each from what it was at another time.
        md5s: Of the content, where it is known without reading; empty: nobody was asked.
        refused: What cannot be an entry, with the reason.
        skipped: What is rightly left out, by reason.
    """

    names: list[bytes] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    md5s: list[bytes | None] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def extend(self, other: Rows) -> None:
        """Append what follows."""
        self.names += other.names
        self.states += other.states
        self.md5s += other.md5s
        self.refused += other.refused
        self.skipped.update(other.skipped)

    def batch(self, prefix: str) -> pa.RecordBatch:
        """The files as a page of `PAGE_SCHEMA`: keys, sizes, times, and the MD5s that are known without reading."""
        count = len(self.names)
        times = np.fromiter((state.mtime_ns for state in self.states), np.int64, count) // 1000
        known: dict[str, pa.Array[Any]] = {
            "key": pa.array([prefix + name.decode() for name in self.names], pa.string()),
            "size": pa.array([state.size for state in self.states], pa.int64()),
            "modified": pa.Array.from_buffers(TIME, count, [None, pa.py_buffer(times)]),
        }
        if any(md5 is not None for md5 in self.md5s):
            known["md5"] = pa.array(self.md5s, pa.binary(16))
        return page_of(known, count)


TIME: Final = PAGE_SCHEMA.field("modified").type
_NULLS: Final = [pa.nulls(4096, column.type) for column in PAGE_SCHEMA]


def page_of(known: Mapping[str, pa.Array[Any]], count: int) -> pa.RecordBatch:
    """Rows of `PAGE_SCHEMA`, of which some columns are known."""
    arrays = [known.get(column.name, nulls) for column, nulls in zip(PAGE_SCHEMA, _nulls(count), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


def _nulls(count: int) -> list[pa.Array[Any]]:
    """A null column of each type; few rows are slices of columns made once."""
    if count > len(_NULLS[0]):
        return [pa.nulls(count, column.type) for column in PAGE_SCHEMA]
    return [column.slice(0, count) for column in _NULLS]


def look_at(
    prefix: str,
    names: Sequence[bytes],
    kinds: Sequence[int],
    path: bytes | None = None,
) -> Rows:
    """Stat files and links, refuse what has no bytes of its own. Cost: one stat a name.

    What vanished since the scan is left out: it is not there.

    Args:
        prefix: What keys start with.
        names: In the folder.
        kinds: Of each name.
        path: Where the folder lies here; None: where `prefix` says.

    Raises:
        RetryableError: A file server that may answer later.
        AccessDeniedError: The folder lets names be read, and nothing more.
    """
    rows = Rows()
    folder = prefix.encode() if path is None else path
    texts = _all_text(names)
    files = [
        name for name, kind in zip(names, kinds, strict=True) if kind == FILE and (texts or text_of(name) is not None)
    ]
    looks = iter(_looks(folder, files))
    for name, kind in zip(names, kinds, strict=True):
        if not texts and text_of(name) is None:
            rows.refused.append(f"{prefix}{shown(name)} (not UTF-8)")
        elif kind == FILE:
            _enter(rows, prefix, folder, name, next(looks), linked=False)
        elif kind == LINK:
            follow(rows, prefix, folder, name)
        elif kind == OTHER:
            rows.refused.append(f"{prefix}{shown(name)} (a socket, pipe or device)")
    return rows


def _all_text(names: Sequence[bytes]) -> bool:
    return text_of(b"/".join(names)) is not None


Look: TypeAlias = State | OSError | int
"""What a look at a name gave: a file, the kind of anything else, or why there is none."""


def _looks(folder: bytes, names: Sequence[bytes]) -> Sequence[Look]:
    """A look at each name, by the compiled way where there is one: threads that stat a name each wait for the interpreter."""
    if _entries is None:
        return [look_plainly(folder + name) for name in names]
    found, outcomes = _entries.states(folder, b"".join([name + b"\0" for name in names]), len(names))
    numbers = np.frombuffer(found, np.int64).reshape(-1, 5)
    places = numbers[:, :2].astype(np.uint64).tolist()
    return [
        State(*place, *rest) if outcome == -FILE else -outcome if outcome < 0 else _failure(outcome, folder + name)
        for outcome, place, rest, name in zip(
            np.frombuffer(outcomes, np.int32).tolist(), places, numbers[:, 2:].tolist(), names, strict=True
        )
    ]


def _failure(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), path)


def look_plainly(path: bytes) -> Look:
    """The same of one path, by Python."""
    try:
        found = os.stat(path)  # noqa: PTH116  a path object costs more than the call
    except OSError as error:
        return error
    if stat.S_ISREG(found.st_mode):
        return State.of(found)
    return FOLDER if stat.S_ISDIR(found.st_mode) else OTHER


def follow(rows: Rows, prefix: str, folder: bytes, name: bytes) -> None:
    """Enter what a link in a folder leads to, if that is a file."""
    _enter(rows, prefix, folder, name, look_plainly(folder + name), linked=True)


def _enter(rows: Rows, prefix: str, folder: bytes, name: bytes, look: Look, *, linked: bool) -> None:
    if isinstance(look, State):
        rows.names.append(name)
        rows.states.append(look)
    elif isinstance(look, OSError):
        _account(rows, f"{prefix}{shown(name)}", folder + name, look, linked=linked)
    elif look != FOLDER:
        rows.refused.append(f"{prefix}{shown(name)} (a socket, pipe or device)")
    elif linked:
        rows.skipped["folder_link"] += 1


def _account(rows: Rows, key: str, path: bytes, error: OSError, *, linked: bool) -> None:
    """A name without a stat: a broken link is refused, a vanished file is nothing, all else an error."""
    ours = translated(error, f"file://{key}")
    if not isinstance(ours, NotFoundError):
        raise ours from error
    if linked and os.path.lexists(path):
        rows.refused.append(f"{key} ({'a link in a circle' if error.errno == errno.ELOOP else 'a broken link'})")
    else:
        rows.skipped["vanished"] += 1


def text_of(name: bytes) -> str | None:
    """The name as text; None if it is not UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def shown(name: bytes) -> str:
    """The name for a person, whatever its bytes."""
    return name.decode(errors="backslashreplace")
