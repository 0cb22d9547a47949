"""ManifestStore: a folder of roots and parts, named by what they hold."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from asyncref.errors import ManifestError, ManifestFormatError
from asyncref.manifest.files import linked_whole, written_whole
from asyncref.manifest.parts import Part
from asyncref.manifest.roots import Root, parts_json
from asyncref.manifest.table import Manifest
from asyncref.manifest.writer import write

_COPY_BYTES: Final = 2**20


class ManifestStore:
    """Manifests by identity, under one folder.

        roots/IDENTITY.json      what a manifest says of itself, and its parts
        parts/SHA256.parquet     rows, shared by all manifests that have them

    Parts are written before the root that names them, each under a temporary name, flushed and renamed: a
    root never names a part that is not there, and writers in several processes cannot disturb each other.

    Args:
        folder: Made when the first manifest is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._roots = folder / "roots"
        self._parts = folder / "parts"

    def put(self, manifest: Manifest) -> None:
        """Store a manifest; costs its parts that are not there yet, and a look at each if it is there.

        What is there and damaged, as far as a root's checksum and the parts' sizes tell, is written again.

        Raises:
            ManifestError: It cannot be written (disk full, no permission). Whole parts may be left, no root.
        """
        target = self._roots / f"{manifest.identity}.json"
        if self._is_there(manifest.identity):
            return
        try:
            self._roots.mkdir(parents=True, exist_ok=True)
            self._parts.mkdir(exist_ok=True)
        except OSError as error:
            raise ManifestError(f"cannot be written: {error.strerror}", uri=str(self.folder)) from error
        parts = manifest.parts
        if any(not part.hash for part in parts):  # one exported file: cut it into parts
            written = write(manifest.batches(), manifest.sources)
            if written.identity != manifest.identity:
                raise ManifestFormatError("the rows changed while they were read", uri=str(parts[0].where))
            parts = written.parts
        for part in parts:
            self._put_part(part)
        root = manifest.root()
        with written_whole(target) as file:
            file.write(
                Root(
                    identity=root.identity,
                    digest=root.digest,
                    rows=root.rows,
                    size=root.size,
                    sources=root.sources,
                    record=root.record,
                    parts=parts_json(parts),
                ).dump()
            )

    def get(self, identity: str) -> Manifest:
        """Open a manifest. Its rows are read, and each part's hash checked, as they are asked for.

        Raises:
            KeyError: No such manifest.
            ManifestFormatError: The root is damaged or edited, or one of its parts is missing.
            ManifestVersionError: Written in a newer format.
        """
        source = self._roots / f"{identity}.json"
        try:
            text = source.read_bytes()
        except FileNotFoundError:
            raise KeyError(identity) from None
        except OSError as error:
            raise ManifestError(f"cannot be read: {error.strerror}", uri=str(source)) from error
        root = Root.load(text, uri=str(source))
        parts = [self._part(values, str(source)) for values in root.parts]
        if root.identity != identity:
            raise ManifestFormatError("its root names another identity", uri=str(source))
        if sum(part.rows for part in parts) != root.rows or any(one.last >= two.first for one, two in pairwise(parts)):
            raise ManifestFormatError("its parts do not add up to its rows", uri=str(source))
        return Manifest(root, parts, checked=False)

    def identities(self) -> list[str]:
        """Every manifest's identity, sorted."""
        return sorted(path.stem for path in self._roots.glob("*.json") if not path.name.startswith("."))

    def __contains__(self, identity: object) -> bool:
        return (self._roots / f"{identity}.json").is_file()

    def _is_there(self, identity: str) -> bool:
        try:
            self.get(identity)
        except (KeyError, ManifestError):
            return False
        return True

    def _put_part(self, part: Part) -> None:
        target = self._parts / f"{part.hash}.parquet"
        if target.is_file() and target.stat().st_size == part.bytes:
            return
        if part.is_own and isinstance(part.where, Path) and linked_whole(part.where, target):
            return
        part.check()
        with written_whole(target) as file:
            if isinstance(part.where, pa.Buffer):
                file.write(part.where)
                return
            with part.where.open("rb") as source:
                while block := source.read(_COPY_BYTES):
                    file.write(block)

    def _part(self, values: dict[str, Any], uri: str) -> Part:
        try:
            where = self._parts / f"{values['hash']}.parquet"
            part = Part(where=where, **values)
        except (KeyError, TypeError) as error:
            raise ManifestFormatError("its root lists a part without what it needs", uri=uri) from error
        if not where.is_file() or where.stat().st_size != part.bytes:
            raise ManifestFormatError(f"a part is missing or cut: {where.name}", uri=uri)
        return part
