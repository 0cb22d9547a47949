"""The verbs, async: a SOURCE in, a result out. `asyncref.blocking` has the same ones for sync code.

A SOURCE is everywhere a URI (`s3://bucket/prefix`, scanned now), a manifest file (`m.parquet`), an artifact
(`name`, `name:v3`, `name:alias`, `[entity/]project/name:v0`) or a `Manifest`.

Each is resolved on first use, so that a scan does not load what only a fetch needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_FACE: Final = {
    "audit": "asyncref.verbs.judging",
    "fetch": "asyncref.verbs.fetching",
    "forecast": "asyncref.verbs.scanning",
    "load": "asyncref.verbs.scanning",
    "pages": "asyncref.verbs.scanning",
    "scan": "asyncref.verbs.scanning",
    "status": "asyncref.verbs.judging",
    "stream": "asyncref.verbs.fetching",
    "verify": "asyncref.verbs.judging",
}

__all__ = sorted(_FACE)  # noqa: PLE0605  the table's keys


def __getattr__(name: str) -> Any:
    """Resolve a verb on first use (PEP 562)."""
    if name not in _FACE:
        raise AttributeError(f"module 'asyncref.verbs' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_FACE[name]), name)
    return found
