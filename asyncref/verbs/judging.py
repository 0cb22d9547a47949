"""Verbs that compare what is pinned with what there is: `status`, `audit`, `verify`."""

from __future__ import annotations

from pathlib import Path

from asyncref import uri as uris
from asyncref.checks.audit import audit as _audit
from asyncref.checks.findings import AuditReport
from asyncref.checks.status import StatusReport
from asyncref.checks.status import status as _status
from asyncref.checks.verify import VerifyReport
from asyncref.checks.verify import verify as _verify
from asyncref.display import displayed
from asyncref.engine.flow import ProgressHook
from asyncref.globs import Filter
from asyncref.model import Limits
from asyncref.verbs.scanning import load
from asyncref.verbs.sources import Globs, Options, SourceLike


async def status(
    source: SourceLike,
    *,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
) -> StatusReport:
    """What lies at a manifest's sources now, compared with it: same, changed, gone, new."""
    manifest = await load(source, registry=registry, storage_options=storage_options, limits=limits)
    with displayed(progress) as hook:
        return await _status(manifest, storage_options=storage_options, limits=limits or Limits(), progress=hook)


async def audit(
    source: SourceLike,
    *,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
) -> AuditReport:
    """Whether what a SOURCE pins can be read now, and what may make it unreadable: versioning, rules, tiers, permissions.

    A URI is scanned first. docs/audit.md says what each finding means.
    """
    manifest = await load(source, registry=registry, storage_options=storage_options, limits=limits)
    fresh = isinstance(source, str) and uris.has_scheme(source)
    with displayed(progress) as hook:
        return await _audit(manifest, storage_options=storage_options, limits=limits, progress=hook, compare=not fresh)


async def verify(
    source: SourceLike,
    folder: str | Path,
    *,
    include: Globs = None,
    exclude: Globs = None,
    registry: str | None = None,
    storage_options: Options = None,
    limits: Limits | None = None,
    progress: bool | ProgressHook = False,
    escape: bool = False,
) -> VerifyReport:
    """Whether a folder holds a manifest's bytes: a verdict for each file.

    `escape` must be what the folder was fetched with.
    """
    manifest = await load(source, registry=registry, storage_options=storage_options, limits=limits)
    with displayed(progress) as hook:
        return await _verify(
            manifest,
            Path(folder),
            filter=Filter.of(include, exclude),
            limits=limits or Limits(),
            progress=hook,
            escape=escape,
        )
