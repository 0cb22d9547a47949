"""What an artifact says of itself: its name, version, content and lineage, as a draft and once it is logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from asyncref.artifacts.offered import refuse
from asyncref.errors import UsageError
from asyncref.manifest import Manifest
from asyncref.model import Entry
from asyncref.record import Record
from asyncref.registry import Registry, RunRecord, Version, names
from asyncref.registry.records import moment


class Described:
    """The part of an Artifact that asks no storage.

    Args:
        name: The artifact's name.
        type: The artifact's type.
        description: Kept with the version.
        metadata: JSON values, kept with the version.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002  W&B's word
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._collection = names.check(name, "artifact")
        self._type = names.check(type, "type")
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._aliases: list[str] = []
        self._manifest: Manifest | None = None
        self._version: Version | None = None
        self._registry: Registry | None = None

    @classmethod
    def of(cls, version: Version, registry: Registry) -> Self:
        """The artifact of a version in a registry; its manifest is read when first asked for."""
        artifact = cls(version.name, version.type)
        artifact.mark_logged(version, registry)
        return artifact

    def mark_logged(self, version: Version, registry: Registry) -> None:
        """From now on this is a version: it cannot change."""
        self._version, self._registry = version, registry
        self.description, self.metadata = version.description, dict(version.metadata)
        self._aliases = list(version.aliases)
        if self._manifest is not None and self._manifest.identity != version.identity:
            self._manifest = None

    @property
    def manifest(self) -> Manifest:
        """Its entries: what was added so far, or what was logged.

        Raises:
            RegistryUnavailableError: The manifest is not beside the registry.
        """
        if self._manifest is None and self._version is not None:
            assert self._registry is not None
            self._manifest = self._registry.manifests(self._version)[0]
        if self._manifest is None:
            now = moment()
            self._manifest = Manifest.from_entries([], sources=(), record=Record(started=now, ended=now))
        return self._manifest

    def get_entry(self, path: str) -> Entry:
        """The entry of a path.

        Raises:
            KeyError: There is none.
        """
        return self.manifest[path]

    @property
    def name(self) -> str:
        """`mnist`, and `mnist:v0` once it is logged."""
        return self._version.label if self._version else self._collection

    @property
    def type(self) -> str:
        """Such as `dataset`."""
        return self._type

    @property
    def version(self) -> str:
        """`v0`."""
        return self._logged()[0].version

    @property
    def id(self) -> str | None:
        """The registry's own id of the version; None for a draft."""
        return str(self._version.id) if self._version else None

    @property
    def entity(self) -> str:
        """Who owns its project."""
        return self._logged()[0].entity

    @property
    def project(self) -> str:
        """Where it is."""
        return self._logged()[0].project

    @property
    def qualified_name(self) -> str:
        """`entity/project/mnist:v0`."""
        return self._logged()[0].qualified

    @property
    def aliases(self) -> list[str]:
        """Its aliases, `latest` included; a change holds after `save()`."""
        self._logged()
        return self._aliases

    @aliases.setter
    def aliases(self, aliases: list[str]) -> None:
        self._logged()
        self._aliases = list(aliases)

    @property
    def digest(self) -> str:
        """W&B's digest of its content."""
        return self._version.digest if self._version else self.manifest.digest

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return self._version.size if self._version else self.manifest.size

    @property
    def file_count(self) -> int:
        """How many entries it has."""
        return self._version.objects if self._version else len(self.manifest)

    @property
    def created_at(self) -> str:
        """When it was logged, ISO 8601."""
        return self._logged()[0].created.isoformat()

    @property
    def state(self) -> str:
        """`PENDING` or `COMMITTED`, as W&B has it."""
        return "COMMITTED" if self._version else "PENDING"

    def is_draft(self) -> bool:
        """Whether it is not logged yet."""
        return self._version is None

    def wait(self, timeout: float | None = None) -> Self:
        """Itself: logging is over when `log_artifact` returns."""
        del timeout
        self._logged()
        return self

    def save(self) -> None:
        """Keep changed aliases, description and metadata of a logged version.

        Raises:
            UsageError: It is not logged yet.
            InvalidNameError: An alias that cannot be one.
        """
        version, registry = self._logged()
        wanted = names.check_aliases(self._aliases)
        gone = [alias for alias in version.aliases if alias not in wanted]
        registry.update(version, description=self.description, metadata=self.metadata)
        self.mark_logged(registry.alias(version, add=wanted, remove=gone), registry)

    def logged_by(self) -> RunRecord | None:
        """The run that logged it first."""
        version, registry = self._logged()
        return registry.run(version.run_id) if version.run_id else None

    def used_by(self) -> list[RunRecord]:
        """The runs that used it."""
        version, registry = self._logged()
        return list(registry.lineage(version).used_by)

    def __repr__(self) -> str:
        return f"<Artifact {self._version.qualified if self._version else self._collection + ' (draft)'}>"

    def __getattr__(self, name: str) -> Any:
        raise refuse("Artifact", name)

    def _logged(self) -> tuple[Version, Registry]:
        if self._version is None or self._registry is None:
            raise UsageError(f"the artifact {self._collection!r} is not logged yet", hint="run.log_artifact(artifact)")
        return self._version, self._registry

    def _check_draft(self) -> None:
        if self._version is not None:
            raise UsageError(
                f"{self._version.label} is logged and cannot change", hint="artifact.new_draft() makes the next version"
            )
