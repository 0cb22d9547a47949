"""Artifact: a draft that references are added to, or a version that was logged. Sync, each verb with an async twin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from asyncref import config
from asyncref.artifacts.described import Described
from asyncref.artifacts.merging import merge
from asyncref.backends.mounting import with_mounts
from asyncref.display import displayed
from asyncref.engine.fetch import fetch
from asyncref.engine.flow import ProgressHook
from asyncref.engine.scan import Target, scan
from asyncref.errors import InvalidURIError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.net import portal
from asyncref.registry import Registry, RunRecord, Version
from asyncref.uri import has_scheme

Globs = Iterable[str] | str | None


class Artifact(Described):
    """A named manifest: made empty, filled by `add_reference`, logged by `Run.log_artifact`.

    Args:
        name: Letters, digits, `-`, `_` and `.`; at most 128 characters.
        type: Such as `dataset` or `model`; fixed by the artifact's first version.
        description: Kept with the version.
        metadata: JSON values, kept with the version.

    Raises:
        InvalidNameError: A name or type with characters that it may not have.
    """

    def add_reference(
        self,
        uri: str,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        include: Globs = None,
        exclude: Globs = None,
        limits: Limits | None = None,
        progress: bool | ProgressHook = False,
    ) -> Manifest:
        """Scan a reference now and add what it names; not a byte of content is copied.

        Several references are several scans, each complete in itself; what lies at the same path has to have
        the same pin.

        Args:
            uri: `s3://bucket/prefix`, `file:///folder`, ...
            name: What the paths start with; for a single object its path.
            checksum: False: not pinned. On a bucket that is one entry for the URI and no request.
            max_objects: More are an error, never a cut.
            storage_options: fsspec's names.
            include: Globs of what to take.
            exclude: Globs of what to leave out; they win.
            limits: Bounds on requests, memory and time.
            progress: True shows progress on a terminal; or a hook.

        Returns:
            The manifest of what was added: iterating it gives its entries.

        Raises:
            InvalidURIError: No scheme.
            UsageError: The artifact is logged already.
            NothingFoundError: Nothing there.
            TooManyObjectsError: More than `max_objects`.
            DuplicatePathError: A path that the artifact has with another pin.
        """
        return portal.call(
            self.aadd_reference,
            uri,
            name,
            checksum,
            max_objects,
            storage_options=storage_options,
            include=include,
            exclude=exclude,
            limits=limits,
            progress=progress,
        )

    async def aadd_reference(
        self,
        uri: str,
        name: str | None = None,
        checksum: bool = True,
        max_objects: int | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        include: Globs = None,
        exclude: Globs = None,
        limits: Limits | None = None,
        progress: bool | ProgressHook = False,
    ) -> Manifest:
        """The async twin of `add_reference`."""
        self._check_draft()
        if not has_scheme(uri):
            raise InvalidURIError("a reference needs a scheme", uri=uri, hint="for a local path use file://")
        with displayed(progress) as hook:
            found = await scan(
                [Target(uri=uri, name=name, checksum=checksum)],
                storage_options=storage_options,
                filter=Filter.of(include, exclude),
                limits=limits,
                max_objects=max_objects,
                progress=hook,
            )
        await anyio.to_thread.run_sync(self.add_manifest, found)
        return found

    def add_manifest(self, manifest: Manifest) -> Manifest:
        """Add the entries of a manifest that was scanned or loaded before.

        Raises:
            UsageError: The artifact is logged already.
            DuplicatePathError: A path that the artifact has with another pin.
        """
        self._check_draft()
        self._manifest = manifest if self._manifest is None else merge([self._manifest, manifest])
        return manifest

    def download(
        self,
        root: str | Path | None = None,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,
        path_prefix: str | None = None,
        multipart: bool | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        progress: bool | ProgressHook = False,
        escape: bool = False,
        overwrite: bool | None = None,
        mounts: Mapping[str, str] | None = None,
    ) -> str:
        """Write exactly the pinned bytes into a folder.

        Args:
            root: The folder. None: `artifacts/NAME:vN` under the working folder (or `WANDB_ARTIFACT_DIR`), which
                appears under this name only when it is whole.
            allow_missing_references: Objects that are gone are left out, and it is no error.
            skip_cache: W&B's; there is no cache to skip.
            path_prefix: Only paths that start with it.
            multipart: W&B's; parts of large objects are always read in parallel.
            storage_options: Win over what was recorded of the sources.
            limits: Bounds on requests, memory and time.
            progress: True shows progress on a terminal; or a hook.
            escape: Write names that the file system cannot hold under a reversible escape.
            overwrite: Replace files that lie there and differ. None: only in the artifact's own folder.
            mounts: Folders of file references that lie elsewhere here, such as `{"/mount": "/mnt/nfs"}`; None: the
                setting of this name.

        Returns:
            The folder, as W&B gives it: absolute where `root` was not given.

        Raises:
            UsageError: The artifact is not logged yet.
            FetchError: Objects that were overwritten or are gone, each named.
            PathConflictError: Names that cannot lie side by side; nothing was written.
        """
        del skip_cache, multipart
        return portal.call(
            self.adownload,
            root,
            allow_missing_references,
            path_prefix=path_prefix,
            storage_options=storage_options,
            limits=limits,
            progress=progress,
            escape=escape,
            overwrite=overwrite,
            mounts=mounts,
        )

    async def adownload(
        self,
        root: str | Path | None = None,
        allow_missing_references: bool = False,
        *,
        path_prefix: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        progress: bool | ProgressHook = False,
        escape: bool = False,
        overwrite: bool | None = None,
        mounts: Mapping[str, str] | None = None,
    ) -> str:
        """The async twin of `download`."""
        version, registry = self._logged()
        folder = str(root) if root is not None else _default_root(version)
        manifests = await anyio.to_thread.run_sync(registry.manifests, version)
        with displayed(progress) as hook:
            await fetch(
                manifests[0],
                Path(folder),
                path_prefix=path_prefix,
                storage_options=with_mounts(storage_options, mounts),
                limits=limits or Limits(),
                progress=hook,
                allow_missing=allow_missing_references,
                escape=escape,
                overwrite=root is None if overwrite is None else overwrite,
                whole=root is None,
                older=manifests[1:],
            )
        return folder

    def new_draft(self) -> Artifact:
        """A draft with the same content, to change and log as the next version."""
        version, _ = self._logged()
        draft = Artifact(version.name, version.type, self.description, self.metadata)
        draft.add_manifest(self.manifest)
        return draft


def _default_root(version: Version) -> str:
    return str(Path(config.get("artifacts").value).absolute() / version.label)


async def log(
    artifact: Artifact, registry: Registry, *, run: RunRecord, aliases: Iterable[str] | str | None, use: bool
) -> None:
    """Log a draft as a version, in a thread: its manifest is stored and the registry written."""
    write = partial(
        registry.log,
        artifact.manifest,
        name=artifact.name,
        type=artifact.type,
        project=run.project,
        entity=run.entity,
        aliases=aliases or (),
        description=artifact.description,
        metadata=artifact.metadata,
        run_id=run.id,
        use=use,
    )
    artifact.mark_logged(await anyio.to_thread.run_sync(write), registry)
