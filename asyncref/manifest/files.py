"""Files that appear whole or not at all: temporary name, flush, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from asyncref.errors import ManifestError


@contextmanager
def written_whole(target: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name, and is on disk, when the block ends without an error.

    Raises:
        ManifestError: It cannot be written (disk full, no permission, no such folder); nothing is left.
    """
    temporary = _temporary(target)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise ManifestError(f"cannot be written: {error.strerror or error}", uri=str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def linked_whole(source: Path, target: Path) -> bool:
    """Give a finished file a second name, on disk when this returns; nothing is copied.

    Returns:
        False where that cannot be, such as from one file system to another: it has to be written again then.
    """
    temporary = _temporary(target)
    try:
        temporary.hardlink_to(source)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
