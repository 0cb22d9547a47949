"""The command line's `fetch`: cache, checks and a cap on the rate."""

from __future__ import annotations

from pathlib import Path

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
