"""W&B's digests of files that are not to be read: base64 MD5 of their resolved path as a `file:` URI."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final
from urllib.parse import quote_from_bytes

import numpy as np
import pyarrow as pa

try:
    from asyncref import _entries
except ImportError:
    _entries = None  # type: ignore[assignment]

_LENGTH: Final = 24


def digest_of(path: bytes) -> str:
    """The digest of one file.

    Args:
        path: Without links.
    """
    return base64.b64encode(hashlib.md5(_uri_of(path)).digest()).decode()


def digests_of(folder: bytes, paths: pa.StringArray) -> pa.StringArray:
    """The digests of files in a folder. Cost: 0.4 µs each, and 1 µs where there was no compiler.

    Args:
        folder: Without links; ends in `/`.
        paths: Within the folder; no nulls.
    """
    head = _uri_of(folder)
    if _entries is not None and len(paths):
        _, offsets, data = paths.buffers()
        texts: Any = _entries.names(b"" if data is None else data, offsets, paths.offset, len(paths), head)
    else:
        texts, begun = bytearray(), hashlib.md5(head)
        for path in paths.to_pylist():
            named = begun.copy()
            named.update(quote_from_bytes(path.encode()).encode())
            texts += base64.b64encode(named.digest())
    ends = np.arange(len(paths) + 1, dtype=np.int32) * np.int32(_LENGTH)
    return pa.Array.from_buffers(pa.string(), len(paths), [None, pa.py_buffer(ends), pa.py_buffer(texts)])


def _uri_of(path: bytes) -> bytes:
    return f"file://{quote_from_bytes(path)}".encode()
