"""The table of schemes: one line a backend, loaded when first asked for.

Third parties add theirs by the entry-point group `asyncref.backends`, whose names are schemes and whose
values are `asyncref.backends.base.Opener`s; docs/backends.md has a complete one. Built-in schemes come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, cast

from asyncref.backends.base import Backend, Opener
from asyncref.errors import UnknownSchemeError
from asyncref.model import Limits
from asyncref.uri import Reference, service

GROUP: Final = "asyncref.backends"
_BUILT_IN: Final = {
    "abfs": "asyncref.backends.azure:open_azure",
    "abfss": "asyncref.backends.azure:open_azure",
    "az": "asyncref.backends.azure:open_azure",
    "file": "asyncref.backends.file:open_file",
    "http": "asyncref.backends.http:open_http",
    "https": "asyncref.backends.http:open_http",
    "gs": "asyncref.backends.gcs:open_gcs",
    "s3": "asyncref.backends.s3:open_s3",
    "urls": "asyncref.backends.http.lists:open_urls",
}


def schemes() -> list[str]:
    """Every scheme that can be opened here, sorted."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def opener(scheme: str) -> Opener:
    """The function that opens a scheme's containers.

    Raises:
        UnknownSchemeError: No such backend, which says which there are and how to add one; or a package's that cannot
            be loaded, or that two packages add.
    """
    if target := _BUILT_IN.get(scheme):
        module, _, name = target.partition(":")
        return cast("Opener", getattr(import_module(module), name))
    points = list(entry_points(group=GROUP, name=scheme))
    if not points:
        raise UnknownSchemeError(
            f"no backend for the scheme {scheme!r}",
            hint=f"known are {', '.join(schemes())}; a package adds one by the entry-point group {GROUP}",
        )
    packages = sorted(point.dist.name if point.dist else "?" for point in points)
    if len(points) > 1:
        raise UnknownSchemeError(
            f"the scheme {scheme!r} is added by more than one package: {', '.join(packages)}", hint="uninstall one"
        )
    try:
        return cast("Opener", points[0].load())
    except (ImportError, AttributeError) as error:
        raise UnknownSchemeError(f"the backend for {scheme!r} of package {packages[0]} fails: {error}") from error


def open_backend(
    reference: Reference, options: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> Backend:
    """Open the container that a reference names; no request is sent.

    Args:
        reference: Where; only scheme and container matter.
        options: `storage_options` in fsspec's names, flat or keyed by scheme (`{"s3": {...}}`).
        limits: Bounds; the defaults if None.

    Raises:
        UnknownSchemeError: No such backend.
        OptionError: An unknown or refused option.
    """
    scheme = service(reference.scheme, reference.container)
    chosen = options or {}
    if chosen and all(isinstance(value, Mapping) and key in schemes() for key, value in chosen.items()):
        chosen = chosen.get(reference.scheme, chosen.get(scheme, {}))
    return opener(scheme)(reference, chosen, limits or Limits())
