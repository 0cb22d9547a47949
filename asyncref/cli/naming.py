"""What SOURCE and NAME mean on the command line, and how a shell completes them."""

from __future__ import annotations

from typing import Annotated

import typer

from asyncref import config
from asyncref import registry as registries
from asyncref.cli.options import Place
from asyncref.errors import AsyncrefError
from asyncref.uri import has_scheme


def complete_name(incomplete: str) -> list[str]:
    """Artifacts, and after a colon their versions and aliases, as the registry has them; nothing if it cannot be read."""
    try:
        opened = registries.Registry.open(read_only=True)
        name, colon, _ = incomplete.partition(":")
        if not colon:
            return [one.newest.name for one in opened.artifacts()]
        return [f"{name}:{word}" for one in opened.versions(name) for word in (one.version, *one.aliases)]
    except AsyncrefError:
        return []


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A URI, a FILE.parquet or an artifact NAME[:VERSION].", autocompletion=complete_name
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="An artifact: [ENTITY/][PROJECT/]NAME.", autocompletion=complete_name)
]


def qualified(source: str, place: Place) -> str:
    """The source, an artifact's bare name with `--project` and `--entity` before it."""
    if has_scheme(source) or is_file(source) or "/" in source or not (place.project or place.entity):
        return source
    project = config.get("project", place.project).value
    entity = config.get("entity", place.entity).value
    return f"{entity}/{project}/{source}"


def is_file(source: str) -> bool:
    """Whether a source is a manifest file."""
    return source.endswith(".parquet")
