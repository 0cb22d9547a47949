"""Run: what one script did with artifacts. Sync, each verb with an async twin."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import anyio

from asyncref.artifacts import ending
from asyncref.artifacts.artifact import Artifact, log
from asyncref.artifacts.offered import refuse
from asyncref.errors import InvalidURIError, UsageError
from asyncref.net import portal
from asyncref.registry import Registry, RunRecord
from asyncref.uri import has_scheme


class Config(dict[str, Any]):
    """A run's config: a dict whose keys are attributes, too; kept when the run ends."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


class Run:
    """One run in the registry. A context manager; needs no `finish()` at a normal exit.

    Args:
        record: As the registry started it.
        registry: Where.
    """

    def __init__(self, record: RunRecord, registry: Registry) -> None:
        self._record = record
        self._registry = registry
        self._ended = False
        self.config = Config(record.config)
        ending.track(self)

    @property
    def id(self) -> str:
        """Eight characters, or what was given."""
        return self._record.id

    @property
    def name(self) -> str | None:
        """For people."""
        return self._record.name

    @property
    def entity(self) -> str:
        """Who owns the project."""
        return self._record.entity

    @property
    def project(self) -> str:
        """Where its artifacts are logged and looked up."""
        return self._record.project

    @property
    def job_type(self) -> str | None:
        """Such as `train`."""
        return self._record.job_type

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended

    @property
    def path(self) -> str:
        """`entity/project/id`."""
        return f"{self.entity}/{self.project}/{self.id}"

    def log_artifact(
        self,
        artifact_or_path: Artifact | str,
        name: str | None = None,
        type: str | None = None,  # noqa: A002  W&B's word
        aliases: Iterable[str] | str | None = None,
    ) -> Artifact:
        """Log an artifact as an output of this run.

        A new version is made only if content or references changed since `latest`.

        Args:
            artifact_or_path: An Artifact, or a URI to make one of.
            name: With a URI: the artifact's name; None: the run's id and the last part of the URI.
            type: With a URI: the artifact's type; None: `unspecified`.
            aliases: They name this version from now on, beside `latest`.

        Returns:
            The artifact, with its version.

        Raises:
            UsageError: The run has ended, or the artifact exists with another type.
            PartialScanError: A manifest of a partial scan was added.
            RegistryUnavailableError: The registry cannot be written.
        """
        return portal.call(self.alog_artifact, artifact_or_path, name, type, aliases)

    async def alog_artifact(
        self,
        artifact_or_path: Artifact | str,
        name: str | None = None,
        type: str | None = None,  # noqa: A002
        aliases: Iterable[str] | str | None = None,
    ) -> Artifact:
        """The async twin of `log_artifact`."""
        self._check_running()
        artifact = await self._made(artifact_or_path, name, type)
        await self._log(artifact, aliases, use=False)
        return artifact

    def use_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,  # noqa: A002
        aliases: Iterable[str] | str | None = None,
    ) -> Artifact:
        """Mark an artifact as an input of this run.

        Args:
            artifact_or_name: `name` (its latest), `name:v3`, `name:alias`, with `project/` or
                `entity/project/` before it, a digest; or an Artifact: a draft is logged first.
            type: Refuse an artifact of another type.
            aliases: Given to a draft that is logged here.

        Returns:
            The artifact; `download()` gets its bytes.

        Raises:
            UnknownArtifactError: No such artifact, version or alias; says which there are.
            UsageError: It has another type, or the run has ended.
        """
        return portal.call(self.ause_artifact, artifact_or_name, type, aliases)

    async def ause_artifact(
        self,
        artifact_or_name: Artifact | str,
        type: str | None = None,  # noqa: A002
        aliases: Iterable[str] | str | None = None,
    ) -> Artifact:
        """The async twin of `use_artifact`."""
        self._check_running()
        if isinstance(artifact_or_name, str):
            return await anyio.to_thread.run_sync(self._use_named, artifact_or_name, type)
        if type is not None and type != artifact_or_name.type:
            raise UsageError(f"{artifact_or_name.name} has type {artifact_or_name.type!r}, not {type!r}")
        await self._log(artifact_or_name, aliases, use=True)
        return artifact_or_name

    def finish(self, exit_code: int | None = None) -> None:
        """End the run. Idempotent.

        Args:
            exit_code: None or 0: finished; another: crashed.
        """
        if self._ended:
            return
        self._registry.finish_run(self.id, state="crashed" if exit_code else "finished", config=self.config)
        self._ended = True
        ending.untrack(self)

    async def afinish(self, exit_code: int | None = None) -> None:
        """The async twin of `finish`."""
        await anyio.to_thread.run_sync(self.finish, exit_code)

    def logged_artifacts(self) -> list[Artifact]:
        """The versions that it logged."""
        return [Artifact.of(version, self._registry) for version in self._registry.artifacts_of(self.id, "output")]

    def used_artifacts(self) -> list[Artifact]:
        """The versions that it used."""
        return [Artifact.of(version, self._registry) for version in self._registry.artifacts_of(self.id, "input")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(0 if kind is None else 1)

    def __repr__(self) -> str:
        return f"<Run {self.path}{' (ended)' if self._ended else ''}>"

    def __getattr__(self, name: str) -> Any:
        raise refuse("Run", name)

    async def _made(self, given: Artifact | str, name: str | None, kind: str | None) -> Artifact:
        if isinstance(given, Artifact):
            return given
        if not has_scheme(given):
            raise InvalidURIError("a reference needs a scheme", uri=given, hint="for a local path use file://")
        last = posixpath.basename(given.rstrip("/"))
        artifact = Artifact(name or f"run-{self.id}-{last}", kind or "unspecified")
        await artifact.aadd_reference(given)
        return artifact

    async def _log(self, artifact: Artifact, aliases: Iterable[str] | str | None, *, use: bool) -> None:
        if artifact.is_draft():
            await log(artifact, self._registry, run=self._record, aliases=aliases, use=use)
            return
        version = await anyio.to_thread.run_sync(self._registry.resolve, artifact.qualified_name)
        await anyio.to_thread.run_sync(self._registry.use, self.id, version, "input" if use else "output")
        if aliases is not None:
            added = await anyio.to_thread.run_sync(lambda: self._registry.alias(version, add=aliases))
            artifact.mark_logged(added, self._registry)

    def _use_named(self, text: str, kind: str | None) -> Artifact:
        version = self._registry.resolve(text, project=self.project, entity=self.entity, type=kind)
        self._registry.use(self.id, version)
        return Artifact.of(version, self._registry)

    def _check_running(self) -> None:
        if self._ended:
            raise UsageError(f"the run {self.id} has ended", hint="asyncref.init() starts another")
