"""`mounts=`: folders in references that lie elsewhere on this machine, as storage options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncref.backends import schemes


def with_mounts(options: Mapping[str, Any] | None, mounts: Mapping[str, str] | None) -> Mapping[str, Any] | None:
    """Storage options by which files are looked for where they lie here.

    Args:
        options: fsspec's names, flat (then they hold for everything but files) or keyed by scheme.
        mounts: Such as `{"/mount": "/mnt/nfs"}`; None or empty: the options as they are.
    """
    if not mounts:
        return options
    chosen = dict(options or {})
    if not all(isinstance(value, Mapping) and key in schemes() for key, value in chosen.items()):
        chosen = {scheme: chosen for scheme in schemes() if scheme != "file"}
    return {**chosen, "file": {**chosen.get("file", {}), "mounts": dict(mounts)}}
