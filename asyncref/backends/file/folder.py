"""One folder as pages: names by one scan, then size and time of a page's files. Blocking; run in threads."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.file.failure import translated
from asyncref.errors import NotFoundError
from asyncref.model import PAGE_SCHEMA

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
    """

    names: pa.BinaryArray
    kinds: np.ndarray[tuple[int], np.dtype[np.uint8]]

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


def read_names(path: bytes) -> Names:
    """Scan one folder.

    Args:
        path: Ends in `/`.

    Raises:
        OSError: As the operating system says.
    """
    names: list[bytes] = []
    kinds = bytearray()
    with os.scandir(path) as found:
        for item in found:
            names.append(item.name)
            kinds.append(_kind(item))
    column = pa.array(names, pa.binary())
    order = pc.sort_indices(column)
    return Names(column.take(order), np.frombuffer(bytes(kinds), np.uint8)[order.to_numpy()])


def _kind(item: os.DirEntry[bytes]) -> int:
    """From the directory itself, without a stat (d_type), on every usual file system."""
    if item.is_symlink():
        return LINK
    if item.is_file(follow_symlinks=False):
        return FILE
    return FOLDER if item.is_dir(follow_symlinks=False) else OTHER


@dataclass(slots=True)
class Rows:
    """Some names of a folder, looked at.

    Attributes:
        names: Those that are files.
        sizes: Bytes.
        times: Last modification, microseconds since 1970.
        refused: What cannot be an entry, with the reason.
        skipped: What is rightly left out, by reason.
    """

    names: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def extend(self, other: Rows) -> None:
        """Append what follows."""
        self.names += other.names
        self.sizes += other.sizes
        self.times += other.times
        self.refused += other.refused
        self.skipped.update(other.skipped)

    def batch(self, prefix: str) -> pa.RecordBatch:
        """The files as a page of `PAGE_SCHEMA`: keys, sizes, times; no pin."""
        count = len(self.names)
        known: dict[str, pa.Array[Any]] = {
            "key": pa.array([prefix.encode() + name for name in self.names], pa.binary()).cast(pa.string()),
            "size": pa.array(self.sizes, pa.int64()),
            "modified": pa.array(self.times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        }
        arrays = [known.get(column.name, pa.nulls(count, column.type)) for column in PAGE_SCHEMA]
        return pa.RecordBatch.from_arrays(arrays, schema=PAGE_SCHEMA)


def look_at(prefix: str, names: Sequence[bytes], kinds: Sequence[int]) -> Rows:
    """Stat files and links, refuse what has no bytes of its own. Cost: one stat a name.

    What vanished since the scan is left out: it is not there.

    Raises:
        RetryableError: A file server that may answer later.
        AccessDeniedError: The folder lets names be read, and nothing more.
    """
    rows = Rows()
    folder = prefix.encode()
    for name, kind in zip(names, kinds, strict=True):
        if text_of(name) is None:
            rows.refused.append(f"{prefix}{shown(name)} (not UTF-8)")
        elif kind == OTHER:
            rows.refused.append(f"{prefix}{shown(name)} (a socket, pipe or device)")
        elif kind != FOLDER:
            _look(rows, prefix, folder, name, linked=kind == LINK)
    return rows


def _look(rows: Rows, prefix: str, folder: bytes, name: bytes, *, linked: bool) -> None:
    path = folder + name
    try:
        found = os.stat(path)  # noqa: PTH116  a path object an entry costs more than the call
    except OSError as error:
        _account(rows, f"{prefix}{shown(name)}", path, error, linked=linked)
        return
    if stat.S_ISREG(found.st_mode):
        rows.names.append(name)
        rows.sizes.append(found.st_size)
        rows.times.append(found.st_mtime_ns // 1000)
    elif not stat.S_ISDIR(found.st_mode):
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
