"""How to fetch: the options of `asyncref.engine.fetch.fetch`, gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from asyncref.engine.fetch.cache import Cache
from asyncref.engine.fetch.checking import Checksum
from asyncref.engine.flow import ProgressHook
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits

Fsync = Literal["end", "each", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        filter: Globs over paths.
        path_prefix: Only paths that start with it.
        storage_options: fsspec's names, flat or keyed by scheme; they override the manifest's source records.
        limits: Bounds.
        progress: Called once with the meter to poll.
        allow_missing: Leave out entries whose pinned bytes no longer exist, instead of failing.
        escape: Write paths that no file system can hold in an escape (`asyncref.engine.fetch.paths`).
        overwrite: Replace files that differ from their entry.
        checksum: `auto` checks MD5s wherever a pin has one; `never` only sizes, ETags and versions;
            `always` also multipart uploads, by a HEAD or two and a pass of MD5 over their parts.
        fsync: When files are forced to the disk: each before its rename, all at the end, or never.
        whole: Build in `root` + `.incomplete` and rename when every entry is right.
        older: Manifests with older pins of the same content.
        cache: Objects kept on this machine.
    """

    filter: Filter = field(default_factory=Filter)
    path_prefix: str | None = None
    storage_options: Mapping[str, Any] | None = None
    limits: Limits = field(default_factory=Limits)
    progress: ProgressHook | None = None
    allow_missing: bool = False
    escape: bool = False
    overwrite: bool = False
    checksum: Checksum = "auto"
    fsync: Fsync = "end"
    whole: bool = False
    older: Sequence[Manifest] = ()
    cache: Cache | None = None
