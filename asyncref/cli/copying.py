"""`fetch`: exactly the pinned bytes, into a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncref import verbs
from asyncref.checks.prices import Cost, Prices
from asyncref.checks.prices import load as load_prices
from asyncref.cli.estimating import PricesFile, describe_cost
from asyncref.cli.exits import INCOMPLETE, in_flags
from asyncref.cli.naming import Source, qualified
from asyncref.cli.options import Bounds, Output, Place, Selection, Storage, grouped, reach
from asyncref.cli.output import emit_fields, emit_json, emit_lines
from asyncref.cli.running import run
from asyncref.display import counted, human_bytes, human_count
from asyncref.engine.fetch import DEFAULT_BYTES, Checksum, FetchReport, Fsync
from asyncref.errors import FetchError, UsageError
from asyncref.model import Limits

app = typer.Typer(rich_markup_mode=None)

_NAMED_IN_THE_LINE: Final = 3  # the error's own line names so many


def fetch(
    *,
    source: Source,
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    place: Place,
    output: Output,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to; artifacts/NAME:VERSION if none is given.")
    ] = None,
    path_prefix: Annotated[str | None, typer.Option("--path-prefix", help="Only paths that start with it.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Objects that are gone or changed are listed, not an error.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that lie there and differ.")] = False,
    escape: Annotated[
        bool, typer.Option("--escape", help="Escape names that the file system cannot hold side by side.")
    ] = False,
    checksum: Annotated[
        Checksum, typer.Option("--checksum", help="Checks of content: where a pin has one, every kind, or none.")
    ] = "auto",
    bytes_per_second: Annotated[
        float | None, typer.Option("--bytes-per-second", min=1, help="Cap on the bytes received.")
    ] = None,
    memory_bytes: Annotated[
        int | None, typer.Option("--memory-bytes", min=1, help="Bound on what is on its way; 128 MiB if none.")
    ] = None,
    fsync: Annotated[
        Fsync, typer.Option("--fsync", help="Force files to the disk all at the end, each before its rename, or never.")
    ] = "end",
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Keep objects in asyncref's cache folder (ASYNCREF_CACHE) for later fetches."),
    ] = False,
    cache_bytes: Annotated[int, typer.Option("--cache-bytes", min=1, help="Bound on that folder.")] = DEFAULT_BYTES,
    cache_links: Annotated[bool, typer.Option("--cache-links", help="Hard links to it instead of copies.")] = False,
    prices: PricesFile = None,
) -> None:
    """Download exactly the pinned bytes.

    What already lies there and matches is not fetched again. What was overwritten or is gone is named, entry by
    entry, and the command leaves with 4; nothing wrong or half-written lies under a final name.
    """
    if cache_links and not cache:
        raise UsageError("--cache-links needs --cache", hint="without a cache there is nothing to link to")
    table = load_prices(prices)
    wanted = {**reach(storage, bounds, place), **selection.globs(), "path_prefix": path_prefix}
    how: dict[str, Any] = {"allow_missing_references": allow_missing, "overwrite": overwrite, "escape": escape}
    limits: dict[str, Any] = {"bytes_per_second": bytes_per_second, "memory_bytes": memory_bytes}
    if given := {name: value for name, value in limits.items() if value is not None}:
        wanted["limits"] = replace(bounds.limits() or Limits(), **given)
    how |= {
        "checksum": checksum,
        "fsync": fsync,
        "cache": cache,
        "cache_bytes": cache_bytes,
        "cache_links": cache_links,
    }
    try:
        report = run(output, lambda hook: verbs.fetch(qualified(source, place), folder, progress=hook, **wanted, **how))
    except FetchError as error:
        _show_failures(error, table, output)
        raise
    if output.as_json:
        emit_json("asyncref.fetch/1", _described(report, table))
    else:
        emit_fields({**_fields(report), "cost": _cost(report, table)})


app.command("fetch")(grouped(fetch))
app.command("download")(grouped(fetch))


def _fields(report: FetchReport) -> dict[str, object]:
    return {
        "folder": report.root,
        "fetched": f"{counted(report.objects, 'object')}, {human_bytes(report.bytes)}",
        "speed": f"{human_bytes(report.bytes_per_s)}/s, {report.elapsed_s:.1f} s",
        "there already": human_count(report.skipped) if report.skipped else None,
        "from the cache": human_count(report.cached) if report.cached else None,
        "missing": list(report.missing),
        "not pinned": human_count(report.unpinned) if report.unpinned else None,
        "no checksum": human_count(report.unchecked) if report.unchecked else None,
        "note": list(report.notes),
    }


def _where(report: FetchReport) -> object:
    """The folder that holds what a fetch of which part failed has brought: one of its own has not its name yet."""
    building = report.root.with_name(f"{report.root.name}.incomplete")
    return building if building.exists() and not report.root.exists() else report.root


def _cost(report: FetchReport, table: Prices) -> Cost | None:
    return table.cost(report.sources, report.requests, sent_bytes=report.bytes)


def _described(report: FetchReport, table: Prices) -> dict[str, Any]:
    return {**report.to_json(), "cost": describe_cost(_cost(report, table))}


def _show_failures(error: FetchError, table: Prices, output: Output) -> None:
    if output.as_json:
        failures = [{"path": one.path, "ref": one.ref, **_why(one.error)} for one in error.failures]
        done = _described(error.report, table) if error.report else {}
        emit_json("asyncref.fetch/1", {"failed": len(failures), **done, "failures": failures, **_why(error)})
        return
    if len(error.failures) > _NAMED_IN_THE_LINE:
        emit_lines(f"failed  {one.path}: {in_flags(str(one.error))}" for one in error.failures)
    if error.exit_code == INCOMPLETE and isinstance(error.report, FetchReport):
        failed, left = sum(error.report.failed.values()), error.report.left
        counts = {"failed": human_count(failed), "not come to": human_count(left) if left else None}
        emit_fields(
            {**_fields(error.report), "folder": _where(error.report), **counts, "cost": _cost(error.report, table)}
        )


def _why(error: Exception) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": in_flags(str(error))}
