"""Versions in the database: writing one inside a transaction, and looking them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from asyncref.errors import UnknownArtifactError, UsageError
from asyncref.registry import names
from asyncref.registry.database import Database
from asyncref.registry.decide import Content, Outcome, decide
from asyncref.registry.records import Version, now
from asyncref.registry.schema import aliases, collections, pins, projects, uses, versions

_SHOWN: Final = 12  # names listed in an error
_JOINED: Final = versions.join(collections, versions.c.collection_id == collections.c.id).join(
    projects, collections.c.project_id == projects.c.id
)


def project_id(database: Database, connection: sa.Connection, entity: str, project: str) -> int:
    """The project's row, made if it is not there."""
    found = sa.select(projects.c.id).where(projects.c.entity == entity, projects.c.name == project)
    if (known := connection.execute(found).scalar()) is not None:
        return int(known)
    database.insert_missing(connection, projects, entity=entity, name=project)
    return int(connection.execute(found).scalar_one())


def hold_collection(database: Database, connection: sa.Connection, owner: int, name: str, kind: str) -> sa.Row[Any]:
    """The artifact's row, made if it is not there, locked until the transaction ends.

    Raises:
        UsageError: It exists with another type.
    """
    # SQLite has the whole database by BEGIN IMMEDIATE and takes no FOR UPDATE; PostgreSQL locks this row.
    found = (
        sa.select(collections).where(collections.c.project_id == owner, collections.c.name == name).with_for_update()
    )
    row = connection.execute(found).one_or_none()
    if row is None:
        database.insert_missing(connection, collections, project_id=owner, name=name, type=kind, next_number=0)
        row = connection.execute(found).one()
    if row.type != kind:
        raise UsageError(f"the artifact {name!r} has type {row.type!r}, not {kind!r}")
    return row


def hold_collection_of(connection: sa.Connection, version: Version) -> int:
    """The row of a version's artifact, locked until the transaction ends."""
    found = sa.select(versions.c.collection_id).where(versions.c.id == version.id)
    held = sa.select(collections.c.id).where(collections.c.id.in_(found)).with_for_update()
    return int(connection.execute(held).scalar_one())


def write_version(connection: sa.Connection, collection: sa.Row[Any], new: dict[str, Any], identity: str) -> Version:
    """Decide, and write what was decided. The collection's row is held by the caller.

    Args:
        connection: Inside a write transaction.
        collection: Its row.
        new: Columns of `versions`, without `collection_id`, `number` and `created`.
        identity: Of the manifest.
    """
    latest = _latest(connection, collection.id)
    candidate = Content(new["digest"], new["refs"], (identity,))
    former = Content(latest.digest, latest.refs, latest.identities) if latest else None
    outcome = decide(former, candidate)
    if latest is None or outcome == "new":
        version_id = _insert(connection, collection, new)
        if not new["partial"]:
            set_alias(connection, collection.id, names.LATEST, version_id)
    else:
        version_id = latest.id
    if outcome != "same":
        gone = sa.delete(pins).where(pins.c.version_id == version_id, pins.c.identity == identity)
        connection.execute(gone)
        connection.execute(sa.insert(pins).values(version_id=version_id, identity=identity, created=now()))
    return with_outcome(by_id(connection, version_id), outcome)


def set_alias(connection: sa.Connection, collection: int, alias: str, version_id: int) -> None:
    """Let an alias name this version and no other of the artifact."""
    connection.execute(sa.delete(aliases).where(aliases.c.collection_id == collection, aliases.c.alias == alias))
    connection.execute(sa.insert(aliases).values(collection_id=collection, alias=alias, version_id=version_id))


def record_use(database: Database, connection: sa.Connection, run_id: str, version_id: int, role: str) -> None:
    """Note once that a run used (`input`) or logged (`output`) a version."""
    database.insert_missing(connection, uses, run_id=run_id, version_id=version_id, role=role, at=now())


def with_outcome(version: Version, outcome: Outcome) -> Version:
    """The version, saying what logging did."""
    return replace(version, outcome=outcome)


def by_id(connection: sa.Connection, version_id: int) -> Version:
    """One version by the registry's own number."""
    return select(connection, versions.c.id == version_id)[0]


def select(connection: sa.Connection, *where: sa.ColumnElement[bool], limit: int | None = None) -> list[Version]:
    """Versions with their pins and aliases: newest number first within an artifact, artifacts by name."""
    query = (
        sa.select(versions, collections.c.name, collections.c.type, projects.c.entity, projects.c.name.label("project"))
        .select_from(_JOINED)
        .where(*where)
        .order_by(projects.c.entity, projects.c.name, collections.c.name, versions.c.number.desc())
        .limit(limit)
    )
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    identities = _grouped(connection, pins, pins.c.identity, ids, pins.c.id.desc())
    labels = _grouped(connection, aliases, aliases.c.alias, ids, aliases.c.alias)
    return [_version(row, identities.get(row.id, []), labels.get(row.id, [])) for row in rows]


