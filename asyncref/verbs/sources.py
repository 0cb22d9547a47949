"""What a SOURCE stands for: a URI, a manifest file, an artifact. Apart from the listing, which few of the verbs need at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio

from asyncref import registry as registries
from asyncref import uri as uris
from asyncref import verbs
from asyncref.engine.flow import ProgressHook
from asyncref.manifest import Manifest
from asyncref.model import Limits

Globs = Iterable[str] | str | None
Options = Mapping[str, Any] | None
SourceLike = str | Manifest


async def candidates(
    source: str,
    registry: str | None,
    storage_options: Options,
    limits: Limits | None,
    progress: bool | ProgressHook = False,
) -> list[Manifest]:
    """The manifests that a SOURCE stands for: one, or a version's pins with the newest first."""
    if uris.has_scheme(source):
        return [await verbs.scan(source, storage_options=storage_options, limits=limits, progress=progress)]
    if is_file(source):
        return [await anyio.to_thread.run_sync(Manifest.load, Path(source))]
    return await anyio.to_thread.run_sync(_registered, source, registry)


def is_file(source: str) -> bool:
    """Whether a SOURCE is a manifest file and not an artifact's name."""
    return source.endswith((".parquet", ".json")) or "\\" in source or source.startswith((".", "/", "~"))


def _registered(name: str, registry: str | None) -> list[Manifest]:
    opened = registries.Registry.open(registry, read_only=True)
    return opened.manifests(opened.resolve(name))
