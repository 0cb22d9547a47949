"""The registry's face: open it, log manifests, resolve names, follow lineage. Sync; a call is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from asyncref import config
from asyncref.errors import PartialScanError, RegistryUnavailableError, UnknownArtifactError, UsageError
from asyncref.manifest import Manifest, ManifestStore
from asyncref.registry import names
from asyncref.registry import versions as stored
from asyncref.registry.database import Database
from asyncref.registry.fingerprint import refs_fingerprint
from asyncref.registry.records import Version
from asyncref.registry.runs import Runs
from asyncref.registry.schema import aliases as alias_rows
from asyncref.registry.schema import collections, projects
from asyncref.registry.schema import versions as version_rows
from asyncref.registry.values import json_values, place


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One artifact with its versions, in short: the newest, and how many there are."""

    newest: Version
    versions: int


class Registry(Runs):
    """Versions, aliases, runs and lineage in one database, with the manifests in a folder beside it.

    Holds no connection and no lock between calls: safe in threads and after a fork. Every call may raise
    `RegistryUnavailableError`.
    """

    def __init__(self, database: Database, manifests: ManifestStore) -> None:
        super().__init__(database)
        self._store = manifests

    @classmethod
    def open(cls, url: str | None = None, *, read_only: bool = False) -> Self:
        """Open a registry, and make it if it is a SQLite file that is not there.

        Args:
            url: `sqlite:///FILE`, the path of a SQLite file, or `postgresql://...`; None: what the settings say.
            read_only: A SQLite file that is not there is not made, and is read as an empty one; one that this user may
                not write can be read.

        Raises:
            OptionError: The URL is not understood.
            RegistryUnavailableError: It cannot be opened or written.
            RegistryVersionError: Its schema is of another asyncref.
        """
        setting = config.get("registry", url)
        folder = config.get("manifests")
        beside = folder.origin == "default"
        manifests = config.manifests_beside(setting.value) if beside else Path(folder.value).expanduser()
        return cls(Database(setting, read_only=read_only), ManifestStore(manifests))

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._database.setting.shown

    @property
    def missing(self) -> bool:
        """Whether it is not there, and read as an empty one."""
        return self._database.missing

    def log(
        self,
        manifest: Manifest,
        *,
        name: str,
        type: str,  # noqa: A002  W&B's word
        project: str | None = None,
        entity: str | None = None,
        aliases: Iterable[str] | str = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        allow_partial: bool = False,
        use: bool = False,
    ) -> Version:
        """Store a manifest and make it a version, unless `latest` holds the same already.

        The manifest is stored first; then one transaction compares with `latest`, takes the next number
        and writes version, pins, aliases and lineage.

        Args:
            manifest: Of a complete scan, unless `allow_partial`.
            name: The artifact's name.
            type: The artifact's type; fixed by its first version.
            project: None: what the settings say.
            entity: None: what the settings say.
            aliases: They name this version from now on, also if it is not new.
            description: Kept with a new version.
            metadata: JSON values, kept with a new version.
            run_id: The run that logs it.
            allow_partial: Store a partial scan, marked; `latest` does not move.
            use: The run uses it too.

        Returns:
            The version; its `outcome` says whether it is new.

        Raises:
            PartialScanError: The scan was stopped short.
            InvalidNameError: A name with characters that it may not have.
            UsageError: The artifact has another type, or the metadata are no JSON values.
            ManifestError: The manifest cannot be stored beside the registry.
        """
        owner, where = place(entity, project)
        names.check(name, "artifact")
        names.check(type, "type")
        chosen = names.check_aliases(aliases)
        partial = not manifest.record.complete
        if partial and not allow_partial:
            raise PartialScanError(
                f"the scan for {name!r} is partial", hint="scan again, or allow_partial=True logs it, marked"
            )
        new = {
            "digest": manifest.digest,
            "refs": refs_fingerprint(manifest),
            "objects": len(manifest),
            "bytes": manifest.size,
            "description": description,
            "metadata": json_values(metadata, "metadata"),
            "run_id": run_id,
            "partial": partial,
        }
        self._store.put(manifest)
        with self._database.write() as connection:
            project_id = stored.project_id(self._database, connection, owner, where)
            collection = stored.hold_collection(self._database, connection, project_id, name, type)
            written = stored.write_version(connection, collection, new, manifest.identity)
            for alias in chosen:
                stored.set_alias(connection, collection.id, alias, written.id)
            if run_id is not None:
                stored.record_use(self._database, connection, run_id, written.id, "output")
            if run_id is not None and use:
                stored.record_use(self._database, connection, run_id, written.id, "input")
            version = stored.by_id(connection, written.id)
            assert written.outcome is not None
            return stored.with_outcome(version, written.outcome)

    def resolve(
        self,
        text: str,
        *,
        project: str | None = None,
        entity: str | None = None,
        type: str | None = None,  # noqa: A002
    ) -> Version:
        """The version that a text means.

        Args:
            text: `name` (its latest), `name:v3`, `name:alias`, with `project/` or `entity/project/` before
                it, or a manifest's digest or identity.
            project: Where a bare name is looked up; None: what the settings say.
            entity: The same.
            type: Refuse a version of another type.

        Raises:
            UnknownArtifactError: No such artifact, version or alias; says which there are.
            InvalidNameError: The text cannot be a name.
            UsageError: It has another type.
        """
        owner, where = place(entity, project)
        name = names.parse(text)
        with self._database.read() as connection:
            try:
                version = stored.find(connection, name, entity=owner, project=where)
            except UnknownArtifactError:
                named = stored.find_digest(connection, text, entity=owner, project=where)
                if not names.is_digest(text) or named is None:
                    if self.missing:
                        raise self._missing_error(text) from None
                    raise
                version = named
        if type is not None and type != version.type:
            raise UsageError(f"{version.qualified} has type {version.type!r}, not {type!r}")
        return version

    def versions(self, name: str, *, project: str | None = None, entity: str | None = None) -> list[Version]:
        """Every version of an artifact, newest first.

        Args:
            name: `name`, `project/name` or `entity/project/name`.
            project: None: what the settings say.
            entity: None: what the settings say.

        Raises:
            UnknownArtifactError: There is none; says which there are.
        """
        owner, where = place(entity, project)
        asked = names.parse(name)
        with self._database.read() as connection:
            found = stored.select(
                connection,
                projects.c.entity == (asked.entity or owner),
                projects.c.name == (asked.project or where),
                collections.c.name == asked.name,
            )
            if not found and self.missing:
                raise self._missing_error(name)
            return found or [stored.find(connection, asked, entity=owner, project=where)]

    def artifacts(
        self,
        *,
        project: str | None = None,
        entity: str | None = None,
        type: str | None = None,  # noqa: A002
    ) -> list[Collection]:
        """Every artifact by name, with its newest version.

        Args:
            project: Only this project's; None: all.
            entity: Only this entity's; None: all.
            type: Only of this type; None: all.
        """
        given = ((projects.c.name, project), (projects.c.entity, entity), (collections.c.type, type))
        chosen = [column == value for column, value in given if value is not None]
        listed: dict[tuple[str, str, str], Collection] = {}
        with self._database.read() as connection:
            for version in stored.select(connection, *chosen):
                key = (version.entity, version.project, version.name)
                first = listed[key].newest if key in listed else version
                listed[key] = Collection(newest=first, versions=listed[key].versions + 1 if key in listed else 1)
        return list(listed.values())

    def manifests(self, version: Version) -> list[Manifest]:
        """The manifests of a version, newest pins first: a fetch tries them in this order.

        Raises:
            RegistryUnavailableError: The newest is not in the folder of manifests.
        """
        try:
            return [self._store.get(identity) for identity in version.identities]
        except KeyError as error:
            raise RegistryUnavailableError(
                f"the manifest of {version.label} is not beside the registry",
                uri=self.url,
                hint="ASYNCREF_MANIFESTS names the folder that all who use this registry share",
            ) from error

    def alias(self, version: Version, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Version:
        """Give aliases to a version (taking them from others), and take some away.

        Raises:
            InvalidNameError: `latest` or `v3`, which are the registry's own, or a malformed one.
        """
        added, removed = names.check_aliases(add), names.check_aliases(remove)
        with self._database.write() as connection:
            collection = stored.hold_collection_of(connection, version)
            for alias in removed:
                gone = (alias_rows.c.version_id == version.id, alias_rows.c.alias == alias)
                connection.execute(sa.delete(alias_rows).where(*gone))
            for alias in added:
                stored.set_alias(connection, collection, alias, version.id)
            return stored.by_id(connection, version.id)

    def update(self, version: Version, *, description: str | None, metadata: Mapping[str, Any]) -> Version:
        """Exchange what a version's author wrote of it.

        Raises:
            UsageError: The metadata are no JSON values.
        """
        values = {"description": description, "metadata": json_values(metadata, "metadata")}
        with self._database.write() as connection:
            connection.execute(sa.update(version_rows).where(version_rows.c.id == version.id).values(**values))
            return stored.by_id(connection, version.id)

    def _missing_error(self, name: str) -> UnknownArtifactError:
        hint = "asyncref log makes it; ASYNCREF_REGISTRY names another one"
        return UnknownArtifactError(f"no artifact {name!r}: this registry is not there yet", uri=self.url, hint=hint)

    def upgrade(self) -> tuple[int, int]:
        """Bring the schema to this asyncref's version; returns the versions before and after."""
        return self._database.upgrade()
