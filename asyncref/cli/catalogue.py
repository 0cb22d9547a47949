"""`artifacts`, `versions`, `show` and `lineage`: what the registry knows."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from asyncref import verbs
from asyncref.cli.describing import accounts, describe_manifest, show_manifest, show_version
from asyncref.cli.naming import Name, Source, is_file
from asyncref.cli.options import Bounds, Output, Place, Storage, grouped, reach
from asyncref.cli.output import emit_fields, emit_json, emit_lines, emit_table
from asyncref.cli.printable import printable
from asyncref.cli.running import configure, run
from asyncref.display import human_bytes, human_count
from asyncref.errors import UsageError
from asyncref.registry import Registry, RunRecord, Version, names
from asyncref.uri import has_scheme

app = typer.Typer(rich_markup_mode=None)


@app.command("artifacts")
@grouped
def artifacts(
    place: Place,
    output: Output,
    kind: Annotated[str | None, typer.Option("--type", help="Only artifacts of this type.")] = None,
) -> None:
    """List the artifacts of a project.

    Of every project, unless --project or --entity choose one.
    """
    configure(output)
    registry = Registry.open(place.registry, read_only=True)
    found = registry.artifacts(project=place.project, entity=place.entity, type=kind)
    if not found:
        why = "is not there yet; asyncref log makes it" if registry.missing else "holds no such artifact"
        print(f"asyncref: note: the registry {printable(registry.url)} {why}", file=sys.stderr)  # noqa: T201
    if output.as_json:
        listed = [{"versions": one.versions, "newest": one.newest.to_json()} for one in found]
        emit_json("asyncref.artifacts/1", {"artifacts": listed})
        return
    rows = ((one.newest.entity, one.newest.project, *_columns(one.newest), one.versions) for one in found)
    emit_table(["entity", "project", "newest", "type", "aliases", ">objects", ">size", "logged", ">versions"], rows)


@app.command("versions")
@grouped
def versions(name: Name, place: Place, output: Output) -> None:
    """List the versions of an artifact.

    Newest first, with digests and aliases.
    """
    configure(output)
    if names.parse(name).selector:
        raise UsageError("versions lists them all", uri=name, hint="give the name alone; show says what one version is")
    found = Registry.open(place.registry, read_only=True).versions(name, project=place.project, entity=place.entity)
    if output.as_json:
        emit_json("asyncref.versions/1", {"versions": [one.to_json() for one in found]})
        return
    columns = ["version", "type", "aliases", ">objects", ">size", "logged", "digest"]
    emit_table(columns, ((*_columns(one), one.digest) for one in found))


@app.command("show")
@grouped
def show(source: Source, storage: Storage, bounds: Bounds, place: Place, output: Output) -> None:
    """Show what a version or a manifest is.

    Its digests, sources and how it was scanned. A URI is scanned now.
    """
    if has_scheme(source) or is_file(source):
        wanted = reach(storage, bounds)
        manifest = run(output, lambda hook: verbs.load(source, progress=hook, **wanted))
        if output.as_json:
            emit_json("asyncref.show/1", {"version": None, "manifest": describe_manifest(manifest)})
        else:
            show_manifest(manifest)
        return
    configure(output)
    registry = Registry.open(place.registry, read_only=True)
    version = registry.resolve(source, project=place.project, entity=place.entity)
    manifest = registry.manifests(version)[0]
    if output.as_json:
        emit_json("asyncref.show/1", {"version": version.to_json(), "manifest": describe_manifest(manifest)})
        return
    record = manifest.record
    older = {"sources": [one.uri for one in manifest.sources], "older pins": len(version.identities) - 1 or None}
    show_version(version, {**older, **accounts(manifest), "notes": list(record.notes)})


@app.command("lineage")
@grouped
def lineage(name: Name, place: Place, output: Output) -> None:
    """Show which runs made and used a version.

    One step back to what those runs used, and one step forward to what they made.
    """
    configure(output)
    registry = Registry.open(place.registry, read_only=True)
    found = registry.lineage(registry.resolve(name, project=place.project, entity=place.entity))
    if output.as_json:
        emit_json("asyncref.lineage/1", found.to_json())
        return
    emit_fields(
        {"version": found.version.qualified, "type": found.version.type, "aliases": list(found.version.aliases)}
    )
    for title, runs, word, others in (
        ("made by", found.made_by, "from", found.inputs),
        ("used by", found.used_by, "made", found.outputs),
    ):
        emit_lines(f"{title} {_run_line(one)}" for one in runs)
        emit_lines(f"  {word} {one.qualified}" for one in others if one.id != found.version.id)


def _columns(version: Version) -> tuple[object, ...]:
    marked = f"{version.label} (partial)" if version.partial else version.label
    size, count = human_bytes(version.size), human_count(version.objects)
    return marked, version.type, version.aliases, count, size, version.created


def _run_line(run: RunRecord) -> str:
    title = f"{run.name} ({run.id})" if run.name else run.id
    job = f", {run.job_type}" if run.job_type else ""
    return f"run {title}{job}: {run.state}, {run.started:%Y-%m-%d %H:%M:%S}Z, {run.host}"
