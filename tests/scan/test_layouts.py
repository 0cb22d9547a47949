"""Every layout of keys, listed by the real engine over HTTP from a store in its own process: complete, spread, few requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_plus, urlencode
from urllib.request import ProxyHandler, build_opener
from xml.etree import ElementTree as ET

import pytest

from asyncref.backends import s3 as backend
from asyncref.engine.scan import Target, scan
from asyncref.manifest import Manifest
from benchmarks.store.bucket import NAME
from benchmarks.store.layouts import LAYOUTS, key_chunks
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec

ROWS: Final = 20_000
PAGE_ROWS: Final = 100
SPREAD: Final = 3
"""Requests in flight that a listing of 200 pages has to come to, whatever its keys."""
_NAMESPACE: Final = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million keys scaled down: as many pages as 200,000 keys have, and the engine knows it."""
    monkeypatch.setattr(backend, "TRAITS", replace(backend.TRAITS, page_rows=PAGE_ROWS))


async def scanned(store: StoreProcess) -> Manifest:
    options = {"endpoint_url": store.endpoint, "key": "k", "secret": "s", "region": "us-east-1"}
    return await scan([Target(uri=store.uri)], storage_options=options)


def check_cost(store: StoreProcess, kind: str) -> None:
    """Few requests, and spread over connections: of 200 pages a bit more than one in ten in vain, of 1,000 less (`benchmarks layouts`)."""
    counts = store.counts()
    assert counts["requests"][kind] <= 1.12 * store.rows[kind] / PAGE_ROWS + 5
    assert counts["most_in_flight"] >= SPREAD


def texts(row: ET.Element, *names: str) -> list[str]:
    return [unquote_plus(row.findtext(f"{_NAMESPACE}{name}", "")) for name in names]


def latest_versions(store: StoreProcess) -> Iterator[tuple[str, str]]:
    """Every key and its version: page after page by the server's own markers, read by a general XML parser."""
    opener = build_opener(ProxyHandler({}))
    markers: dict[str, str] = {}
    while True:
        asked = urlencode({"versions": "", "encoding-type": "url", "prefix": "data/", "max-keys": "1000", **markers})
        with opener.open(f"{store.endpoint}/{NAME}?{asked}") as answer:
            page = ET.fromstring(answer.read())
        for row in page.iter(f"{_NAMESPACE}Version"):
            key, version, latest = texts(row, "Key", "VersionId", "IsLatest")
            if latest == "true":
                yield key, version
        truncated, key, version = texts(page, "IsTruncated", "NextKeyMarker", "NextVersionIdMarker")
        if truncated == "false":
            return
        markers = {"key-marker": key, "version-id-marker": version}


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_key_of_a_layout_is_listed_once(layout: str) -> None:
    spec = Spec(layout=layout, keys=ROWS, versioned=False, kinds=("list",))
    with running(spec, latency_ms=20) as store:
        manifest = await scanned(store)
        check_cost(store, "list")
    truth = [key.decode() for chunk in key_chunks(layout, ROWS, spec.seed) for key in chunk.to_pylist()]
    assert [f"data/{entry.path}" for entry in manifest] == truth


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_every_key_of_a_layout_is_listed_once_with_its_latest_version(layout: str) -> None:
    spec = Spec(
        layout=layout, keys=ROWS // 2, versions=2, delete_share=0.1, deep_versions=40 * PAGE_ROWS, kinds=("versions",)
    )
    with running(
        spec, latency_ms=20, inclusive=LAYOUTS.index(layout) % 2
    ) as store:  # as Ceph's markers, every other time
        manifest = await scanned(store)
        check_cost(store, "versions")
        store.set(latency_ms=0)
        truth = list(latest_versions(store))
    assert len(truth) < spec.keys
    assert [(f"data/{entry.path}", entry.pin.version) for entry in manifest] == truth


@pytest.mark.parametrize("inclusive", [0, 1])
async def test_the_older_versions_of_a_key_are_passed_over_where_the_server_can(inclusive: int) -> None:
    spec = Spec(layout="deep", keys=500, versions=1, deep_versions=60 * PAGE_ROWS, kinds=("list", "versions"))
    with running(spec, inclusive=inclusive) as store:
        manifest = await scanned(store)
        requests = store.counts()["requests"]["versions"]
        truth = list(latest_versions(store))
    assert [(f"data/{entry.path}", entry.pin.version) for entry in manifest] == truth
    assert requests >= 60 if inclusive else requests <= 15  # Ceph begins the key again: its markers are followed then
