"""The registry's tables: one schema for SQLite and PostgreSQL, with its version number.

Times are ISO 8601 texts in UTC, which sort and read alike in every database.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

SCHEMA_VERSION: Final = 1
metadata: Final = sa.MetaData()

schema_version: Final = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, nullable=False))

projects: Final = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("entity", sa.String(128), nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.UniqueConstraint("entity", "name"),
)

collections: Final = sa.Table(
    "collections",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("type", sa.String(128), nullable=False),
    sa.Column("next_number", sa.Integer, nullable=False, default=0),  # never goes back: a number is never reused
    sa.UniqueConstraint("project_id", "name"),
)

runs: Final = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("project_id", sa.ForeignKey("projects.id"), nullable=False),
    sa.Column("name", sa.String(128)),
    sa.Column("job_type", sa.String(128)),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # running, finished, crashed
    sa.Column("started", sa.String(40), nullable=False),
    sa.Column("ended", sa.String(40)),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
)

versions: Final = sa.Table(
    "versions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("collection_id", sa.ForeignKey("collections.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(32), nullable=False, index=True),
    sa.Column("refs", sa.String(64), nullable=False),  # fingerprint of every reference
    sa.Column("objects", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("run_id", sa.ForeignKey("runs.id")),
    sa.Column("partial", sa.Boolean, nullable=False),
    sa.UniqueConstraint("collection_id", "number"),
)

pins: Final = sa.Table(
    "pins",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # the newest is the largest
    sa.Column("version_id", sa.ForeignKey("versions.id"), nullable=False),
    sa.Column("identity", sa.String(64), nullable=False, index=True),
    sa.Column("created", sa.String(40), nullable=False),
    sa.UniqueConstraint("version_id", "identity"),
)

aliases: Final = sa.Table(
    "aliases",
    metadata,
    sa.Column("collection_id", sa.ForeignKey("collections.id"), primary_key=True),
    sa.Column("alias", sa.String(128), primary_key=True),
    sa.Column("version_id", sa.ForeignKey("versions.id"), nullable=False, index=True),
)

uses: Final = sa.Table(
    "uses",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("version_id", sa.ForeignKey("versions.id"), primary_key=True, index=True),
    sa.Column("role", sa.String(8), primary_key=True),  # input, output
    sa.Column("at", sa.String(40), nullable=False),
)
