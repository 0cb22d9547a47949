"""Where references lie on this machine: mounts that are elsewhere here, and the folder that must not go away."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncref.backends.file.failure import path_of
from asyncref.errors import ContainerNotFoundError, NotFoundError, OptionError, StorageError

_WENT: Final = "the folder went away while it was read"
MOUNT_HINT: Final = "is its file system mounted? mounts={'/there': '/here'} says where it lies on this machine"


@dataclass(frozen=True, slots=True)
class Mounts:
    """Folders that lie elsewhere on this machine; the longest that fits a path decides.

    Args:
        pairs: Folder in references, folder here; neither ends in `/`.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, str] | str | None) -> Mounts:
        """From a mapping, or from text: `/there=/here`, several divided by `:`.

        Raises:
            OptionError: Not absolute folders.
        """
        if not given or given == "none":
            return cls()
        if isinstance(given, str):
            parts = [part.partition("=") for part in given.split(":") if part]
            pairs = [(there, here) for there, _, here in parts]
        elif isinstance(given, Mapping):
            pairs = [(str(there), os.fspath(here)) for there, here in given.items()]
        else:
            raise OptionError("mounts has to map folders to folders")
        for pair in pairs:
            if not all(folder.startswith("/") for folder in pair):
                raise OptionError(f"mounts: {pair[0]!r} and {pair[1]!r} have to be absolute folders")
        ordered = sorted(
            ((there.rstrip("/"), here.rstrip("/")) for there, here in pairs), key=lambda pair: -len(pair[0])
        )
        return cls(tuple(ordered))

    def here(self, key: str) -> str:
        """The path on this machine of a path in a reference."""
        for there, here in self.pairs:
            if key.startswith(there) and key[len(there) : len(there) + 1] in ("", "/"):
                return f"{here}{key[len(there) :]}" or "/"
        return key

    def divide(self, folder: str) -> bool:
        """Whether something in this folder lies elsewhere than the folder."""
        return any(f"{there}/".startswith(folder) for there, _ in self.pairs)


@dataclass(slots=True)
class Ground:
    """The folder that a scan started in, or that a manifest's source names. Blocking calls.

    Args:
        folder: Its path on this machine, ending in `/`; None where it is not known yet.
        uri: For errors.
    """

    folder: str | None
    uri: str
    _identity: tuple[int, int] | None = field(default=None)

    def seen(self, folder: str) -> None:
        """A folder is about to be read: if it is this one, or the first at all, remember which it is."""
        if self.folder is None:
            self.folder = folder
        if folder == self.folder and self._identity is None:
            self._identity = _identity_of(folder)

    def require(self, folder: str, device: int | None, uri: str) -> None:
        """Tell names that vanished from a folder from a mount that went away with them.

        Args:
            folder: That they lay in.
            device: That it lay on; None if nobody looked.
            uri: The folder in references.

        Raises:
            StorageError: This folder or that one is no longer what it was.
        """
        if self.folder is not None and self._identity is not None and _identity_of(self.folder) != self._identity:
            raise StorageError(_WENT, uri=self.uri, hint=MOUNT_HINT)
        now = _identity_of(folder)
        if device is not None and now is not None and now[0] != device:
            raise StorageError(_WENT, uri=uri, hint=MOUNT_HINT)

    def explain(self, missing: NotFoundError) -> StorageError:
        """Why something is not there: it is missing, or the ground is.

        Returns:
            The error itself, or one for all: the folder is not there, is empty, or is no longer the one it was.
        """
        if self.folder is None:
            return missing
        now = _identity_of(self.folder)
        if self._identity is not None and now != self._identity:
            return StorageError(_WENT, uri=self.uri, hint=MOUNT_HINT)
        if now is None:
            return ContainerNotFoundError("no such folder", uri=self.uri, hint=MOUNT_HINT)
        if self._identity is None and not self._holds_anything():
            return ContainerNotFoundError("the folder is empty", uri=self.uri, hint=MOUNT_HINT)
        return missing

    def _holds_anything(self) -> bool:
        assert self.folder is not None
        try:
            with os.scandir(path_of(self.folder)) as found:
                return next(found, None) is not None
        except OSError:
            return True


def _identity_of(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path_of(folder))  # noqa: PTH116  bytes paths, whatever the locale
    except OSError:
        return None
    return found.st_dev, found.st_ino