def find(connection: sa.Connection, name: names.Name, *, entity: str, project: str) -> Version:
    """The version that a typed name means.

    Raises:
        UnknownArtifactError: No such artifact, version or alias; says which there are.
    """
    owner, place = name.entity or entity, name.project or project
    here = (projects.c.entity == owner, projects.c.name == place, collections.c.name == name.name)
    if name.number is not None:
        found = select(connection, *here, versions.c.number == name.number)
    else:
        chosen = sa.select(aliases.c.version_id).where(
            aliases.c.collection_id == collections.c.id, aliases.c.alias == (name.selector or names.LATEST)
        )
        found = select(connection, *here, versions.c.id.in_(chosen))
    if found:
        return found[0]
    known = select(connection, *here)
    if known:
        raise UnknownArtifactError(
            f"{name.name!r} has no {name.selector or 'complete version'}",
            hint=f"there are {_listed(_selectors(version) for version in known)}",
        )
    raise UnknownArtifactError(
        f"no artifact {name.name!r} in {owner}/{place}", hint=_elsewhere(connection, name.name, owner, place)
    )


def find_digest(connection: sa.Connection, digest: str, *, entity: str, project: str) -> Version | None:
    """The newest version with this digest or identity, in this project if there is one, else anywhere."""
    pinned = sa.select(pins.c.version_id).where(pins.c.identity == digest)
    found = select(connection, sa.or_(versions.c.digest == digest, versions.c.id.in_(pinned)))
    found.sort(key=lambda version: ((version.entity, version.project) == (entity, project), version.id))
    return found[-1] if found else None


def _latest(connection: sa.Connection, collection: int) -> Version | None:
    chosen = sa.select(aliases.c.version_id).where(
        aliases.c.collection_id == collection, aliases.c.alias == names.LATEST
    )
    found = select(connection, versions.c.id.in_(chosen))
    return found[0] if found else None


def _insert(connection: sa.Connection, collection: sa.Row[Any], new: dict[str, Any]) -> int:
    number = int(collection.next_number)
    next_number = sa.update(collections).where(collections.c.id == collection.id).values(next_number=number + 1)
    connection.execute(next_number)
    row = sa.insert(versions).values(collection_id=collection.id, number=number, created=now(), **new)
    key = connection.execute(row).inserted_primary_key
    assert key is not None
    return int(key[0])


def _grouped(
    connection: sa.Connection, table: sa.Table, column: sa.Column[str], ids: Sequence[int], order: Any
) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = {}
    for start in range(0, len(ids), 500):  # SQLite before 3.32 binds 999 values a statement
        chosen = table.c.version_id.in_(ids[start : start + 500])
        for version_id, value in connection.execute(
            sa.select(table.c.version_id, column).where(chosen).order_by(order)
        ):
            grouped.setdefault(version_id, []).append(value)
    return grouped


def _version(row: sa.Row[Any], identities: list[str], labels: list[str]) -> Version:
    return Version(
        id=row.id,
        entity=row.entity,
        project=row.project,
        name=row.name,
        type=row.type,
        number=row.number,
        digest=row.digest,
        refs=row.refs,
        identities=tuple(identities),
        aliases=tuple(sorted(labels, key=lambda alias: (alias != names.LATEST, alias))),
        objects=row.objects,
        size=row.bytes,
        description=row.description,
        metadata=row.metadata,
        created=datetime.fromisoformat(row.created),
        run_id=row.run_id,
        partial=row.partial,
    )


def _selectors(version: Version) -> str:
    return f"{version.version} ({', '.join(version.aliases)})" if version.aliases else version.version


def _elsewhere(connection: sa.Connection, name: str, entity: str, project: str) -> str:
    owners = sa.select(projects.c.entity, projects.c.name).join(collections, collections.c.project_id == projects.c.id)
    same = connection.execute(owners.where(collections.c.name == name)).all()
    if same:
        return f"it is in {_listed(f'{row.entity}/{row.name}' for row in same)}: write entity/project/{name}"
    here = (
        sa.select(collections.c.name)
        .join(projects, collections.c.project_id == projects.c.id)
        .where(projects.c.entity == entity, projects.c.name == project)
        .order_by(collections.c.name)
    )
    there = connection.execute(here).scalars().all()
    if there:
        return f"there are {_listed(there)}"
    everywhere = connection.execute(owners.distinct()).all()
    if not everywhere:
        return "this registry is empty"
    return f"nothing is in that project; there are {_listed(f'{row.entity}/{row.name}' for row in everywhere)}"


def _listed(texts: Iterable[str]) -> str:
    shown = list(texts)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
