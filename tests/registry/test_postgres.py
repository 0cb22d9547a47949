"""The same registry on PostgreSQL: run where `pgserver` (its binaries in a wheel) and `psycopg` are installed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncref.errors import RegistryVersionError, UnknownArtifactError
from asyncref.registry import Registry
from asyncref.registry.schema import SCHEMA_VERSION
from tests.registry import manifest_of
from tests.registry.test_processes import log_at_once

pgserver = pytest.importorskip("pgserver", reason="install with: pip install pgserver 'psycopg[binary]'")
psycopg = pytest.importorskip("psycopg", reason="install with: pip install pgserver 'psycopg[binary]'")


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database of its own, with its manifests in a folder of its own."""
    monkeypatch.setenv("ASYNCREF_MANIFESTS", str(tmp_path_factory.mktemp("manifests")))
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's own folders shut out the user that runs it under root
    server = pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


def test_eight_processes_that_make_it_and_log_at_once_get_a_version_each(url: str):
    assert log_at_once(url) == list(range(24))


def test_versions_aliases_runs_and_lineage_are_as_on_sqlite(registry: Registry):
    run = registry.start_run(job_type="make")
    older, newer = (manifest_of({"a": "1"}, version=version) for version in ("x", "y"))
    logged = [
        registry.log(manifest, name="mnist", type="dataset", aliases=["best"], run_id=run.id, use=True)
        for manifest in (older, older, newer, manifest_of({"a": "2"}))
    ]
    registry.finish_run(run.id)
    assert [one.outcome for one in logged] == ["new", "same", "pins", "new"]
    assert registry.resolve("mnist:v0").identities == (newer.identity, older.identity)
    assert registry.resolve("mnist:best").aliases == ("latest", "best")
    assert registry.alias(logged[0], add=["old"]).aliases == ("old",)
    assert [one.state for one in registry.lineage(logged[0]).used_by] == ["finished"]
    with pytest.raises(UnknownArtifactError, match="there are mnist"):
        registry.resolve("cifar")


def test_a_newer_schema_says_to_upgrade_asyncref(url: str):
    Registry.open(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE schema_version SET version = %s", (SCHEMA_VERSION + 1,))
    with pytest.raises(RegistryVersionError, match="upgrade asyncref"):
        Registry.open(url)
