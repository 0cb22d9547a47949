"""The registry's database: opening it, its schema's version, and transactions that one writer holds at a time."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError

from asyncref.config import Setting
from asyncref.errors import OptionError, RegistryUnavailableError, RegistryVersionError
from asyncref.registry import readonly, schema

_log: Final = logging.getLogger("asyncref.registry")
_BUSY_S: Final = 60  # SQLite waits this long for another process's transaction
_LOCK_ID: Final = 0x61737265  # PostgreSQL's advisory lock for making the schema
_NAMED: Final = {"argument": "registry=", "environment ASYNCREF_REGISTRY": "ASYNCREF_REGISTRY"}
_NETWORK: Final = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "9p",
    "fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse",
)  # fmt: skip


class Database:
    """One registry's database. Holds no connection between transactions, so it survives forks and threads.

    Args:
        setting: Its URL and where that came from.
        read_only: A SQLite file that is not there is read as an empty one and not made, and one that this user may not
            write can be read.

    Raises:
        OptionError: The URL is none, or its driver is not installed.
        RegistryUnavailableError: It cannot be opened or made.
        RegistryVersionError: Its schema is of another asyncref.
    """

    def __init__(self, setting: Setting, *, read_only: bool = False) -> None:
        self.setting = setting
        self.path = _sqlite_path(setting)
        with self._errors():
            self.missing = read_only and self.path is not None and not self.path.exists()
            self._closed = (
                read_only and not self.missing and self.path is not None and not readonly.may_write(self.path)
            )
            self._engine = self._empty_engine() if self.missing else _engine(setting, self.path, closed=self._closed)
            if self.path is not None and not (self.missing or self._closed):
                self._prepare_sqlite(self.path)
            self._check_schema()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state."""
        with self._errors():
            still = self.path if self._closed and self.path and readonly.needs_stillness(self.path) else None
            before = still and readonly.state(still)
            with self._engine.connect() as connection, connection.begin():
                yield connection
            if still and readonly.state(still) != before:
                raise sqlite3.OperationalError("it was written while it was read; try again")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes: all of it or nothing. On SQLite one at a time, from its first statement."""
        with self._errors(), self._begin() as connection:
            yield connection

    def insert_missing(self, connection: sa.Connection, table: sa.Table, **values: Any) -> None:
        """Insert a row unless its key is there already."""
        insert = sqlite.insert(table) if self.path else postgresql.insert(table)
        connection.execute(insert.values(**values).on_conflict_do_nothing())

    def upgrade(self) -> tuple[int, int]:
        """Bring the schema to this asyncref's version; returns the versions before and after."""
        # Version 1 is the first: there is nothing older to come from.
        return schema.SCHEMA_VERSION, schema.SCHEMA_VERSION

    def _check_schema(self) -> None:
        with self._engine.connect() as connection:
            found = _schema_version(connection)
        if found is None:
            found = self._create()
        if found > schema.SCHEMA_VERSION:
            raise RegistryVersionError(
                f"the registry's schema is version {found} and this asyncref knows {schema.SCHEMA_VERSION}",
                uri=self.setting.shown,
                hint="upgrade asyncref",
            )
        if found < schema.SCHEMA_VERSION:
            raise RegistryVersionError(
                f"the registry's schema is version {found}, older than {schema.SCHEMA_VERSION}",
                uri=self.setting.shown,
                hint="run `asyncref registry upgrade` once",
            )

    def _create(self) -> int:
        with self._begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_ID)))
            found = _schema_version(connection)
            if found is not None:  # another process was faster
                return found
            schema.metadata.create_all(connection)
            connection.execute(sa.insert(schema.schema_version).values(version=schema.SCHEMA_VERSION))
        if self.setting.origin == "default" and not self.missing:
            sys.stderr.write(
                f"asyncref: made the registry {self.path}; to share one, set ASYNCREF_REGISTRY to "
                "sqlite:////shared/folder/registry.db or postgresql://... for everybody\n"
            )
        return schema.SCHEMA_VERSION

    def _prepare_sqlite(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = network_file_system(path.parent)
        if kind is not None:
            warnings.warn(
                f"the registry {path} lies on a network file system ({kind}), whose locks SQLite has to trust; "
                "for more than a few writers use postgresql://",
                RuntimeWarning,
                stacklevel=5,
            )
        mode = "delete" if kind else "wal"
        if path.exists() and self._journal_mode() == mode:
            return
        for _ in range(100):  # changing the mode needs the file alone, and SQLite does not wait for that
            try:
                self._journal_mode(mode)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(random.uniform(0.005, 0.05))  # noqa: S311  jitter is no secret
            else:
                return
        _log.warning("the journal mode of %s could not be set to %s: the file is in use", path, mode)

    def _journal_mode(self, mode: str | None = None) -> str:
        with contextlib.closing(sqlite3.connect(str(self.path), timeout=_BUSY_S)) as connection:
            return str(
                connection.execute(f"PRAGMA journal_mode={mode}" if mode else "PRAGMA journal_mode").fetchone()[0]
            )

    @staticmethod
    def _empty_engine() -> sa.Engine:
        return sa.create_engine("sqlite://", poolclass=sa.StaticPool, creator=partial(readonly.connect_empty, _BUSY_S))

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection, connection.execution_options(asyncref_write=True).begin():
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.Error, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise RegistryUnavailableError(
                f"the registry cannot be used: {reason}",
                uri=self.setting.shown,
                hint="ASYNCREF_REGISTRY or ASYNCREF_HOME names another place",
            ) from error


def network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The kind of network file system that a folder lies on; None for a local one, or where that is unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # no /proc: macOS
        return None
    where = str(folder.resolve())
    longest, kind = "", ""
    for line in lines:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):
            longest, kind = point, found
    return kind if kind in _NETWORK else None


def _schema_version(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table("schema_version"):
        return None
    found = connection.execute(sa.select(schema.schema_version.c.version)).scalar()
    return None if found is None else int(found)


def _sqlite_path(setting: Setting) -> Path | None:
    scheme, separator, path = setting.value.partition(":///")
    if not separator or scheme != "sqlite":
        return None
    return Path(path).expanduser().absolute()


def _engine(setting: Setting, path: Path | None, *, closed: bool) -> sa.Engine:
    options: dict[str, Any] = {"connect_args": {"timeout": _BUSY_S, "isolation_level": None}} if path else {}
    if path is not None and closed:
        options = {"creator": partial(readonly.connect, path, _BUSY_S)}
    try:
        engine = sa.create_engine(_url(setting, path), poolclass=sa.NullPool, **options)
    except ImportError as error:
        raise OptionError(
            "the driver for PostgreSQL is missing", uri=setting.shown, hint="pip install asyncref[postgres]"
        ) from error
    if path is not None:
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _url(setting: Setting, path: Path | None) -> sa.URL:
    if path is not None:
        return sa.URL.create("sqlite", database=str(path))
    try:
        url = sa.make_url(setting.value)
    except ArgumentError:
        url = sa.URL.create("none")
    if url.get_backend_name() != "postgresql":
        raise OptionError(
            f"{_NAMED.get(setting.origin, setting.origin)} is neither a SQLite file nor a database's URL",
            uri=setting.shown or "''",
            hint="write sqlite:////folder/registry.db, the path of a file, or postgresql://user@host/database",
        )
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _set_up_sqlite(connection: Any, _: object) -> None:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")  # a version that was reported survives a power cut, in WAL too


def _begin_sqlite(connection: sa.Connection) -> None:
    # The driver itself begins late and deferred: two writers that both read first would then collide.
    write = connection.get_execution_options().get("asyncref_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
