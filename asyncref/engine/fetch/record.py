"""What a folder was last seen to hold, kept in the cache folder: a second fetch looks at files, it does not read them.

One file a target folder: 16 bytes that name the format, then 40 bytes a file, in no order:

    16  blake2b of the file's path below the folder and of its content's pin
     8  modification time in nanoseconds
     8  inode
     8  size in bytes

A file whose time, inode and size are still those is the one whose content was checked then, as git trusts its index.
Whoever wants it read again asks for `checksum="always"`. Losing the record costs reading the files once. Blocking calls only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asyncref.model import Pin

_MAGIC: Final = b"asyncref-seen/1\n"
_ROW: Final = np.dtype([("low", "<u8"), ("high", "<u8"), ("mtime_ns", "<i8"), ("inode", "<u8"), ("size", "<i8")])
_BUFFER_BYTES: Final = 2**20


class Record:
    """The record of one folder: what an earlier run saw, and what this one sees.

    Memory: 16 bytes a file of the earlier run. What this run sees goes to a file beside the record's, which `commit`
    puts in its place.

    Args:
        folder: Of all records.
        root: The target folder, without links in its path.
    """

    def __init__(self, folder: Path, root: str) -> None:
        self._folder = folder
        self._root = root
        self._path = _path_of(folder, root)
        self._next = self._path.with_suffix(f".{os.getpid()}")
        self._rows = _load(self._path)
        self._order = np.argsort(self._rows["low"], kind="stable")
        self._sorted = self._rows["low"][self._order]
        self._kept: list[npt.NDArray[np.int64]] = []
        self._file: IO[bytes] | None = None
        self._failed = False  # a full or read-only cache folder costs time in the next run, nothing else

    def settled(self, batch: pa.RecordBatch, locals_: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which rows of a manifest lie there unchanged: one look at each file that the record knows, about 5 µs.

        Args:
            batch: Rows of `ENTRY_SCHEMA`.
            locals_: Their files below the folder.
        """
        found = np.zeros(batch.num_rows, np.bool_)
        if not len(self._rows):
            return found
        keys = np.frombuffer(b"".join(_keys(batch, locals_)), "<u8").reshape(-1, 2)
        places = np.searchsorted(self._sorted, keys[:, 0])
        known = places < len(self._sorted)
        rows = self._order[np.where(known, places, 0)]
        known &= (self._rows["low"][rows] == keys[:, 0]) & (self._rows["high"][rows] == keys[:, 1])
        wanted = self._rows[rows][["mtime_ns", "inode", "size"]].tolist()
        for at in np.flatnonzero(known).tolist():
            try:
                seen = os.lstat(f"{self._root}/{locals_[at]}")
            except OSError:
                continue
            found[at] = (seen.st_mtime_ns, seen.st_ino, seen.st_size) == wanted[at]
        self._kept.append(rows[found])
        return found

    def add(self, local: str, pin: Pin, seen: os.stat_result) -> None:
        """Note a file that was just checked.

        Args:
            local: Its path below the folder.
            pin: Of its content.
            seen: What the system said of it before its content was looked at, or after it was written.
        """
        key = _key(local, pin.etag, pin.checksum, pin.version)
        if key is None or self._failed:
            return
        numbers = (seen.st_mtime_ns, seen.st_ino, seen.st_size)
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = self._next.open("wb", buffering=_BUFFER_BYTES)
                self._file.write(_MAGIC)
            self._file.write(key + b"".join([number.to_bytes(8, "little") for number in numbers]))
        except OSError:
            self._failed = True

    def commit(self, root: str | None = None) -> None:
        """Put what was seen in the place of the earlier record; nothing if nothing new was seen.

        Args:
            root: The folder's name by now.
        """
        if self._file is None or self._failed:
            self.discard()
            return
        try:
            for rows in self._kept:
                self._file.write(self._rows[rows].tobytes())
            self._file.close()
            self._next.replace(_path_of(self._folder, root or self._root))
            self._file = None
        except OSError:
            self.discard()

    def discard(self) -> None:
        """Forget what was not committed. Idempotent."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
            with suppress(OSError):
                self._next.unlink()


def _path_of(folder: Path, root: str) -> Path:
    return folder / f"{hashlib.blake2b(os.fsencode(root), digest_size=16).hexdigest()}.seen"


def _load(path: Path) -> npt.NDArray[Any]:
    """The rows of an earlier record; none where it is missing, cut or of another format."""
    try:
        held = path.stat().st_size - len(_MAGIC)
        with path.open("rb") as file:
            fits = file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return np.empty(0, _ROW)
    if not fits or held < _ROW.itemsize:
        return np.empty(0, _ROW)
    return np.memmap(path, _ROW, "r", len(_MAGIC), (held // _ROW.itemsize,))


def _keys(batch: pa.RecordBatch, locals_: Sequence[str]) -> list[bytes]:
    """Keys of a batch's rows; one that no file has where nothing pins a row."""
    etags = [
        f'"{bare.hex()}"' if bare is not None else etag
        for bare, etag in zip(batch["etag16"].to_pylist(), batch["etag"].to_pylist(), strict=True)
    ]
    checksums = [
        f"md5:{bare.hex()}" if bare is not None else checksum
        for bare, checksum in zip(batch["md5"].to_pylist(), batch["checksum"].to_pylist(), strict=True)
    ]
    versions = cast("list[str | None]", batch["version"].to_pylist())
    return [_key(*row) or bytes(16) for row in zip(locals_, etags, checksums, versions, strict=True)]


def _key(local: str, etag: str | None, checksum: str | None, version: str | None) -> bytes | None:
    if etag is None and checksum is None and version is None:
        return None
    content = etag or checksum or version
    return hashlib.blake2b(f"{local}\0{content}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
