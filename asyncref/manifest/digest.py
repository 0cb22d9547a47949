"""The two digests of a manifest, hashed from column buffers: W&B's `digest` and our `identity`.

docs/design.md §3 is the specification. Both are independent of the way in which rows are cut into batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson
import pyarrow as pa

from asyncref.manifest.columns import (
    Bytes,
    Column,
    fixed_bytes,
    fixed_rows,
    hex_rows,
    is_empty,
    pc,
    text_bytes,
    text_column,
    text_ends,
)
from asyncref.manifest.rows import digests
from asyncref.model import Source

try:
    from asyncref import _entries
except ImportError:  # there was no compiler
    _entries = None  # type: ignore[assignment]

FORMAT: Final = 1
_HEAD: Final = b"wandb-artifact-manifest-v1\n"
_TEXTS: Final = ("path", "ref", "etag", "digest", "version", "checksum")
_COLUMNS: Final = ("path", "ref", "size", "etag16", "etag", "digest", "version", "md5", "checksum", "source")
_NEVER_NULL: Final = frozenset({"path", "source"})
_MEANING: Final = (
    "scheme",
    "container",
    "prefix",
    "name",
    "endpoint",
    "region",
    "addressing",
    "account",
    "requester_pays",
    "anon",
)


class Digests:
    """Both digests of rows that come in path order.

    Args:
        sources: The manifest's sources.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._content = hashlib.md5(_HEAD, usedforsecurity=False)
        self._streams = {name: _Stream(nullable=name not in _NEVER_NULL) for name in _COLUMNS}
        self._room = bytearray()

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the next rows: compact, canonical, in path order."""
        self._content.update(self._lines(batch))
        for name, stream in self._streams.items():
            stream.update(batch[name], text=name in _TEXTS)

    def _lines(self, batch: pa.RecordBatch) -> memoryview | bytes:
        """`path:digest` and a line feed of every row, as one buffer that holds until the next call."""
        path, etag16 = batch["path"], batch["etag16"]
        if etag16.null_count or not is_empty(batch["digest"]):
            return text_bytes(pc.binary_join_element_wise(path, ":", digests(batch, self._sources), "\n", ""))
        if _entries is None or not len(batch):
            tails = np.empty((len(batch), 34), np.uint8)
            tails[:, 0], tails[:, 33] = ord(":"), ord("\n")
            tails[:, 1:33] = hex_rows(fixed_rows(etag16))
            return text_bytes(pc.binary_join_element_wise(path, text_column(tails), ""))
        _, offsets, data = path.buffers()
        given = (b"" if data is None else data, offsets, path.offset, len(path), fixed_rows(etag16).data)
        length = _entries.lines(*given, self._room)
        if length > len(self._room):
            self._room = bytearray(length)
            _entries.lines(*given, self._room)
        return memoryview(self._room)[:length]

    @property
    def digest(self) -> str:
        """W&B's artifact digest of the rows so far: 32 hex digits."""
        return self._content.hexdigest()

    @property
    def identity(self) -> str:
        """The name of the pinned rows so far with their sources: 64 hex digits."""
        whole = hashlib.sha256(_meaning(self._sources))
        for stream in self._streams.values():
            whole.update(stream.digest())
        return whole.hexdigest()


class _Stream:
    """One column's values: which are present, how long they are, their bytes; each hashed on its own."""

    def __init__(self, *, nullable: bool) -> None:
        self._presence = hashlib.sha256() if nullable else None
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()

    def update(self, column: Column, *, text: bool) -> None:
        if self._presence is not None:
            self._presence.update(_presence(column))
            if is_empty(column):
                return
            if column.null_count:
                column = column.drop_null()
        if text:
            self._lengths.update(np.diff(text_ends(column)).data)
        self._values.update(text_bytes(column) if text else fixed_bytes(column))

    def digest(self) -> bytes:
        present = self._presence.digest() if self._presence is not None else b""
        return present + self._lengths.digest() + self._values.digest()


def _presence(column: Column) -> memoryview:
    rows = len(column)
    if column.null_count in (0, rows):
        return memoryview((b"\0" if column.null_count else b"\1") * rows)
    valid: Bytes = column.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    return memoryview(valid.data)


def _meaning(sources: Sequence[Source]) -> bytes:
    meant = [{name: getattr(source, name) for name in _MEANING} for source in sources]
    return orjson.dumps({"format": FORMAT, "sources": meant}, option=orjson.OPT_SORT_KEYS) + b"\n"
