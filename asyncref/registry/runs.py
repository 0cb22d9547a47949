"""Runs and lineage: what somebody did, which versions it used, and which it logged."""

from __future__ import annotations

import os
import secrets
import socket
import string
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from asyncref.errors import RegistryError, UnknownArtifactError
from asyncref.registry import versions as stored
from asyncref.registry.database import Database
from asyncref.registry.records import Lineage, RunRecord, State, Version, now
from asyncref.registry.schema import projects, runs, uses, versions
from asyncref.registry.values import json_values, place

_ID_LETTERS: Final = string.ascii_lowercase + string.digits
Role = Literal["input", "output"]


class Runs:
    """The registry's methods about runs.

    Args:
        database: The registry's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def start_run(
        self,
        *,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        job_type: str | None = None,
        config: Mapping[str, Any] | None = None,
        run_id: str | None = None,
    ) -> RunRecord:
        """Note that a run starts in this process.

        Raises:
            InvalidNameError: A project or entity name with characters that it may not have.
            RegistryError: There is a run of this id.
            UsageError: The config holds no JSON values.
        """
        owner, where = place(entity, project)
        chosen = run_id or "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
        row = {
            "id": chosen,
            "name": name,
            "job_type": job_type,
            "config": json_values(config, "config"),
            "state": "running",
            "started": now(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        with self._database.write() as connection:
            if connection.execute(sa.select(runs.c.id).where(runs.c.id == chosen)).one_or_none():
                raise RegistryError(f"there is a run {chosen!r} already", hint="leave the id out for a new one")
            project_id = stored.project_id(self._database, connection, owner, where)
            connection.execute(sa.insert(runs).values(project_id=project_id, **row))
            return _select(connection, runs.c.id == chosen)[0]

    def finish_run(
        self,
        run_id: str,
        *,
        state: Literal["finished", "crashed"] = "finished",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Note that a run has ended; one that has ended already stays as it is.

        Args:
            run_id: Which.
            state: How it ended.
            config: Its config as it is now; None leaves what was given at its start.

        Raises:
            UsageError: The config holds no JSON values.
        """
        changed: dict[str, Any] = {"state": state, "ended": now()}
        if config is not None:
            changed["config"] = json_values(config, "config")
        running = (runs.c.id == run_id, runs.c.state == "running")
        with self._database.write() as connection:
            connection.execute(sa.update(runs).where(*running).values(**changed))

    def run(self, run_id: str) -> RunRecord:
        """One run.

        Raises:
            UnknownArtifactError: There is none of this id.
        """
        with self._database.read() as connection:
            found = _select(connection, runs.c.id == run_id)
        if not found:
            raise UnknownArtifactError(f"no run {run_id!r}")
        return found[0]

    def runs(self, *, state: State | None = None) -> list[RunRecord]:
        """Every run, oldest first."""
        where = [runs.c.state == state] if state else []
        with self._database.read() as connection:
            return _select(connection, *where)

    def use(self, run_id: str, version: Version, role: Role = "input") -> None:
        """Note that a run uses a version, or (`output`) that it logged one that was there."""
        with self._database.write() as connection:
            stored.record_use(self._database, connection, run_id, version.id, role)

    def artifacts_of(self, run_id: str, role: Role) -> tuple[Version, ...]:
        """The versions that a run used (`input`) or logged (`output`)."""
        with self._database.read() as connection:
            return _versions_of(connection, [run_id], role)

    def lineage(self, version: Version) -> Lineage:
        """The runs that made and used a version, and what they used and made: one step each way."""
        with self._database.read() as connection:
            made_by = _runs_of(connection, version, "output")
            used_by = _runs_of(connection, version, "input")
            return Lineage(
                version=version,
                made_by=made_by,
                inputs=_versions_of(connection, [run.id for run in made_by], "input"),
                used_by=used_by,
                outputs=_versions_of(connection, [run.id for run in used_by], "output"),
            )


def _select(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[RunRecord]:
    query = (
        sa.select(runs, projects.c.entity, projects.c.name.label("project"))
        .join(projects, runs.c.project_id == projects.c.id)
        .where(*where)
        .order_by(runs.c.started, runs.c.id)
    )
    return [_record(row) for row in connection.execute(query)]


def _runs_of(connection: sa.Connection, version: Version, role: Role) -> tuple[RunRecord, ...]:
    chosen = sa.select(uses.c.run_id).where(uses.c.version_id == version.id, uses.c.role == role)
    return tuple(_select(connection, runs.c.id.in_(chosen)))


def _versions_of(connection: sa.Connection, run_ids: list[str], role: Role) -> tuple[Version, ...]:
    chosen = sa.select(uses.c.version_id).where(uses.c.run_id.in_(run_ids), uses.c.role == role)
    return tuple(stored.select(connection, versions.c.id.in_(chosen)))


def _record(row: sa.Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        entity=row.entity,
        project=row.project,
        name=row.name,
        job_type=row.job_type,
        config=row.config,
        state=row.state,
        started=datetime.fromisoformat(row.started),
        ended=datetime.fromisoformat(row.ended) if row.ended else None,
        host=row.host,
        pid=row.pid,
    )
