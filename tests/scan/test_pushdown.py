"""Filters pushed down into the listing: nothing that they take is missed, what they cannot take is not listed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends import s3 as backend
from asyncref.engine.flow import Meter
from asyncref.engine.scan import Target, scan
from asyncref.engine.scan.pushdown import MOST, Plan, plan
from asyncref.errors import NothingFoundError
from asyncref.globs import Filter, to_regex
from asyncref.manifest import Manifest
from asyncref.model import KeyRange, Limits
from asyncref.testing import MemoryStore, mounted
from tests.servers import S3Server

QUICK = Limits(backoff_s=0.0, concurrency=8)
NAMES = st.text("ab-.0 \U0001f300\U0010ffff", min_size=1, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.one_of(NAMES, st.sampled_from(["*", "**", "?", "a*", "*b", "[ab]", "a?", "**b", ""]))
GLOBS = st.lists(PARTS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.tuples(st.lists(GLOBS, max_size=3), st.lists(GLOBS, max_size=3))


def _takes(wanted: Filter, path: str) -> bool:
    taken = not wanted.include or any(re.search(to_regex(glob), path) for glob in wanted.include)
    return taken and not any(re.search(to_regex(glob), path) for glob in wanted.exclude)


@given(FILTERS, st.lists(PATHS, min_size=1, max_size=30), st.sampled_from(["", "p/", "\U0010ffff/"]))
@settings(max_examples=100, deadline=None)
def test_every_path_that_a_filter_takes_lies_in_one_piece(
    globs: tuple[list[str], list[str]], paths: list[str], prefix: str
) -> None:
    wanted = Filter.of(*globs)
    found = plan(wanted, prefix)
    for before, after in pairwise(found.pieces):
        assert before.keys.last is not None
        assert after.keys.after is not None
        assert before.keys.last <= after.keys.after
    for path in paths:
        holders = [piece for piece in found.pieces if prefix + path in piece.keys]
        assert len(holders) <= 1
        if _takes(wanted, path):
            assert holders
            assert (prefix + path).startswith(holders[0].prefix)
            assert found.piece_of(prefix + path) in (holders[0], found.piece_of(holders[0].keys.after))
            folders = [prefix + path[: at + 1] for at, character in enumerate(path) if character == "/"]
            assert all(found.reaches(folder) for folder in folders)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(PATHS, min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_nothing_of_an_excluded_subtree_is_listed(names: list[str], paths: list[str]) -> None:
    found = plan(Filter.of(None, [f"{name}/**" for name in names]), "p/")
    for path in paths:
        head, slash, rest = path.partition("/")
        if slash and head in names and not rest.startswith("\U0010ffff"):
            assert not any(f"p/{path}" in piece.keys for piece in found.pieces)
            assert not found.reaches(f"p/{head}/")


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(PATHS, min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_nothing_but_included_subtrees_is_asked_for(names: list[str], paths: list[str]) -> None:
    found = plan(Filter.of([f"{name}/*.jpg" for name in names]), "p/")
    for path in paths:
        if path.partition("/")[0] not in names:
            asked = [piece for piece in found.pieces if f"p/{path}" in piece.keys and path.startswith(piece.prefix[2:])]
            assert not asked or all(piece.prefix == "p/" for piece in asked)  # neighbours joined into one piece


@pytest.mark.parametrize(
    ("include", "exclude", "pieces"),
    [
        (["train/**"], [], ["train/"]),
        (["a/b/*.jpg", "a/b/c/?"], [], ["a/b/"]),
        (["train/**", "val/x.jpg"], [], ["train/", "val/x.jpg"]),
        (["*.jpg"], [], [""]),
        (["train/**", "*.jpg"], [], [""]),
        ([], ["raw/**"], ["", ""]),
        ([], ["*.tmp", "**"], [""]),
        (["train/**"], ["train/raw/**", "other/**"], ["train/", "train/"]),
        (["train/**"], ["train/**"], []),
        (["/train/**"], [], ["train/"]),
        ([f"d/{number}.jpg" for number in range(MOST + 1)], [], ["d/"]),
    ],
)
def test_what_a_filter_restricts_is_what_its_literal_heads_say(
    include: list[str], exclude: list[str], pieces: list[str]
) -> None:
    assert [piece.prefix for piece in plan(Filter.of(include, exclude), "").pieces] == pieces


def test_ranges_left_to_list_are_cut_to_the_pieces() -> None:
    found = plan(Filter.of(None, ["m/**"]), "")
    assert found.within([KeyRange("b", "c"), KeyRange("d", "m/x"), KeyRange("m/y", "z")]) == [
        KeyRange("b", "c"),
        KeyRange("d", "m/"),
        KeyRange("m/\U0010ffff", "z"),
    ]
    assert Plan.whole("p").within([KeyRange("a", None)]) == [KeyRange("a", None)]


@pytest.fixture(params=[False, True], ids=["objects", "versions"])
def store(request: pytest.FixtureRequest) -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10, versioned=request.param)
    for folder in ("raw", "test", "train", "train-old", "val"):
        for number in range(300):
            store.seed(f"p/{folder}/{number:03d}.jpg", b"x")
    with mounted(store):
        yield store


async def scanned(wanted: Filter, uri: str = "memory://b/p/", **options: object) -> Manifest:
    return await scan([Target(uri=uri)], filter=wanted, limits=QUICK, **options)  # type: ignore[arg-type]


# Full pages of 10 rows, and besides what a split listing may ask in vain (`KeySpace`): 1, and a quarter of the pages from the
# 20th to the 80th; 3 more, since ends not yet reached count as half full, and several may be emptier. `train/1*` cuts nothing off: `*` stops at `/`, so `train/1/x` is meant to be listed.
@pytest.mark.parametrize(
    ("wanted", "rows", "most", "probes"),
    [
        (Filter.of("train/**"), 300, 30 + 3 + 3, 0),
        (Filter.of(["train/1*", "val/2*.jpg", "test/007.jpg"]), 201, 21 + 1, 0),
        (Filter.of(None, ["raw/**", "train-old/**"]), 900, 90 + 19 + 3, 2),
        (Filter.of("t*/**", "train-old/**"), 600, 60 + 12 + 3, 1),
        (Filter.of("train/**", "train/1*"), 200, 30 + 3 + 3, 0),
    ],
)
async def test_only_what_a_filter_may_take_is_listed(
    store: MemoryStore, wanted: Filter, rows: int, most: int, probes: int
) -> None:
    manifest = await scanned(wanted)
    assert len(manifest) == rows
    # Where no range below sees the start of a piece, the other kind of listing is asked for its first key.
    assert store.requests["list"] <= most + (probes if store.versioned else 0)
    assert any("was listed" in note for note in manifest.record.notes)


async def test_a_source_that_fits_a_page_is_listed_in_one_request_whatever_the_filter(store: MemoryStore) -> None:
    store.page_rows = 2000
    manifest = await scanned(Filter.of(None, ["raw/**", "val/**"]))
    assert (len(manifest), store.requests["list"]) == (900, 1)
    assert manifest.record.skipped == {"filtered": 600}
    assert manifest.record.notes == ()


async def test_a_filter_that_takes_nothing_gives_an_empty_manifest_and_an_empty_source_an_error(
    store: MemoryStore,
) -> None:
    assert len(await scanned(Filter.of("nothing/**"))) == 0
    assert len(await scanned(Filter.of("train/**", "train/**"))) == 0
    with pytest.raises(NothingFoundError):
        await scanned(Filter.of("train/**"), uri="memory://b/q/")
    assert store.requests["list"] <= 5  # one a scan that its filter leaves nothing of, and whether the source is empty


async def test_a_resumed_scan_lists_only_the_pieces_that_are_left(store: MemoryStore, tmp_path: Path) -> None:
    wanted = Filter.of(["train/**", "raw/**"], ["raw/1*"])
    calm = await scanned(wanted)
    store.requests.clear()
    with pytest.raises(Exception, match="Stop"):
        await scan(
            [Target(uri="memory://b/p/")], filter=wanted, limits=QUICK, resume=tmp_path, progress=_stop_after(store, 30)
        )
    store.requests.clear()
    resumed = await scanned(wanted, resume=tmp_path)
    assert resumed.digest == calm.digest
    assert resumed.record.resumes == 1
    # Of 60 pages 30 had been asked for; what was under way then comes again. Of versions, each range that is left proves its start.
    assert store.requests["list"] <= 40 + (8 if store.versioned else 0)


def _stop_after(store: MemoryStore, requests: int) -> object:
    real = store.next_fault

    def next_fault(kind: str) -> object:
        if store.requests["list"] >= requests:
            store.next_fault = real
            raise RuntimeError("Stop")
        return real(kind)

    def hook(_: Meter) -> None:
        store.next_fault = next_fault

    return hook


async def test_excluded_files_are_not_read(tmp_path: Path) -> None:
    for folder in ("keep/deep", "raw/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text("x")
    meters: list[Meter] = []
    found = await scanned(Filter.of(None, "raw/**"), uri=f"{tmp_path.as_uri()}/", progress=meters.append)
    assert [entry.path for entry in found] == ["keep/deep/a.txt"]
    assert meters[0].requests["stat"] == 1
    found = await scanned(Filter.of("raw/*/*.txt"), uri=tmp_path.as_uri())
    assert [entry.path for entry in found] == ["raw/deep/a.txt"]


async def test_real_servers_list_pieces_whole(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = s3.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    names = [f"{folder}/{name}" for folder in ("a", "b", "b!", "bé", "c") for name in ("1 2", "\U0001f300")]
    for name in names:
        client.put_object(Bucket=bucket, Key=f"p/{name}", Body=b"x")
    monkeypatch.setattr(backend, "TRAITS", replace(backend.TRAITS, page_rows=3))
    for wanted in (Filter.of("b/**"), Filter.of(None, "b/**"), Filter.of(["a/*", "bé/**"], "a/1*")):
        found = await scan([Target(uri=f"s3://{bucket}/p/")], filter=wanted, storage_options=s3.storage_options)
        assert [entry.path for entry in found] == sorted(name for name in names if _takes(wanted, name))
