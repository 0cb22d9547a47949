"""Finds pages in a rendered bucket: which rows follow a marker, and their bytes as one slice of a mapped file."""

from __future__ import annotations

import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from benchmarks.store.render import Spec, ordinal_of


class _Mapped(Sequence[bytes]):
    """The values of one `.bin` and `.off` pair; nothing is read before it is asked for."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data = _map(folder / f"{name}.bin")
        self.offsets = _map(folder / f"{name}.off").cast("q")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return bytes(self.data[self.offsets[index] : self.offsets[index + 1]])

    def span(self, start: int, stop: int) -> memoryview:
        """The rows `start` to `stop` as one view, not copied."""
        return self.data[self.offsets[start] : self.offsets[stop]]


def _map(path: Path) -> memoryview:
    if path.stat().st_size == 0:
        return memoryview(b"")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _next_prefix(prefix: bytes) -> bytes | None:
    """The least byte string above every one that starts with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Table:
    """One rendered bucket.

    Args:
        spec: What it was rendered from.
        folder: Where.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        self.spec = spec
        self.keys = _Mapped(folder, "keys")
        forms = ("", ".url") if spec.url_form else ("",)
        self._entries = {kind + form: _Mapped(folder, kind + form) for kind in spec.kinds for form in forms}
        self._row_of_key = {kind: _map(folder / f"{kind}.row").cast("q") for kind in spec.kinds}
        self._spans: dict[bytes, tuple[int, int]] = {}

    def rows(self, kind: str) -> int:
        """Entries of this kind in the whole bucket."""
        return len(self._entries[kind])

    def entries(self, kind: str, *, url_form: bool = False) -> _Mapped:
        """The entries as they go over the wire."""
        return self._entries[kind + ".url" if url_form and self.spec.url_form else kind]

    def _keys_under(self, prefix: bytes) -> tuple[int, int]:
        if prefix not in self._spans:
            above = _next_prefix(prefix)
            if len(self._spans) > 10_000:
                self._spans.clear()
            stop = len(self.keys) if above is None else bisect_left(self.keys, above)
            self._spans[prefix] = (bisect_left(self.keys, prefix), stop)
        return self._spans[prefix]

    def rows_under(self, kind: str, prefix: bytes) -> tuple[int, int]:
        """First row under a prefix, and the row after the last."""
        start, stop = self._keys_under(prefix)
        return self._row_of_key[kind][start], self._row_of_key[kind][stop]

    def row_after(self, kind: str, key: bytes, *, inclusive: bool = False) -> int:
        """The first row of the first key above `key`; of `key` itself where `inclusive`."""
        place = bisect_left(self.keys, key) if inclusive else bisect_right(self.keys, key)
        return self._row_of_key[kind][place]

    def row_after_version(self, key: bytes, version: bytes) -> int:
        """The first row of the version listing that follows this version of this key; ValueError: no such version."""
        start, stop = self.versions_of(key)
        ordinal = ordinal_of(version) if self.spec.versioned else 0
        row = start + ordinal
        if start <= row < stop and b"<VersionId>%b</VersionId>" % version in self._entries["versions"][row]:
            return row + 1
        raise ValueError(f"no version {version!r} of {key!r}")

    def versions_of(self, key: bytes) -> tuple[int, int]:
        """The rows of the version listing that belong to a key; equal bounds if there is no such key."""
        place = bisect_left(self.keys, key)
        there = place < len(self.keys) and self.keys[place] == key
        return self._row_of_key["versions"][place], self._row_of_key["versions"][place + there]
