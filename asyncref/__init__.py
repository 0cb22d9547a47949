"""asyncref: track data where it lies.

Async verbs (`scan`, `fetch`, `stream`, `load`, `pages`, `status`, `verify`, `audit`, `forecast`), the same ones sync in
`asyncref.blocking`, and the W&B-shaped face (`init`, `Artifact`, `Run`, `run`). Every name is resolved on
first use, so that `import asyncref` stays light.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

__version__ = "0.1.0"

_FACE: Final = {
    "Api": "asyncref.artifacts",
    "Artifact": "asyncref.artifacts",
    "AsyncrefError": "asyncref.errors",
    "Diff": "asyncref.manifest",
    "Entry": "asyncref.model",
    "FetchReport": "asyncref.engine.fetch",
    "Limits": "asyncref.model",
    "Manifest": "asyncref.manifest",
    "Registry": "asyncref.registry",
    "Run": "asyncref.artifacts",
    "audit": "asyncref.verbs",
    "blocking": "asyncref.blocking",
    "errors": "asyncref.errors",
    "fetch": "asyncref.verbs",
    "finish": "asyncref.artifacts",
    "forecast": "asyncref.verbs",
    "init": "asyncref.artifacts",
    "load": "asyncref.verbs",
    "log_artifact": "asyncref.artifacts",
    "pages": "asyncref.verbs",
    "scan": "asyncref.verbs",
    "status": "asyncref.verbs",
    "stream": "asyncref.verbs",
    "use_artifact": "asyncref.artifacts",
    "verify": "asyncref.verbs",
}

__all__ = [*sorted(_FACE), "run"]  # noqa: PLE0604  the table's keys are strings

logging.getLogger("asyncref").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use (PEP 562). `run` is W&B's current run, None outside one."""
    if name == "run":
        return import_module("asyncref.artifacts").current_run()
    if name not in _FACE:
        raise AttributeError(f"module 'asyncref' has no attribute {name!r}")
    module = import_module(_FACE[name])
    found = module if _FACE[name] == f"asyncref.{name}" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The face, for completion."""
    return sorted({*globals(), *__all__})
