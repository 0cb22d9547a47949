"""`config` and `registry`: which settings hold, and where versions are kept."""

from __future__ import annotations

import typer

from asyncref import config as settings
from asyncref.cli.options import Output, Place, grouped
from asyncref.cli.output import emit_fields, emit_json, emit_lines, emit_table
from asyncref.cli.running import configure
from asyncref.registry import Registry

app = typer.Typer(rich_markup_mode=None)
registry_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Show or upgrade the registry.")
app.add_typer(registry_app, name="registry")


@app.command("config")
@grouped
def config(output: Output) -> None:
    """Show every setting and where it came from.

    Order: argument, environment, config file, default.
    """
    configure(output)
    found = settings.settings()
    if output.as_json:
        rows = [{"name": one.name, "value": one.shown, "origin": one.origin} for one in found]
        emit_json("asyncref.config/1", {"file": str(settings.CONFIG_FILE), "settings": rows})
        return
    emit_table(
        ["setting", "value", "from", "meaning", "variable"],
        ((one.name, one.shown, one.origin, settings.meaning(one.name), settings.variables(one.name)) for one in found),
    )
    emit_lines(["", f"config file: {settings.CONFIG_FILE}"])


@registry_app.command("show")
@grouped
def registry_show(place: Place, output: Output) -> None:
    """Show where the registry is and what it holds."""
    configure(output)
    registry = Registry.open(place.registry, read_only=True)
    listed = registry.artifacts()
    found = {
        "registry": registry.url,
        "artifacts": len(listed),
        "versions": sum(one.versions for one in listed),
        "runs": len(registry.runs()),
    }
    if output.as_json:
        emit_json("asyncref.registry/1", found)
    else:
        emit_fields({**found, "state": "not there yet; asyncref log makes it" if registry.missing else None})


@registry_app.command("upgrade")
@grouped
def registry_upgrade(place: Place, output: Output) -> None:
    """Bring the registry's schema to this asyncref's version."""
    configure(output)
    before, after = Registry.open(place.registry).upgrade()
    if output.as_json:
        emit_json("asyncref.registry-upgrade/1", {"before": before, "after": after})
    else:
        emit_lines([f"schema {after}, nothing to do" if before == after else f"schema {before} upgraded to {after}"])
