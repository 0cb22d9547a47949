"""A storage of folders without ranges: every key comes once, small folders are not worth a request, large ones are."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.engine.scan.folders import WORTH, FolderTree, worth_splitting
from asyncref.engine.scan.pins import page_of_pins
from asyncref.errors import ContainerNotFoundError, NotFoundError, UnsupportedError
from asyncref.model import Cursor, ListRequest, Page, Pin

NAMES = st.text("ab/", min_size=1, max_size=6)


@dataclass
class Container:
    """Keys that are listed by prefix, delimiter and a marker which means something to itself only."""

    keys: list[str]
    versions_of_folders: bool = True
    asked: list[ListRequest] = field(default_factory=list)
    asked_stats: list[str] = field(default_factory=list)
    given: list[dict] = field(default_factory=list)

    async def ask(self, request: ListRequest) -> Page:
        if request.folders and request.versions and not self.versions_of_folders:
            raise UnsupportedError("Listing versions and using a delimiter are mutually exclusive")
        self.asked.append(request)
        items: list[str] = []
        for key in self.keys:
            if key.startswith(request.prefix):
                end = key.find("/", len(request.prefix)) if request.folders else -1
                item = key if end < 0 else f"{key[: end + 1]}\0"
                if item not in items:
                    items.append(item)
        start = int(request.cursor.marker) if request.cursor else 0
        shown = items[start : start + request.limit]
        keys = [item for item in shown if not item.endswith("\0")]
        version = "v1" if request.versions else None
        return Page(
            batch=page_of_pins(keys, [Pin(size=1, etag='"e"', version=version) for _ in keys]),
            first=keys[0] if keys else None,
            last=keys[-1] if keys else None,
            cursor=Cursor(str(start + request.limit)) if start + request.limit < len(items) else None,
            folders=tuple(item[:-1] for item in shown if item.endswith("\0")),
            seen=len(keys),
        )

    async def give(self, page: Page) -> None:
        self.given.extend(page.batch.to_pylist())

    async def stat(self, key: str) -> Pin:
        self.asked_stats.append(key)
        if key.endswith("gone"):
            raise NotFoundError("gone")
        return Pin(size=1, etag='"e"', version="v1")

    def tree(self, *, limit: int = 20, versions: bool = True, prefix: str = "") -> FolderTree:
        request = ListRequest(prefix=prefix, limit=limit, versions=versions)
        return FolderTree(self.ask, self.give, self.stat, request, workers=4)

    @property
    def found(self) -> list[str]:
        return sorted(row["key"] for row in self.given)


def in_folders(folders: int, each: int) -> list[str]:
    return sorted(f"data/{folder:04}/{number:04}" for folder in range(folders) for number in range(each))


@settings(deadline=None)
@given(st.sets(NAMES, max_size=60), st.integers(1, 30), st.booleans(), st.booleans())
async def test_every_key_comes_once_whatever_the_slashes(
    keys: set[str], limit: int, versions: bool, together: bool
) -> None:
    container = Container(sorted(keys), versions_of_folders=together)
    await container.tree(limit=limit, versions=versions).run()
    assert container.found == sorted(keys)
    assert all(row["version"] == ("v1" if versions else None) for row in container.given)


@settings(deadline=None)
@given(st.sets(NAMES, max_size=60), st.randoms(use_true_random=False))
async def test_the_server_s_order_does_not_matter(keys: set[str], random) -> None:
    shuffled = sorted(keys)
    random.shuffle(shuffled)
    container = Container(shuffled)
    await container.tree(limit=5).run()
    assert container.found == sorted(keys)


@settings(deadline=None)
@given(st.sets(NAMES, max_size=60), st.sampled_from(["a", "a/", "a//", "b/a"]))
async def test_only_what_starts_with_the_prefix_is_listed(keys: set[str], prefix: str) -> None:
    container = Container(sorted(keys))
    await container.tree(limit=4, prefix=prefix).run()
    assert container.found == sorted(key for key in keys if key.startswith(prefix))


async def test_what_fits_one_page_costs_one_request() -> None:
    container = Container(in_folders(5, 4))
    await container.tree(limit=20).run()
    assert len(container.asked) == 1


async def test_the_first_page_of_whoever_asked_before_is_used() -> None:
    container = Container(in_folders(1, 30))
    request = ListRequest(prefix="data/0000/", limit=20, versions=True)
    tree = FolderTree(container.ask, container.give, container.stat, request, workers=4)
    await tree.run(await container.ask(request))
    assert container.found == in_folders(1, 30)
    assert [asked.cursor for asked in container.asked] == [None, Cursor("20")]


async def test_large_folders_are_listed_side_by_side() -> None:
    container = Container(in_folders(50, 20))
    await container.tree(limit=20).run()
    assert container.found == in_folders(50, 20)
    # The first page, the level with its one folder, that folder's three pages of names, and a page each.
    assert len(container.asked) == 1 + 1 + 3 + 50


async def test_loose_names_and_small_folders_cost_no_more_than_a_serial_listing() -> None:
    loose = [f"data/{number:05}" for number in range(1000)]
    for keys in (loose, [f"data/{number:05}/x" for number in range(1000)]):
        container = Container(keys)
        await container.tree(limit=50, prefix="data/").run()
        assert container.found == keys
        assert len(container.asked) == 20
        assert not any(asked.folders for asked in container.asked)


async def test_a_lone_folder_does_not_throw_its_first_page_away() -> None:
    keys = [f"data/train/{number:04}" for number in range(100)]
    container = Container(keys)
    await container.tree(limit=50).run()
    assert container.found == keys
    # Two levels with nothing beside the folder are looked at; the two pages are those of a serial listing.
    assert [(asked.prefix, asked.folders) for asked in container.asked] == [
        ("", False), ("", True), ("data/", True), ("", False),
    ]  # fmt: skip


async def test_where_folders_come_without_versions_loose_objects_are_asked_for_their_own() -> None:
    keys = sorted([*in_folders(5, 20), "data/loose", "data/gone"])
    container = Container(keys, versions_of_folders=False)
    tree = container.tree(limit=20)
    await tree.run()
    assert container.found == sorted(set(keys) - {"data/gone"})
    assert {row["version"] for row in container.given} == {"v1"}
    assert sorted(container.asked_stats) == ["data/gone", "data/loose"]
    assert tree.vanished == 1


async def test_many_loose_objects_are_not_asked_for_one_by_one() -> None:
    keys = sorted([*(f"a{number:05}" for number in range(3000)), *in_folders(3, 2000)])
    container = Container(keys, versions_of_folders=False)
    await container.tree(limit=5000).run()
    assert container.found == keys
    assert container.asked_stats == []
    assert {row["version"] for row in container.given} == {"v1"}


async def test_a_folder_that_vanishes_meanwhile_is_counted_and_a_container_that_does_is_an_error() -> None:
    container = Container(in_folders(50, 20))
    plain = container.ask

    async def ask(request: ListRequest) -> Page:
        if request.prefix == "data/0007/":
            raise NotFoundError("no such folder")
        return await plain(request)

    container.ask = ask
    tree = container.tree(limit=20)
    await tree.run()
    assert tree.vanished == 1
    assert len(container.found) == 49 * 20

    async def deny(request: ListRequest) -> Page:
        if request.prefix == "data/0007/":
            raise ContainerNotFoundError("no such container")
        return await plain(request)

    container.ask = deny
    try:
        await container.tree(limit=20).run()
    except ContainerNotFoundError:
        return
    raise AssertionError("a vanished container passed for a folder")


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_a_level_is_split_where_folders_hold_a_fair_share_of_a_page(folders: int, each: int) -> None:
    page_rows = 1000
    keys = in_folders(folders, each)[:page_rows]
    seen = len({key.split("/")[1] for key in keys})
    rows = (seen - 1) * each + page_rows
    assert worth_splitting(keys, "data/", page_rows=page_rows) == (rows / seen >= page_rows / WORTH)
