"""Api: artifacts and runs looked up without a run of one's own."""

from __future__ import annotations

from asyncref.artifacts.artifact import Artifact
from asyncref.errors import UnknownArtifactError
from asyncref.registry import Registry, RunRecord


class Api:
    """Read access to a registry, as `wandb.Api()` is used for artifacts.

    Args:
        registry: Its URL; None: what the settings say.

    Raises:
        RegistryUnavailableError: It cannot be opened.
    """

    def __init__(self, registry: str | None = None) -> None:
        self._registry = Registry.open(registry)

    def artifact(self, name: str, type: str | None = None) -> Artifact:  # noqa: A002  W&B's word
        """One version, by `[entity/][project/]name[:v3|:alias]` or a digest.

        Raises:
            UnknownArtifactError: No such artifact, version or alias; says which there are.
            UsageError: It has another type.
        """
        return Artifact.of(self._registry.resolve(name, type=type), self._registry)

    def artifact_exists(self, name: str, type: str | None = None) -> bool:  # noqa: A002
        """Whether there is such a version."""
        try:
            self._registry.resolve(name, type=type)
        except UnknownArtifactError:
            return False
        return True

    def artifacts(self, type_name: str | None, name: str) -> list[Artifact]:
        """Every version of an artifact, newest first.

        Args:
            type_name: Only if it has this type; None: any.
            name: `[entity/][project/]name`.

        Raises:
            UnknownArtifactError: There is none; says which there are.
        """
        found = self._registry.versions(name)
        return [Artifact.of(version, self._registry) for version in found if type_name in {None, version.type}]

    def run(self, path: str) -> RunRecord:
        """One run, by its id or `entity/project/id`.

        Raises:
            UnknownArtifactError: There is none.
        """
        return self._registry.run(path.rpartition("/")[2])
