"""The command line's `fetch`: cache, checks and a cap on the rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asyncref.manifest import Manifest
from tests.cli.conftest import Cli
from tests.fetch import noise, tree


def source(folder: Path) -> str:
    (folder / "data").mkdir()
    (folder / "data" / "a").write_bytes(noise(1000))
    (folder / "data" / "b").write_bytes(noise(200_000))
    return f"file://{folder}/data/"


def test_what_one_command_cached_the_next_takes(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    cached = cli.having(ASYNCREF_CACHE=str(tmp_path / "cache"))
    first = cached.json("fetch", uri, str(tmp_path / "one"), "--cache", "--cache-bytes", "1000000")
    second = cached.json("fetch", uri, str(tmp_path / "two"), "--cache", "--cache-links")
    assert (first["cached"], second["cached"]) == (0, 2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "data")
    assert "from the cache  2" in cached("fetch", uri, str(tmp_path / "three"), "--cache").stdout


def test_checks_can_be_left_out_and_the_rate_capped(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    unchecked = cli.json("fetch", uri, str(tmp_path / "one"), "--checksum", "never", "--bytes-per-second", "1e9")
    assert unchecked["unchecked"] == 2
    cli("fetch", uri, str(tmp_path / "two"), "--checksum", "sometimes", code=2)


REPORTED = {
    *("schema", "root", "objects", "bytes", "skipped", "cached", "missing", "failed", "failed_by_reason", "left"),
    *("unpinned", "unchecked", "requests", "retries", "elapsed_s", "bytes_per_s", "notes", "cost"),
}


def test_the_report_is_complete_whether_all_came_or_not(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    cli("scan", uri, "-o", "m.parquet")
    whole = cli.json("fetch", "m.parquet", str(tmp_path / "one"))
    assert whole.keys() == REPORTED
    assert (whole["objects"], whole["failed"], whole["failed_by_reason"], whole["left"]) == (2, 0, {}, 0)
    assert whole["bytes_per_s"] > 0
    (tmp_path / "data" / "a").write_bytes(b"changed")
    (tmp_path / "data" / "b").unlink()
    (tmp_path / "data" / "c").write_bytes(b"new")
    part = cli.json("fetch", "m.parquet", str(tmp_path / "two"), code=4)
    assert part.keys() == REPORTED | {"failures", "error", "message"}
    assert (part["objects"], part["failed"], part["left"]) == (0, 2, 0)
    assert part["failed_by_reason"] == {"ChangedError": 1, "NotFoundError": 1}
    assert [(one["path"], one["error"]) for one in part["failures"]] == [("a", "ChangedError"), ("b", "NotFoundError")]
    assert part["requests"]["get"] >= 2


def test_what_is_refused_beforehand_has_the_same_fields(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    (tmp_path / "out" / "a").mkdir(parents=True)
    refused = cli.json("fetch", uri, str(tmp_path / "out"), code=1)
    assert refused.keys() == REPORTED | {"failures", "error", "message"}
    assert (refused["error"], refused["objects"], refused["failed"]) == ("PathConflictError", 0, 1)
    assert refused["failures"][0]["path"] == "a"


def test_the_disk_and_the_memory_are_the_users_to_bound(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    for fsync in ("end", "each", "never"):
        cli("fetch", uri, str(tmp_path / fsync), "--fsync", fsync, "--memory-bytes", "2000000")
        assert tree(tmp_path / fsync) == tree(tmp_path / "data")
    cli("fetch", uri, str(tmp_path / "two"), "--fsync", "sometimes", code=2)
    cli("fetch", uri, str(tmp_path / "two"), "--memory-bytes", "0", code=2)


def test_a_filter_that_matches_nothing_makes_no_version_and_fetches_nothing(cli: Cli, tmp_path: Path) -> None:
    uri = source(tmp_path)
    assert "none matches the filter" in cli.refused("log", "data", uri, "--include", "nomatch")
    assert cli.json("artifacts")["artifacts"] == []
    cli("scan", uri, "-o", "m.parquet")
    assert "matches the filter" in cli.refused("fetch", "m.parquet", str(tmp_path / "one"), "--include", "nomatch")
    assert not (tmp_path / "one").exists()


def test_a_partial_manifest_is_said_to_be_one_where_it_is_fetched(cli: Cli, tmp_path: Path) -> None:
    cli("scan", source(tmp_path), "-o", "m.parquet")
    manifest = Manifest.load(cli.folder / "m.parquet")
    manifest.record = replace(manifest.record, complete=False)
    manifest.save(cli.folder / "partial.parquet")
    assert "the manifest is partial" in cli("fetch", "partial.parquet", str(tmp_path / "one")).stdout
    assert "is partial" not in cli("fetch", "m.parquet", str(tmp_path / "two")).stdout
