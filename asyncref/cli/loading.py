"""The table of commands: a command's module, and the engine under it, is loaded when the command is run.

`asyncref --help`, `--version` and the completion of command names import neither pyarrow nor aiohttp.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

import typer
from typer.core import TyperGroup

_TRACK: Final = "Track"
_READ: Final = "Read"
_CHECK: Final = "Check"
_SETUP: Final = "Set up"


@dataclass(frozen=True, slots=True)
class Row:
    """One command: where it lives and what the overview says of it."""

    name: str
    module: str
    panel: str
    help: str
    hidden: bool = False


COMMANDS: Final = (
    Row("scan", "scanning", _TRACK, "List a source into a manifest file."),
    Row("log", "scanning", _TRACK, "Scan a source and log it as a version of an artifact."),
    Row("artifacts", "catalogue", _TRACK, "List the artifacts of a project."),
    Row("versions", "catalogue", _TRACK, "List the versions of an artifact."),
    Row("show", "catalogue", _TRACK, "Show what a version or a manifest is."),
    Row("lineage", "catalogue", _TRACK, "Show which runs made and used a version."),
    Row("ls", "reading", _READ, "List the entries of a source."),
    Row("diff", "reading", _READ, "Compare two sources entry by entry."),
    Row("fetch", "copying", _READ, "Download exactly the pinned bytes."),
    Row("download", "copying", _READ, "The same as fetch.", hidden=True),
    Row("status", "checking", _CHECK, "Compare a version with what lies in the storage now."),
    Row("verify", "checking", _CHECK, "Compare a folder with a version, byte for byte."),
    Row("audit", "checking", _CHECK, "Find out whether a version will still be readable."),
    Row("doctor", "checking", _CHECK, "Try what a URI needs, and name the missing permission."),
    Row("config", "setup", _SETUP, "Show every setting and where it came from."),
    Row("registry", "setup", _SETUP, "Show or upgrade the registry."),
    Row("demo", "demo", _SETUP, "Show the whole job on a local server, without an account."),
)


class LazyGroup(TyperGroup):
    """A group of placeholders that swaps in the real command when one is called or completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the first argument names, loaded now."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None and placeholder is not None else placeholder, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the signature is typer's
        """The overview, in the order of the table, a section a panel."""
        for panel in dict.fromkeys(row.panel for row in COMMANDS):
            with formatter.section(panel):
                formatter.write_dl([(row.name, row.help) for row in COMMANDS if row.panel == panel and not row.hidden])


def load(name: str) -> Any:
    """Import a command's module and build the command."""
    row = next(row for row in COMMANDS if row.name == name)
    module = import_module(f"asyncref.cli.{row.module}")
    return typer.main.get_group(module.app).commands[name]


def build() -> Any:
    """The root command, all sub-commands still placeholders."""
    root = typer.Typer(
        name="asyncref",
        cls=LazyGroup,
        no_args_is_help=True,
        help="Track data where it lies: versions of buckets and file trees, pinned, compared, fetched back.",
        epilog="SOURCE is a URI (s3://bucket/prefix, file:///folder), a FILE.parquet or an artifact NAME[:VERSION].",
        rich_markup_mode=None,  # rich's help costs 90 ms at every --help
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(_root)
    for row in COMMANDS:
        root.command(row.name, help=row.help, hidden=row.hidden)(_placeholder)
    return typer.main.get_command(root)


def _placeholder() -> None:
    raise AssertionError("a placeholder is never called: LazyGroup loads the command")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"asyncref {version('asyncref')}")
        raise typer.Exit


def _root(
    show_version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and leave."
    ),
) -> None:
    pass
