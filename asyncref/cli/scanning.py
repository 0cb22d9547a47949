"""`scan` and `log`: a source becomes a manifest, and a manifest a version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncref import verbs
from asyncref.checks.prices import load as load_prices
from asyncref.cli.describing import accounts, describe_manifest, show_manifest, show_version
from asyncref.cli.estimating import PricesFile, describe_cost, show_forecasts
from asyncref.cli.exits import INCOMPLETE
from asyncref.cli.naming import Name, is_file
from asyncref.cli.options import BadKeys, Bounds, Output, Place, Selection, Storage, grouped, reach
from asyncref.cli.output import emit_json
from asyncref.cli.running import run
from asyncref.engine.flow import ProgressHook
from asyncref.engine.scan import Save
from asyncref.errors import NothingFoundError, UsageError
from asyncref.manifest import Manifest
from asyncref.registry import Registry, Version, names
from asyncref.uri import has_scheme

app = typer.Typer(rich_markup_mode=None)

_OUTCOMES: Final = {
    "new": "new version",
    "same": "nothing changed: no new version",
    "pins": "same content and references: no new version, newer pins kept",
}

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE", help="URIs, such as s3://bucket/prefix or file:///folder.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanning:
    """What to take from a source, and how to pin it."""

    name: Annotated[str | None, typer.Option("--name", metavar="PATH", help="Put the entries under this path.")] = None
    max_objects: Annotated[int | None, typer.Option("--max-objects", min=1, help="More are an error, never a cut.")] = (
        None
    )
    bad_keys: Annotated[
        BadKeys, typer.Option("--bad-keys", help="What to do with keys that no path can stand for.")
    ] = BadKeys.raise_
    checksum: Annotated[
        bool, typer.Option("--checksum/--no-checksum", help="Without: a bucket is one entry by its URI, not listed.")
    ] = True
    no_heads: Annotated[
        bool, typer.Option("--no-heads", help="Never ask object by object where the listing may not tell version ids.")
    ] = False
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where the same command was interrupted; keep what is listed till then."),
    ] = False

    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Pin what lay there at this time, such as 2026-01-31T12:00:00Z."),
    ] = None

    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="SOURCE", help="A former manifest's file or name: its keys split the listing."
        ),
    ] = None

    column: Annotated[
        str | None,
        typer.Option(
            "--column", metavar="NAME", help="SOURCE is a list of URLs, CSV or Parquet, with them in this column."
        ),
    ] = None

    def wanted(self, storage: Storage, bounds: Bounds, selection: Selection) -> dict[str, Any]:
        """The keyword arguments of `verbs.scan`."""
        return {
            **reach(storage, bounds),
            **selection.globs(),
            "name": self.name,
            "max_objects": self.max_objects,
            "bad_keys": self.bad_keys.value,
            "checksum": self.checksum,
            "heads": "never" if self.no_heads else "auto",
            "resume": self.resume,
            "at": self.at,
            "against": self.against,
            "column": self.column,
        }


@app.command("scan")
@grouped
def scan(
    *,
    source: Sources,
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    scanning: Scanning,
    output: Output,
    allow_partial: Annotated[
        bool,
        typer.Option("--allow-partial", help="Keep what was listed before an error or Ctrl-C, marked; exit code 4."),
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.parquet", help="Where to save the manifest.")
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only say what a scan and a fetch would cost, by a sample of the listing."),
    ] = False,
    prices: PricesFile = None,
) -> None:
    """List a source into a manifest file.

    Not one object is read from a bucket: paths, sizes, ETags and version ids come from its listing.
    """
    if estimate:
        if any(selection.globs().values()) or scanning.at is not None:
            raise UsageError("--estimate knows no globs and no --at", hint="estimate the prefix itself")
        if file is not None:
            raise UsageError("--estimate makes no manifest, so there is none to save", hint="leave out --output")
        asked = {**reach(storage, bounds), "column": scanning.column, "prices": prices}
        show_forecasts(run(output, lambda hook: verbs.forecast(source, progress=hook, **asked)), output)
        return
    table = load_prices(prices)
    if file is not None:
        _check_writable(file)
    wanted = {**scanning.wanted(storage, bounds, selection), "allow_partial": allow_partial}
    save = partial(Manifest.save, path=file) if file is not None else None
    manifest = run(output, lambda hook: verbs.scan(source, progress=hook, save=save, **wanted))
    cost = table.cost(manifest.sources, manifest.record.requests)
    if output.as_json:
        saved = None if file is None else str(file)
        emit_json("asyncref.scan/1", {**describe_manifest(manifest), "file": saved, "cost": describe_cost(cost)})
    else:
        show_manifest(manifest, {"cost": cost, "file": file})
    if not manifest.record.complete:
        raise typer.Exit(INCOMPLETE)


@app.command("log")
@grouped
def log(
    *,
    artifact: Name,
    source: Sources,
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    scanning: Scanning,
    place: Place,
    output: Output,
    kind: Annotated[str, typer.Option("--type", help="The artifact's type, such as dataset or model.")] = "dataset",
    alias: Annotated[list[str] | None, typer.Option("--alias", help="An alias for the version; repeatable.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="A sentence to keep with it.")] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Log what was listed before an error or Ctrl-C, marked; latest does not move; exit code 4.",
        ),
    ] = False,
    prices: PricesFile = None,
) -> None:
    """Scan a source and log it as a version of an artifact.

    A new version is made only if content or references changed since the latest one.
    """
    whole = names.parse(artifact)
    if whole.selector:
        raise UsageError("log makes the version itself", uri=artifact, hint="give the name alone, aliases by --alias")
    aliases, table = names.check_aliases(alias), load_prices(prices)
    registry = Registry.open(place.registry)  # before the scan: a registry that cannot be written costs no hour
    wanted = {**scanning.wanted(storage, bounds, selection), "registry": place.registry, "allow_partial": allow_partial}
    project, entity = whole.project or place.project, whole.entity or place.entity
    versions: list[Version] = []

    def keep(manifest: Manifest) -> None:
        if not len(manifest):
            raise NothingFoundError(
                "no entry is there, or none matches the filter", uri=source[0], hint="no version was made"
            )
        record = registry.start_run(project=project, entity=entity, job_type="asyncref log")
        version = registry.log(
            manifest,
            name=whole.name,
            type=kind,
            project=project,
            entity=entity,
            aliases=aliases,
            description=description,
            run_id=record.id,
            allow_partial=allow_partial,
        )
        registry.finish_run(record.id)
        versions.append(version)

    manifest, requests = run(output, lambda hook: _manifest(source, wanted, hook, keep))
    (version,) = versions
    cost = table.cost(manifest.sources, requests) if requests else None
    if output.as_json:
        said = {"version": version.to_json(), "manifest": describe_manifest(manifest), "cost": describe_cost(cost)}
        emit_json("asyncref.log/1", said)
    else:
        outcome = _OUTCOMES[version.outcome or "new"]
        show_version(version, {"outcome": outcome, **accounts(manifest), "cost": cost})
    if not manifest.record.complete:
        raise typer.Exit(INCOMPLETE)


async def _manifest(
    source: list[str], wanted: dict[str, Any], hook: ProgressHook, keep: Save
) -> tuple[Manifest, Mapping[str, int]]:
    """What to log, kept; and the requests that this took: none where it is a file's manifest, whoever scanned it."""
    if len(source) > 1 or has_scheme(source[0]) or not is_file(source[0]):
        scanned = await verbs.scan(source, progress=hook, save=keep, **wanted)
        return scanned, scanned.record.requests
    loaded = await verbs.load(source[0])
    include, exclude = wanted["include"], wanted["exclude"]
    manifest = loaded.select(include=include, exclude=exclude) if include or exclude else loaded
    keep(manifest)
    return manifest, {}


def _check_writable(file: Path) -> None:
    if not is_file(file.name):
        hint = "show, fetch and diff know a manifest file by this ending"
        raise UsageError("a manifest file ends in .parquet", uri=str(file), hint=hint)
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError("the folder does not exist", uri=str(folder), hint="make it first")
    if file.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError("no file can be written there", uri=str(file))
