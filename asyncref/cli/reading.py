"""`ls` and `diff`: what a source holds, and how two differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import typer

from asyncref import verbs
from asyncref.cli.describing import describe_entry
from asyncref.cli.exits import DIFFERENT
from asyncref.cli.naming import Source, qualified
from asyncref.cli.options import Bounds, Output, Place, Selection, Storage, grouped, reach
from asyncref.cli.output import emit_json, emit_json_rows, emit_lines, human_time
from asyncref.cli.running import run
from asyncref.display import human_bytes
from asyncref.engine.flow import ProgressHook
from asyncref.manifest import Manifest
from asyncref.manifest.diff import Change
from asyncref.model import Entry

app = typer.Typer(rich_markup_mode=None)

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "version_only": "="}


@app.command("ls")
@grouped
def ls(
    *,
    source: Source,
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    place: Place,
    output: Output,
    prefix: Annotated[str | None, typer.Argument(metavar="[PREFIX]", help="Only paths that start with it.")] = None,
    paths: Annotated[bool, typer.Option("--paths", help="The paths alone, one a line.")] = False,
) -> None:
    """List the entries of a source.

    Size, version or ETag, time of last modification, path; in path order, as they come.
    """
    wanted = reach(storage, bounds, place)
    manifest = run(output, lambda hook: verbs.load(qualified(source, place), progress=hook, **wanted))
    manifest = _chosen(manifest, selection, prefix)
    if output.as_json:
        head = {"identity": manifest.identity, "objects": len(manifest), "bytes": manifest.size}
        emit_json_rows("asyncref.ls/1", head, "entries", map(describe_entry, manifest))
    elif paths:
        emit_lines(entry.path for entry in manifest)
    else:
        emit_lines(_lines(manifest))


@app.command("diff")
@grouped
def diff(
    *,
    old: Source,
    new: Source,
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    place: Place,
    output: Output,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Leave with 3 if content or references differ.")
    ] = False,
) -> None:
    """Compare two sources entry by entry.

    `+` was added, `-` removed, `~` changed; `=` has the same content under another version id.
    """
    wanted = reach(storage, bounds, place)

    async def both(hook: ProgressHook) -> tuple[Manifest, Manifest]:
        first = await verbs.load(qualified(old, place), progress=hook, **wanted)
        return first, await verbs.load(qualified(new, place), progress=hook, **wanted)

    before, after = (_chosen(one, selection) for one in run(output, both))
    found = before.diff(after)
    if output.as_json:
        emit_json("asyncref.diff/1", found.to_json())
    else:
        emit_lines(change_line(_SIGNS[change.kind], change) for change in found)
        added, removed = human_bytes(found.bytes_added), human_bytes(found.bytes_removed)
        counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in found.counts.items() if count]
        emit_lines([f"{', '.join(counts) or 'both are empty'}; {added} came, {removed} went"])
    if exit_code and not found.same_content:
        raise typer.Exit(DIFFERENT)


def _chosen(manifest: Manifest, selection: Selection, prefix: str | None = None) -> Manifest:
    if prefix or selection.include or selection.exclude:
        return manifest.select(prefix=prefix, **selection.globs())
    return manifest


def _lines(manifest: Manifest) -> Iterator[str]:
    for entry in manifest:
        yield f"{human_bytes(entry.size):>8}  {_pin(entry):<34}  {human_time(entry.pin.modified)}  {entry.path}"


def _pin(entry: Entry) -> str:
    pin = entry.pin
    return pin.version if pin.version and pin.version != "null" else pin.etag or entry.digest


def change_line(sign: str, change: Change) -> str:
    """One difference for people: sign, path, size before and after, and the pins where only they differ."""
    sizes = [human_bytes(one.size) for one in (change.old, change.new) if one is not None]
    pins = [_pin(one) for one in (change.old, change.new) if one is not None]
    size = sizes[-1] if len(set(sizes)) == 1 else " -> ".join(sizes)
    return f"{sign} {change.path}  {size}" + (f"  {' -> '.join(pins)}" if sign == "=" else "")
