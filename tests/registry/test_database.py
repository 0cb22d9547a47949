"""Opening a registry: made on first use, refused where it cannot be used, with one line each."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from asyncref.config import Setting
from asyncref.errors import ManifestError, OptionError, RegistryUnavailableError, RegistryVersionError
from asyncref.registry import Registry
from asyncref.registry.database import network_file_system
from tests.registry import manifest_of


def set_schema_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE schema_version SET version = ?", (version,))
    connection.close()


def test_the_default_registry_is_made_once_and_says_how_to_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("ASYNCREF_HOME", str(tmp_path / "home"))
    Registry.open()
    said = capsys.readouterr().err
    assert str(tmp_path / "home" / "registry.db") in said
    assert "ASYNCREF_REGISTRY" in said
    Registry.open()
    assert capsys.readouterr().err == ""


def test_a_named_registry_is_made_in_silence_with_a_write_ahead_log_and_its_manifests_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a b" / "shared#1.db"
    registry = Registry.open(f"sqlite:///{path}")
    registry.log(manifest_of({"a": "1"}), name="mnist", type="dataset")
    assert capsys.readouterr().err == ""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert list((path.parent / "manifests" / "roots").iterdir())


def test_a_newer_schema_says_to_upgrade_asyncref(url: str, tmp_path: Path):
    Registry.open(url)
    set_schema_version(tmp_path / "registry.db", 99)
    with pytest.raises(RegistryVersionError, match="upgrade asyncref"):
        Registry.open(url)


def test_an_older_schema_says_to_run_the_upgrade(url: str, tmp_path: Path):
    Registry.open(url)
    set_schema_version(tmp_path / "registry.db", 0)
    with pytest.raises(RegistryVersionError, match="asyncref registry upgrade"):
        Registry.open(url)


def test_a_folder_that_cannot_be_made_is_one_line_with_a_way_out(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryUnavailableError, match="ASYNCREF_REGISTRY or ASYNCREF_HOME") as caught:
        Registry.open(f"sqlite:///{tmp_path / 'file' / 'registry.db'}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "registry.db"
    path.write_text("these are my notes, not a database " * 100)
    with pytest.raises(RegistryUnavailableError, match="not a database"):
        Registry.open(f"sqlite:///{path}")
    assert path.read_text().startswith("these are my notes")


def test_a_manifest_that_cannot_be_stored_leaves_no_version(registry: Registry, tmp_path: Path):
    (tmp_path / "manifests").write_text("a file where the folder should be")
    with pytest.raises(ManifestError, match="cannot be written"):
        registry.log(manifest_of({"a": "1"}), name="mnist", type="dataset")
    assert registry.artifacts() == []


@pytest.mark.parametrize("url", ["", "mysql://host/db", "sqlite:relative.db", "http://host"])
def test_other_urls_are_refused_with_the_forms_there_are(url: str):
    with pytest.raises(OptionError, match="write sqlite:///"):
        Registry.open(url)


def test_a_database_server_that_does_not_answer_is_one_line_without_the_password():
    pytest.importorskip("psycopg")
    with pytest.raises(RegistryUnavailableError) as caught:
        Registry.open("postgresql://user:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_a_missing_driver_names_the_extra_and_hides_the_password():
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError:
        with pytest.raises(OptionError, match=r"pip install asyncref\[postgres\]") as caught:
            Registry.open("postgresql://user:secret@127.0.0.1:1/none")
        assert "secret" not in str(caught.value)
    else:
        assert Setting("registry", "postgresql://user:secret@h/d", "argument").shown == "postgresql://user:***@h/d"


def test_network_file_systems_are_told_by_the_longest_mount_point(tmp_path: Path):
    mounts = tmp_path / "mounts"
    (tmp_path / "data set").mkdir()
    escaped = str(tmp_path / "data set").replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\n")
    assert network_file_system(tmp_path / "data set", mounts) == "nfs4"
    assert network_file_system(tmp_path, mounts) is None
    assert network_file_system(tmp_path, tmp_path / "no-such-file") is None


def test_on_a_network_file_system_there_is_a_warning_and_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("asyncref.registry.database.network_file_system", lambda _: "nfs4")
    path = tmp_path / "registry.db"
    with pytest.warns(RuntimeWarning, match="nfs4"):
        Registry.open(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
