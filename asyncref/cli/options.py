"""Options that several commands share, as frozen groups that a decorator unfolds into a command's signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer

from asyncref.errors import OptionError
from asyncref.model import Limits


class LogFormat(StrEnum):
    """How log lines look."""

    text = "text"
    json = "json"


class BadKeys(StrEnum):
    """What to do with keys that no path can stand for."""

    raise_ = "raise"
    skip = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a command speaks."""

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with a `schema` field.")] = False
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log to stderr; -vv with every detail.")
    ] = 0
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="How log lines look.")] = LogFormat.text
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="No display on stderr (none anyway if it is no terminal).")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How to reach a storage."""

    storage_option: Annotated[
        list[str] | None,
        typer.Option("--storage-option", metavar="KEY=VALUE", help="A storage option in fsspec's names; repeatable."),
    ] = None
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", metavar="URL", help="Where an S3-compatible storage answers.")
    ] = None
    anon: Annotated[bool, typer.Option("--anon", help="Ask without credentials.")] = False

    def options(self) -> dict[str, Any] | None:
        """As `storage_options`; None if nothing was given.

        Raises:
            OptionError: A `--storage-option` without `=`.
        """
        found: dict[str, Any] = {}
        for text in self.storage_option or ():
            key, separator, value = text.partition("=")
            if not (separator and key):
                raise OptionError(  # the text itself may be a secret
                    "--storage-option takes KEY=VALUE", hint="such as region=eu-west-1"
                )
            found[key] = {"true": True, "false": False}.get(value.lower(), value)
        if self.endpoint_url:
            found["endpoint_url"] = self.endpoint_url
        if self.anon:
            found["anon"] = True
        return found or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How hard to work a storage."""

    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Most requests in flight; the storage's default if none.")
    ] = None
    requests_per_second: Annotated[
        float | None, typer.Option("--requests-per-second", min=0.001, help="Cap on new requests.")
    ] = None

    def limits(self) -> Limits | None:
        """As `Limits`; None if nothing was given."""
        if self.concurrency is None and self.requests_per_second is None:
            return None
        return Limits(concurrency=self.concurrency, requests_per_second=self.requests_per_second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which paths to take."""

    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="GLOB", help="Only paths that match; repeatable.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="GLOB", help="No path that matches; wins; repeatable.")
    ] = None

    def globs(self) -> dict[str, Any]:
        """The keyword arguments of verbs that choose paths."""
        return {"include": self.include or None, "exclude": self.exclude or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where artifacts are kept."""

    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="URL",
            help="Another registry: the path of a SQLite file, sqlite:///FILE or postgresql://...",
        ),
    ] = None
    project: Annotated[str | None, typer.Option("--project", help="The project of artifact names.")] = None
    entity: Annotated[str | None, typer.Option("--entity", help="The entity (team or user) of artifact names.")] = None


def reach(storage: Storage, bounds: Bounds, place: Place | None = None) -> dict[str, Any]:
    """The keyword arguments by which every verb reaches storages, and the registry where it looks up names.

    Raises:
        OptionError: A `--storage-option` without `=`.
    """
    found: dict[str, Any] = {"storage_options": storage.options(), "limits": bounds.limits()}
    return found if place is None else {**found, "registry": place.registry}


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Unfold every parameter that is annotated with a group into that group's options.

    typer sees the unfolded signature; the command gets the groups back, filled.
    """
    plain: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
        else:
            plain.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    unfolded = plain + [_parameter(group, one) for group in groups.values() for one in fields(group)]

    @functools.wraps(command)
    def called(**values: Any) -> None:
        filled = {
            name: group(**{one.name: values.pop(one.name) for one in fields(group)}) for name, group in groups.items()
        }
        command(**values, **filled)

    called.__signature__ = inspect.Signature(unfolded)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in unfolded}
    return called


def _parameter(group: type[Any], field: Field[Any]) -> inspect.Parameter:
    assert field.default is not MISSING
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=get_type_hints(group, include_extras=True)[field.name],
    )
