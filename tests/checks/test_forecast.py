"""Forecasts: exact where the listing is short, of the right order where it is long, and priced by a table."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path

import orjson
import pytest

import asyncref
from asyncref.backends.base import Traits
from asyncref.checks.forecast import SAMPLE_REQUESTS
from asyncref.checks.prices import Prices, load
from asyncref.cli import main
from asyncref.errors import NotFoundError, OptionError
from asyncref.model import Source
from asyncref.testing import MemoryBackend, MemoryStore, mounted

LAYOUTS = {
    "counter": lambda number: f"data/{number:08}",
    "uuid": lambda number: f"data/{hashlib.md5(b'%d' % number).hexdigest()}",
    "dated": lambda number: f"data/2024/{number // 900 % 12:02}/{number // 75 % 30:02}/{number:06}.jpg",
    "folders": lambda number: f"data/{number % 200:03}/image-{number:06}.png",
}
MEMORY = """
read = 2026-01-31
currency = "EUR"
[[storage]]
name = "ours"
schemes = ["memory"]
hosts = [""]
list_per_1000 = 5.0
read_per_1000 = 0.5
internet_per_gb = 100.0
"""


async def test_a_short_listing_is_known_exactly_and_costs_what_a_scan_costs() -> None:
    store = MemoryStore()
    for number in range(250):
        store.seed(f"data/{number:03}", b"x" * number)
    with mounted(store):
        (one,) = await asyncref.forecast("memory://bucket/data/")
        manifest = await asyncref.scan("memory://bucket/data/")
    assert one.exact
    assert not one.at_least
    assert (one.objects, one.bytes, one.fetch_requests) == (250, manifest.size, 250)
    assert one.scan_requests == manifest.record.requests
    assert one.scan_cost is None


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_long_listing_is_reckoned_within_a_factor_of_two_by_200_pages(layout: str) -> None:
    """Pages of 10 keys instead of 1,000: the same shape, a hundredth of the work."""
    store = MemoryStore(page_rows=10)
    for number in range(12_000):
        store.seed(LAYOUTS[layout](number), b"x" * 10)
    with mounted(store):
        (one,) = await asyncref.forecast("memory://bucket/data/")
    assert not one.exact
    assert SAMPLE_REQUESTS <= one.sampled <= SAMPLE_REQUESTS + 8
    assert 6_000 <= one.objects <= 24_000
    assert one.bytes == pytest.approx(10 * one.objects, rel=0.01)
    assert one.objects / 10 <= one.scan_requests["list"] <= one.objects / 10 * 1.2


async def test_a_tree_that_is_too_large_is_told_as_a_lower_bound(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number:03}").mkdir()
        for name in "abc":
            (tmp_path / f"{number:03}" / name).write_bytes(b"x")
    (one,) = await asyncref.forecast(f"file://{tmp_path}/")
    assert one.at_least is not one.exact
    assert 600 <= one.objects <= 1200
    (whole,) = await asyncref.forecast(f"file://{tmp_path}/000/")
    assert (whole.exact, whole.objects) == (True, 3)


async def test_a_single_object_and_a_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (one,) = await asyncref.forecast(f"file://{tmp_path}/a")
    assert (one.exact, one.objects, one.bytes) == (True, 1, 3)
    with pytest.raises(NotFoundError):
        await asyncref.forecast(f"file://{tmp_path}/none/")


async def test_large_objects_are_fetched_in_parts_and_heads_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    store.seed("data/large", bytes(40 * 2**20))
    store.seed("data/small", b"x")
    monkeypatch.setattr(MemoryBackend, "traits", Traits(listing_pins=False))
    with mounted(store):
        (one,) = await asyncref.forecast("memory://bucket/data/")
    assert one.fetch_requests == 4  # 40 MiB in parts of at most 16
    assert one.scan_requests["stat"] == 2


def test_the_command_prices_a_scan_a_fetch_and_an_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(MEMORY)
    store = MemoryStore()
    for number in range(2000):
        store.seed(f"data/{number:04}", b"x" * 1000)
    with mounted(store):
        assert main(["scan", "memory://bucket/data/", "--estimate", "--prices", str(table), "--json"]) == 0
        (said,) = orjson.loads(capsys.readouterr().out)["sources"]
        assert said["scan"]["cost"]["requests"] == pytest.approx(said["scan"]["requests"]["list"] * 0.005)
        assert said["fetch"]["cost"]["requests"] == pytest.approx(1.0)
        assert said["fetch"]["cost"]["internet"] == pytest.approx(0.2)
        assert main(["scan", "memory://bucket/data/", "--estimate", "--prices", str(table)]) == 0
        assert "that costs  about EUR 1.00 for requests, and EUR 0.20 for bytes over the internet (ours)" in (
            capsys.readouterr().out
        )
        manifest = str(tmp_path / "m.parquet")
        assert main(["scan", "memory://bucket/data/", "-o", manifest, "--prices", str(table)]) == 0
        assert re.search(r"^cost +about EUR 0.01\d? for requests \(ours\)$", capsys.readouterr().out, re.MULTILINE)
        assert main(["fetch", manifest, str(tmp_path / "out"), "--prices", str(table), "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out)["cost"]["requests"] == pytest.approx(1.0)
        assert main(["scan", "memory://bucket/data/", "-o", manifest, "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out)["cost"] is None
        assert main(["scan", "memory://bucket/data/", "--estimate", "--include", "*.jpg"]) == 2


def test_every_report_of_what_asked_a_storage_has_its_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCREF_REGISTRY", f"sqlite:///{tmp_path}/registry.db")
    (tmp_path / "prices.toml").write_text(MEMORY)
    prices, uri = ["--prices", str(tmp_path / "prices.toml")], "memory://bucket/data/"
    store = MemoryStore(versioned=True)
    store.seed("data/a", b"x")
    with mounted(store):
        assert main(["scan", uri, "-o", str(tmp_path / "m.parquet")]) == 0
        capsys.readouterr()
        sent = {}
        for words in (["log", "set", uri], ["status", "set"], ["audit", "set"], ["audit", uri]):
            before = store.requests.total()
            assert main([*words, *prices, "--json"]) == 0
            requests = store.requests.total() - before
            said = orjson.loads(capsys.readouterr().out)["cost"]["requests"]
            sent[words[0], words[-1]] = requests
            assert 0.0005 * requests <= said <= 0.005 * requests
            assert main([*words, *prices]) == 0
            assert re.search(r"^cost +about EUR \S+ for requests \(ours\)$", capsys.readouterr().out, re.MULTILINE)
        assert sent["audit", "set"] > sent["status", "set"] > 0
        assert main(["log", "file", str(tmp_path / "m.parquet"), *prices, "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out)["cost"] is None


def source(scheme: str, endpoint: str | None = None, container: str = "b") -> Source:
    return Source(uri="u", scheme=scheme, container=container, endpoint=endpoint)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (source("s3"), "Amazon S3"),
        (source("s3", "https://s3.eu-west-1.amazonaws.com"), "Amazon S3"),
        (source("s3", "https://account.r2.cloudflarestorage.com"), "Cloudflare R2"),
        (source("s3", "https://cwobject.com"), "CoreWeave"),
        (source("s3", "http://127.0.0.1:9000"), None),
        (source("s3", "https://notamazonaws.com"), None),
        (source("gs"), "Google"),
        (source("az"), "Azure"),
        (source("https", None, "account.blob.core.windows.net/box"), "Azure"),
        (source("https", None, "example.org"), None),
        (source("file", None, ""), None),
    ],
)
def test_a_source_is_priced_by_its_own_storage_or_not_at_all(asked: Source, name: str | None) -> None:
    found = load().of(asked)
    assert (found is None) if name is None else (found is not None and found.name.startswith(name))


def test_mixed_sources_have_no_price_and_one_storage_has_its_own() -> None:
    prices = load()
    cost = prices.cost([source("s3"), source("s3")], {"list": 1000, "versioning": 1000, "get": 9000})
    assert cost is not None
    assert cost.requests == pytest.approx(0.005 + 0.004)
    assert prices.cost([source("s3"), source("gs")], {"list": 1}) is None
    assert prices.cost([], {"list": 1}) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("currency", "curency"), "'currency' is missing"),
        (("read = 2026-01-31", "read = 5"), "read has to be a date"),
        (("list_per_1000 = 5.0", "list_per_1000 = -1"), "list_per_1000 has to be a number"),
        (("list_per_1000 = 5.0", ""), "'list_per_1000' is missing"),
        (("schemes", "scheme"), "unknown field 'scheme'"),
        (("[[storage]]", "[[storage"), "cannot be used"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_name(change: tuple[str, str], says: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(MEMORY.replace(*change))
    with pytest.raises(OptionError, match=says):
        load(tmp_path / "prices.toml")
    with pytest.raises(OptionError, match=r"none\.toml"):
        load(tmp_path / "none.toml")


def test_the_table_names_a_source_for_every_row_and_stands_in_the_docs() -> None:
    prices = load()
    assert isinstance(prices, Prices)
    assert prices.read >= date(2026, 11, 24)
    text = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text()
    for row in prices.rows:
        assert row.sources
        assert row.name in text
