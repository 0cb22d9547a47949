"""What a container says of keeping old bytes: versioning, rules that remove or archive, tiers. Asked by `audit` only.

A backend that can tell is `Retains`, `Archives` or both beside `Backend`; the others need nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from asyncref.model import ListRequest, Page

Versioning = Literal["kept", "suspended", "never", "unknown"]
"""Whether what is overwritten or deleted is kept as an older version; `unknown`: denied, or no such call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One lifecycle rule that is in force.

    Attributes:
        name: As the storage has it; may be empty.
        effect: `expire`: removes. `archive`: moves to a tier that cannot be read without a restore.
        of: `current` objects, or `old` ones: versions that something newer or a deletion has replaced.
        prefixes: What the keys start with; an empty text is all of them.
        after_days: Days since upload (`current`) or since they were replaced (`old`); None: by a date or another
            condition alone, which `condition` says.
        keep_newest: Old versions a key that are spared.
        condition: What else has to hold, in words; then fewer objects are met than the prefixes say.
        tier: Where it archives to.
    """

    name: str
    effect: Literal["expire", "archive"]
    of: Literal["current", "old"]
    prefixes: tuple[str, ...] = ("",)
    after_days: int | None = None
    keep_newest: int = 0
    condition: str = ""
    tier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a container says of itself.

    Attributes:
        versioning: See there.
        rules: Those that matter for reading; None: they could not be learnt.
        locked_days: Days for which nothing may be removed, by the container's own lock; None: none is known.
        restorable_days: Days for which what was deleted can be restored by its owner (not read).
        unknown: What could not be learnt and why, each a sentence with the permission that was missing.
    """

    versioning: Versioning
    rules: tuple[Rule, ...] | None
    locked_days: float | None = None
    restorable_days: float | None = None
    unknown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Archived:
    """One object, or one version of it, that cannot be read as it lies.

    Attributes:
        key: Its key.
        version: Its version; None where the listing gave none.
        tier: Where it lies, such as `GLACIER`.
    """

    key: str
    version: str | None
    tier: str


@runtime_checkable
class Retains(Protocol):
    """A backend that can tell how long its container keeps bytes."""

    async def retention(self) -> Retention:
        """What the container says; at most two requests, each of which may be denied without harm."""
        ...


@runtime_checkable
class Archives(Protocol):
    """A backend of a storage with tiers that cannot be read without a restore."""

    async def archived(self, request: ListRequest) -> tuple[Page, tuple[Archived, ...]]:
        """One page of a listing as `list_page` has it, and what on it lies in such a tier; one request."""
        ...
