"""The registry: versions of artifacts by name, their aliases, and the runs that made and used them.

Its names are resolved on first use: SQLAlchemy takes a quarter of the start-up of a verb that asks no registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_FACE: Final = {
    "Collection": "asyncref.registry.registry",
    "Lineage": "asyncref.registry.records",
    "Registry": "asyncref.registry.registry",
    "RunRecord": "asyncref.registry.records",
    "Version": "asyncref.registry.records",
}

__all__ = sorted(_FACE)  # noqa: PLE0605  the table's keys


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use (PEP 562)."""
    if name not in _FACE:
        raise AttributeError(f"module 'asyncref.registry' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_FACE[name]), name)
    return found
