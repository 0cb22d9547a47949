"""`status`, `verify`, `audit` and `doctor`: what lies in the storage, in a folder, what will stay, what is permitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from asyncref import verbs
from asyncref.checks.doctor import doctor as examine
from asyncref.checks.prices import load as load_prices
from asyncref.cli.estimating import PricesFile, describe_cost
from asyncref.cli.exits import DIFFERENT, ERROR, INCOMPLETE, in_flags
from asyncref.cli.naming import Source, qualified
from asyncref.cli.options import Bounds, Output, Place, Selection, Storage, grouped, reach
from asyncref.cli.output import emit_fields, emit_json, emit_lines
from asyncref.cli.reading import change_line
from asyncref.cli.running import run
from asyncref.display import human_bytes

app = typer.Typer(rich_markup_mode=None)

_SIGNS: Final = {"new": "+", "gone": "-", "changed": "~", "newer_version": "=", "metadata_only": "m"}


@app.command("status")
@grouped
def status(
    *,
    source: Source,
    storage: Storage,
    bounds: Bounds,
    place: Place,
    output: Output,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Leave with 3 if content differs.")] = False,
    prices: PricesFile = None,
) -> None:
    """Compare a version with what lies in the storage now.

    `+` came since, `-` is gone, `~` has other bytes now, `=` has the same bytes under a newer version id,
    `m` the same bytes with other metadata.
    """
    table, wanted = load_prices(prices), reach(storage, bounds, place)
    report = run(output, lambda hook: verbs.status(qualified(source, place), progress=hook, **wanted))
    cost = table.cost(report.now.sources, report.now.record.requests)
    if output.as_json:
        emit_json("asyncref.status/1", {**report.to_json(), "cost": describe_cost(cost)})
    else:
        emit_lines(change_line(_SIGNS[word], change) for word, change in report)
        emit_lines([str(report), *report.notes])
        emit_fields({"cost": cost})
    if exit_code and not report.same:
        raise typer.Exit(DIFFERENT)


@app.command("verify")
@grouped
def verify(
    *,
    source: Source,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to look at.")],
    storage: Storage,
    bounds: Bounds,
    selection: Selection,
    place: Place,
    output: Output,
    escape: Annotated[bool, typer.Option("--escape", help="The folder was fetched with --escape.")] = False,
) -> None:
    """Compare a folder with a version, byte for byte.

    Leaves with 3 if anything differs, is missing or is there besides; with 4 if nothing does, but no checksum is known of
    some content (`unchecked-content`), of which then only the size was compared.
    """
    wanted = {**reach(storage, bounds, place), **selection.globs()}
    report = run(
        output, lambda hook: verbs.verify(qualified(source, place), folder, progress=hook, escape=escape, **wanted)
    )
    if output.as_json:
        emit_json("asyncref.verify/1", report.to_json())
    else:
        emit_lines(f"{one.verdict}  {one.path}: {one.reason}" for one in report.findings)
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in report.counts.items() if count)
        emit_lines([f"{counts or 'no files'}; {human_bytes(report.bytes)} read in {report.elapsed_s:.1f} s"])
    if not report.ok:
        raise typer.Exit(DIFFERENT)
    if not report.complete:
        raise typer.Exit(INCOMPLETE)


@app.command("audit")
@grouped
def audit(
    *, source: Source, storage: Storage, bounds: Bounds, place: Place, output: Output, prices: PricesFile = None
) -> None:
    """Find out whether a version will still be readable.

    Versioning, lifecycle rules, archive tiers, deletions, permissions, references by mere name. Leaves with 3 if anything
    is lost, at risk or could not be learnt.
    """
    table, wanted = load_prices(prices), reach(storage, bounds, place)
    report = run(output, lambda hook: verbs.audit(qualified(source, place), progress=hook, **wanted))
    cost = table.cost(report.sources, report.requests)
    if output.as_json:
        emit_json("asyncref.audit/1", {**report.to_json(), "cost": describe_cost(cost)})
    else:
        emit_lines(str(report).splitlines())
        emit_fields({"cost": cost})
    if not report.ok:
        raise typer.Exit(DIFFERENT)


@app.command("doctor")
@grouped
def doctor(
    *,
    uri: Annotated[str, typer.Argument(metavar="URI", help="Such as s3://bucket/prefix.")],
    storage: Storage,
    bounds: Bounds,
    output: Output,
) -> None:
    """Try what a URI needs, and name the missing permission.

    About ten requests; nothing is written. Leaves with 1 if a scan or a fetch could not do its work.
    """
    wanted = reach(storage, bounds)
    report = run(output, lambda _: examine(uri, **wanted))
    if output.as_json:
        emit_json("asyncref.doctor/1", report.to_json())
    else:
        emit_lines(in_flags(str(report)).splitlines())
    if not report.ok:
        raise typer.Exit(ERROR)
