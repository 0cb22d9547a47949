"""What the operating system's errors mean: one table from errno to `asyncref.errors`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from asyncref.errors import (
    AccessDeniedError,
    AsyncrefError,
    BadKeyError,
    ConnectionFailedError,
    NotFoundError,
    ServerError,
    StorageError,
    ThrottledError,
    UnsupportedError,
)

_TABLE: Final[dict[int, tuple[Callable[..., AsyncrefError], str]]] = {
    errno.ENOENT: (NotFoundError, "no such file or folder"),
    errno.ENOTDIR: (NotFoundError, "part of the path is a file, not a folder"),
    errno.EISDIR: (NotFoundError, "a folder, not a file"),
    errno.ELOOP: (NotFoundError, "symbolic links that lead to each other"),
    errno.ENAMETOOLONG: (NotFoundError, "no file system here holds so long a name"),
    errno.EACCES: (AccessDeniedError, "the permissions of this file or of a folder above it deny it"),
    errno.EPERM: (AccessDeniedError, "not permitted"),
    # A name that NFS knew and the server has replaced meanwhile: a new look-up finds the new file.
    errno.ESTALE: (ServerError, "the file server replaced the file meanwhile"),
    errno.EIO: (ServerError, "input/output error"),
    errno.ETIMEDOUT: (ConnectionFailedError, "the file server does not answer"),
    errno.EHOSTDOWN: (ConnectionFailedError, "the file server is down"),
    errno.ENOTCONN: (ConnectionFailedError, "the file server is not connected"),
    # Fewer requests at once need fewer descriptors.
    errno.EMFILE: (ThrottledError, "too many open files in this process"),
    errno.ENFILE: (ThrottledError, "too many open files on this machine"),
    errno.ENXIO: (UnsupportedError, "a socket or a device, not a file"),
}


def translated(error: OSError, uri: str) -> AsyncrefError:
    """Our error for the operating system's; what the table does not know is final, not retried."""
    code = errno.errorcode.get(error.errno or 0)
    if known := _TABLE.get(error.errno or 0):
        kind, message = known
        return kind(message, uri=uri, code=code)
    return StorageError(error.strerror or str(error), uri=uri, code=code)


def path_of(key: str) -> bytes:
    """The path of a key, in bytes: what a locale makes of names does not matter then.

    Raises:
        BadKeyError: The key is not text, such as a name from the command line that is not UTF-8, or holds a NUL.
    """
    try:
        path = key.encode()
    except UnicodeEncodeError as error:
        shown = key.encode(errors="backslashreplace").decode()
        raise BadKeyError("a name that is not UTF-8", keys=(shown,), count=1, uri=f"file://{shown}") from error
    if b"\0" in path:
        shown = key.replace("\0", "\\0")
        raise BadKeyError("a name that holds a NUL", keys=(shown,), count=1, uri=f"file://{shown}")
    return path
