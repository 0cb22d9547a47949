"""What the registry answers with: versions, runs, lineage. Frozen values; nothing here asks the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from asyncref.registry.decide import Outcome

State = Literal["running", "finished", "crashed"]


def now() -> str:
    """The present in the registry's form: ISO 8601, UTC, microseconds."""
    return moment().isoformat(timespec="microseconds")


def moment() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an artifact.

    Attributes:
        id: The registry's own number of it.
        entity: Who owns the project.
        project: Where it is.
        name: The artifact's name.
        type: The artifact's type, such as `dataset`.
        number: 3 for `v3`.
        digest: The manifest's digest: the content.
        refs: Fingerprint of the references.
        identities: Its manifests, newest pins first.
        aliases: `latest` first, the others sorted.
        objects: How many entries.
        size: Bytes.
        description: What its author wrote.
        metadata: JSON values that its author gave.
        created: When it was logged, UTC.
        run_id: The run that logged it first.
        partial: Its scan was stopped short and logged all the same.
        outcome: For what `log` returns: `new`, `same` or `pins`. None for what was looked up.
    """

    id: int
    entity: str
    project: str
    name: str
    type: str
    number: int
    digest: str
    refs: str
    identities: tuple[str, ...]
    aliases: tuple[str, ...]
    objects: int
    size: int
    description: str | None
    metadata: dict[str, Any]
    created: datetime
    run_id: str | None
    partial: bool
    outcome: Outcome | None = None

    @property
    def version(self) -> str:
        """`v3`."""
        return f"v{self.number}"

    @property
    def identity(self) -> str:
        """The manifest with the newest pins."""
        return self.identities[0]

    @property
    def label(self) -> str:
        """`mnist:v3`."""
        return f"{self.name}:{self.version}"

    @property
    def qualified(self) -> str:
        """`entity/project/mnist:v3`."""
        return f"{self.entity}/{self.project}/{self.label}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times in ISO 8601 with offset."""
        return {
            "name": self.label,
            "qualified": self.qualified,
            "entity": self.entity,
            "project": self.project,
            "artifact": self.name,
            "type": self.type,
            "version": self.version,
            "aliases": list(self.aliases),
            "digest": self.digest,
            "identity": self.identity,
            "identities": list(self.identities),
            "objects": self.objects,
            "bytes": self.size,
            "description": self.description,
            "metadata": self.metadata,
            "created": self.created.isoformat(),
            "run": self.run_id,
            "partial": self.partial,
            "outcome": self.outcome,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: what somebody did with versions, and when.

    Attributes:
        id: Eight characters, or what the user chose.
        entity: Who owns the project.
        project: Where it is.
        name: For people.
        job_type: Such as `train`.
        config: JSON values that its author gave.
        state: `running` until it says otherwise; a killed process never does.
        started: UTC.
        ended: UTC; None while it runs.
        host: Machine.
        pid: Process.
    """

    id: str
    entity: str
    project: str
    name: str | None
    job_type: str | None
    config: dict[str, Any]
    state: State
    started: datetime
    ended: datetime | None
    host: str
    pid: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times in ISO 8601 with offset."""
        return {
            "id": self.id,
            "entity": self.entity,
            "project": self.project,
            "name": self.name,
            "job_type": self.job_type,
            "config": self.config,
            "state": self.state,
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "host": self.host,
            "pid": self.pid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a version came from and where it went, one step each way.

    Attributes:
        version: The version asked for.
        made_by: The runs that logged it, first one first.
        inputs: The versions that those runs used.
        used_by: The runs that used it, in the order of use.
        outputs: The versions that those runs logged.
    """

    version: Version
    made_by: tuple[RunRecord, ...] = ()
    inputs: tuple[Version, ...] = ()
    used_by: tuple[RunRecord, ...] = ()
    outputs: tuple[Version, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "version": self.version.to_json(),
            "made_by": [run.to_json() for run in self.made_by],
            "inputs": [version.to_json() for version in self.inputs],
            "used_by": [run.to_json() for run in self.used_by],
            "outputs": [version.to_json() for version in self.outputs],
        }
