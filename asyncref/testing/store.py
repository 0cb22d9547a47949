"""The server's side of the backend in memory: objects, their versions, and the faults of its answers."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)

Fault = Literal["throttle", "reset", "error", "truncate"]
"""What can befall one request: 503, a lost connection, 500, a body that ends early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a store gets wrong. The same seed and the same order of requests give the same faults.

    Attributes:
        seed: Of the draw.
        throttle: Share of requests answered with 503.
        retry_after_s: The pause in seconds that a throttled answer names.
        reset: Share of requests whose connection is lost before an answer.
        error: Share of requests answered with 500.
        truncate: Share of reads whose body ends early.
        script: Faults by kind of request and its number, from 1: `{("list", 3): "reset"}`.
        denied: Kinds of requests answered with 403; `get_version` means reads that name a version,
            `list_versions` listings of versions.
        ignore_if_match: Conditions are not looked at.
        ignore_range: Every read gives the whole object.
        ignore_version: Reads and stats give the current object, whatever version they name.
        unordered: Keys are listed in an order of the server's own.
        repeat_cursor: No page's cursor advances.
    """

    seed: int = 0
    throttle: float = 0.0
    retry_after_s: float | None = None
    reset: float = 0.0
    error: float = 0.0
    truncate: float = 0.0
    script: Mapping[tuple[str, int], Fault] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()
    ignore_if_match: bool = False
    ignore_range: bool = False
    ignore_version: bool = False
    unordered: bool = False
    repeat_cursor: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object; `data` None is a delete marker."""

    version: str
    data: bytes | None
    etag: str
    modified: datetime

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data or b"")


class MemoryStore:
    """One container and its server. Tests fill it directly; `MemoryBackend` asks it as a client would.

    As on S3, what was put before versioning was enabled, or while it is suspended, is the version `null`.

    Args:
        container: The name it is opened by.
        versioned: Keep versions from the start.
        page_rows: Most rows (versions and delete markers included) a page.
        inclusive_markers: A listing that starts after a key gives that key again, as Ceph's does.
        weak_etags: ETags are weak (`W/"…"`).
        latency_s: Seconds that every request takes.
        faults: What the server gets wrong; may be replaced at any time.
        exists: False: every request finds no such container.

    Attributes:
        requests: Requests received, by kind: `list`, `stat`, `get`, `history`, `versioning`.
    """

    def __init__(
        self,
        container: str = "bucket",
        *,
        versioned: bool = False,
        page_rows: int = 1000,
        inclusive_markers: bool = False,
        weak_etags: bool = False,
        latency_s: float = 0.0,
        faults: Faults | None = None,
        exists: bool = True,
    ) -> None:
        self.container = container
        self.versioning: Literal["never", "enabled", "suspended"] = "enabled" if versioned else "never"
        self.page_rows = page_rows
        self.inclusive_markers = inclusive_markers
        self.weak_etags = weak_etags
        self.latency_s = latency_s
        self.faults = faults or Faults()
        self.exists = exists
        self.requests: Counter[str] = Counter()
        self._draw = random.Random(self.faults.seed)  # noqa: S311  a fault script, not a secret
        self._objects: dict[str, list[Stored]] = {}  # newest first
        self._keys: list[str] = []
        self._puts = 0

    @property
    def versioned(self) -> bool:
        """Whether it keeps or kept versions."""
        return self.versioning != "never"

    def seed(self, key: str, data: bytes, *, etag: str | None = None) -> Stored:
        """Put an object, bypassing the backend and its faults.

        Args:
            key: Raw key.
            data: Its bytes.
            etag: An ETag in place of the quoted MD5, such as a composite one.
        """
        weak = "W/" if self.weak_etags else ""
        return self._add(key, data, etag or f'{weak}"{hashlib.md5(data).hexdigest()}"')

    overwrite = seed

    def delete(self, key: str) -> None:
        """Delete the object; with versioning a delete marker comes to lie over it."""
        if self.versioned:
            self._add(key, None, "")
        elif self._objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def purge(self, key: str, version: str) -> None:
        """Remove one version for good."""
        left = [stored for stored in self._objects[key] if stored.version != version]
        if left:
            self._objects[key] = left
        else:
            del self._objects[key]
            del self._keys[bisect_left(self._keys, key)]

    def enable_versioning(self) -> None:
        """From now on every put is a version of its own; what lies there becomes `null`."""
        self.versioning = "enabled"

    def suspend_versioning(self) -> None:
        """From now on every put replaces the version `null`."""
        self.versioning = "suspended"

    def keys_from(self, start: str, *, inclusive: bool) -> list[str]:
        """Every key after `start`, with it if `inclusive`, in byte order (or the faulty server's own)."""
        if self.faults.unordered:
            keys = sorted(self._keys, key=lambda key: hashlib.md5(key.encode()).digest())
            at = keys.index(start) if start in keys else 0
        else:
            keys = self._keys
            at = bisect_left(keys, start)
        skipped = not inclusive and at < len(keys) and keys[at] == start
        return keys[at + skipped :]

    def versions_of(self, key: str) -> list[Stored]:
        """All versions of a key, newest first, delete markers included; empty if there are none."""
        return self._objects.get(key, [])

    def find(self, key: str, version: str | None) -> Stored | None:
        """The object or one version of it; None if there is none or a delete marker lies there."""
        for stored in self.versions_of(key):
            if version is None or stored.version == version:
                return stored if stored.data is not None else None
        return None

    def next_fault(self, kind: str) -> Fault | None:
        """Count a request and say what befalls it."""
        self.requests[kind] += 1
        faults = self.faults
        scripted = faults.script.get((kind, self.requests[kind]))
        draw = self._draw.random()
        if scripted is not None:
            return scripted
        shares: tuple[tuple[Fault, float], ...] = (
            ("throttle", faults.throttle),
            ("reset", faults.reset),
            ("error", faults.error),
            ("truncate", faults.truncate if kind == "get" else 0.0),
        )
        for fault, share in shares:
            if draw < share:
                return fault
            draw -= share
        return None

    def _add(self, key: str, data: bytes | None, etag: str) -> Stored:
        self._puts += 1
        version = f"v{self._puts:08x}" if self.versioning == "enabled" else "null"
        stored = Stored(version, data, etag, _EPOCH + timedelta(seconds=self._puts))
        if key not in self._objects:
            insort(self._keys, key)
        older = [other for other in self._objects.get(key, []) if other.version != version]
        self._objects[key] = [stored, *older]
        return stored
