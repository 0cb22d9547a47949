"""Fetch over a store in memory: bytes exact, or an error that names the entry; nothing half-written."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from asyncref.engine.fetch import fetch, outlet
from asyncref.engine.fetch import target as target_module
from asyncref.engine.fetch.paths import decode
from asyncref.engine.flow import Meter
from asyncref.engine.scan import Target, scan
from asyncref.errors import (
    AccessDeniedError,
    ChangedError,
    ConnectionFailedError,
    ContainerNotFoundError,
    FetchError,
    NotFoundError,
    OptionError,
    PathConflictError,
    UnsupportedError,
)
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Entry, Limits, Pin
from asyncref.testing import Faults, MemoryStore, mounted
from tests.fetch import listed, noise, pinned, source_of, tree

QUICK = Limits(backoff_s=0.0, concurrency=8)
LARGE = 40 * 2**20 + 7  # three parts
NASTY = [
    "a b",
    "a+b",
    "100%",
    "100%25",
    "a#b",
    "a?b",
    "é",
    "\U0001f600",
    "zero",
    "deep/er/x",
    "mnist2/x",
    "mnist-old/x",
]


def filled(store: MemoryStore, *keys: str, large: bool = False) -> dict[str, bytes]:
    contents = {key: noise(0 if key == "zero" else 50 + 999 * at, key) for at, key in enumerate(keys or NASTY)}
    if large:
        contents["large"] = noise(LARGE)
    for key, data in contents.items():
        store.seed(key, data)
    return contents


@pytest.mark.parametrize("whole", [False, True])
async def test_every_byte_arrives_under_its_own_name(tmp_path: Path, whole: bool) -> None:
    store = MemoryStore()
    contents = filled(store, *NASTY, large=True)
    with mounted(store):
        report = await fetch(pinned(store), tmp_path / "out", whole=whole)
    assert tree(tmp_path) == {f"out/{key}": data for key, data in contents.items()}
    assert report.objects == len(contents)
    assert report.bytes == sum(map(len, contents.values()))
    assert report.root == tmp_path / "out"
    assert store.requests["get"] == len(contents) + 2  # three parts of one, one request each of the others


async def test_the_old_bytes_come_back_after_everything_was_overwritten_or_deleted(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "before/a", "before/b")
    store.enable_versioning()
    contents |= filled(store, "after/a", "after/b", large=True)
    manifest = pinned(store)
    for key in contents:
        store.overwrite(key, b"new" + key.encode())
        if key.endswith("b"):
            store.delete(key)
    with mounted(store):
        await fetch(manifest, tmp_path)
    assert tree(tmp_path) == contents


async def test_an_object_pinned_before_versioning_was_known_is_found_as_null(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "a")
    manifest = pinned(store)  # no version ids: the bucket had none
    store.enable_versioning()
    store.overwrite("a", b"new")
    with mounted(store):
        await fetch(manifest, tmp_path)
    assert tree(tmp_path) == contents


async def test_a_null_version_that_was_replaced_is_found_among_its_keys_versions_by_etag(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "a", "ab")
    store.enable_versioning()
    manifest = pinned(store)
    store.overwrite("a", contents["a"])  # the same bytes, now a version of their own
    store.overwrite("a", b"new")
    store.purge("a", "null")
    with mounted(store):
        await fetch(manifest, tmp_path)
    assert tree(tmp_path) == contents
    assert store.requests["history"] == 1


async def test_overwritten_without_versions_names_each_changed_key_and_keeps_the_rest(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, *NASTY, large=True)
    manifest = pinned(store)
    changed = ["a b", "é", "large"]
    for key in changed:
        store.overwrite(key, noise(len(contents[key]), "other"))
    store.delete("a#b")
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path / "out")
    failures = {failure.path: failure.error for failure in caught.value.failures}
    assert sorted(failures) == sorted([*changed, "a#b"])
    assert isinstance(failures["a#b"], NotFoundError)
    assert all(isinstance(failures[key], ChangedError) for key in changed)
    assert all(failure.ref == f"memory://bucket/{failure.path}" for failure in caught.value.failures)
    assert caught.value.exit_code == 4
    assert "allow_missing_references" in str(caught.value)
    assert tree(tmp_path / "out") == {key: data for key, data in contents.items() if key not in failures}


async def test_a_failed_whole_fetch_shows_no_folder_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True)
    contents = filled(store)
    manifest = pinned(store)
    store.faults = Faults(denied=frozenset({"get_version"}))
    store.overwrite("a b", b"new")
    with mounted(store), pytest.raises(FetchError):
        await fetch(manifest, tmp_path / "out", whole=True)
    assert not (tmp_path / "out").exists()
    store.faults = Faults()
    store.requests.clear()
    with mounted(store):
        report = await fetch(manifest, tmp_path / "out", whole=True)
    assert (report.objects, report.skipped) == (1, len(contents) - 1)
    assert store.requests["get"] == 1
    assert tree(tmp_path) == {f"out/{key}": data for key, data in contents.items()}


async def test_what_was_begun_for_another_manifest_is_not_mixed_in(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "old", "gone")
    manifest = pinned(store)
    store.delete("gone")
    with mounted(store), pytest.raises(FetchError):
        await fetch(manifest, tmp_path / "out", whole=True)
    store.delete("old")
    contents = filled(store, "new")
    with mounted(store):
        await fetch(pinned(store), tmp_path / "out", whole=True)
    assert tree(tmp_path / "out") == contents


async def test_a_folder_called_incomplete_that_is_the_users_own_is_left_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "a")
    (tmp_path / "out.incomplete").mkdir()
    (tmp_path / "out.incomplete" / "mine").write_text("mine")
    with mounted(store), pytest.raises(FetchError, match="not made by a fetch"):
        await fetch(pinned(store), tmp_path / "out", whole=True)
    assert tree(tmp_path) == {"out.incomplete/mine": b"mine"}


async def test_missing_entries_are_left_out_by_name_when_that_is_allowed(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store)
    manifest = pinned(store)
    store.delete("a b")
    store.overwrite("é", b"new")
    with mounted(store):
        report = await fetch(manifest, tmp_path / "out", allow_missing=True, whole=True)
    assert report.missing == ("a b", "é")
    assert tree(tmp_path / "out") == {key: data for key, data in contents.items() if key not in report.missing}


async def test_what_is_denied_is_not_called_missing(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True)
    filled(store, "a")
    manifest = pinned(store)
    store.overwrite("a", b"new")
    store.faults = Faults(denied=frozenset({"get_version"}))
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path, allow_missing=True)
    (failure,) = caught.value.failures
    assert isinstance(failure.error, AccessDeniedError)
    assert "s3:GetObjectVersion" in str(failure.error)


async def test_a_denied_versioned_read_falls_back_to_the_current_object(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True)
    contents = filled(store)
    store.faults = Faults(denied=frozenset({"get_version"}))
    with mounted(store):
        await fetch(pinned(store), tmp_path)
    assert tree(tmp_path) == contents


@pytest.mark.parametrize("faults", [Faults(ignore_if_match=True), Faults(ignore_if_match=True, ignore_range=True)])
async def test_a_server_that_ignores_conditions_gives_no_wrong_byte(tmp_path: Path, faults: Faults) -> None:
    store = MemoryStore(faults=faults)
    contents = filled(store, "a", "b", large=True)
    manifest = pinned(store)
    store.overwrite("a", noise(len(contents["a"]), "same length, other bytes"))
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path)
    assert [failure.path for failure in caught.value.failures] == ["a"]
    assert tree(tmp_path) == {"b": contents["b"], "large": contents["large"]}


async def test_a_server_that_gives_any_version_gives_no_wrong_byte(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True, faults=Faults(ignore_version=True, ignore_if_match=True))
    filled(store, "a")
    manifest = pinned(store)
    store.overwrite("a", b"new")
    with mounted(store), pytest.raises(FetchError):
        await fetch(manifest, tmp_path)
    assert tree(tmp_path) == {}


async def test_a_server_that_ignores_ranges_costs_one_more_request_and_no_byte_is_wrong(tmp_path: Path) -> None:
    store = MemoryStore(faults=Faults(ignore_range=True, script={("get", 1): "truncate"}))
    contents = filled(store, "a", large=True)
    with mounted(store):
        await fetch(pinned(store), tmp_path, limits=QUICK)
    assert tree(tmp_path) == contents


async def test_weak_etags_are_compared_and_never_sent(tmp_path: Path) -> None:
    store = MemoryStore(weak_etags=True)
    contents = filled(store, "a", "b")
    manifest = pinned(store)
    store.overwrite("b", b"new")
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path)
    assert [failure.path for failure in caught.value.failures] == ["b"]
    assert tree(tmp_path) == {"a": contents["a"]}


@pytest.mark.parametrize("seed", range(5))
async def test_a_faulty_network_costs_retries_and_no_byte(tmp_path: Path, seed: int) -> None:
    store = MemoryStore(faults=Faults(seed=seed, throttle=0.1, reset=0.1, error=0.1, truncate=0.2))
    contents = filled(store, *NASTY, *(f"many/{number}" for number in range(60)), large=True)
    with mounted(store):
        report = await fetch(pinned(store), tmp_path, limits=replace(QUICK, attempts=30))
    assert tree(tmp_path) == contents
    assert report.retries > 0


async def test_a_broken_body_resumes_at_the_last_good_byte(tmp_path: Path) -> None:
    store = MemoryStore(faults=Faults(script={("get", 1): "truncate"}))
    contents = {"a": noise(2**20)}
    store.seed("a", contents["a"])
    with mounted(store):
        report = await fetch(pinned(store), tmp_path, limits=QUICK)
    assert tree(tmp_path) == contents
    assert report.bytes == 2**20  # not a byte twice


async def test_nothing_is_asked_for_when_all_is_there(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, *NASTY, large=True)
    with mounted(store):
        await fetch(pinned(store), tmp_path)
        store.requests.clear()
        report = await fetch(pinned(store), tmp_path)
    assert (report.objects, report.skipped, dict(store.requests)) == (0, len(contents), {})


async def test_a_file_of_the_users_own_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "a", "b", "c")
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "b").write_bytes(noise(len(contents["b"]), "mine, of the same size"))
    mine = tree(tmp_path)
    with mounted(store), pytest.raises(FetchError, match="overwrite=True") as caught:
        await fetch(pinned(store), tmp_path)
    assert [failure.path for failure in caught.value.failures] == ["a", "b"]
    assert tree(tmp_path) == mine | {"c": contents["c"]}
    with mounted(store):
        await fetch(pinned(store), tmp_path, overwrite=True)
    assert tree(tmp_path) == contents


async def test_where_no_checksum_tells_the_bytes_themselves_are_compared(tmp_path: Path) -> None:
    store = MemoryStore()
    for key in ("same", "other"):
        store.seed(key, noise(500), etag='"not-an-md5-7"')
    (tmp_path / "same").write_bytes(noise(500))
    (tmp_path / "other").write_bytes(noise(500, "mine"))
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(pinned(store), tmp_path)
    assert [failure.path for failure in caught.value.failures] == ["other"]
    assert tree(tmp_path) == {"same": noise(500), "other": noise(500, "mine")}


async def test_an_etag_that_is_no_md5_is_told_from_damage(tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("kms", noise(500), etag='"' + "0" * 32 + '"')
    with mounted(store):
        report = await fetch(pinned(store), tmp_path)
    assert tree(tmp_path) == {"kms": noise(500)}
    assert report.unchecked == 1
    assert "not the MD5" in report.notes[0]


async def test_other_bytes_than_a_stated_md5_are_a_change(tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("a", noise(500))
    pin = Pin(size=500, checksum="md5:" + "0" * 32)
    manifest = Manifest.from_entries([Entry("a", "memory://bucket/a", "x", pin)], sources=[source_of(store)])
    with mounted(store), pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path)
    assert isinstance(caught.value.failures[0].error, ChangedError)
    assert tree(tmp_path) == {}


async def test_older_pins_of_the_same_content_are_tried_after_the_newest(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True)
    contents = filled(store, "a", large=True)
    older = pinned(store)
    for key, data in contents.items():
        store.overwrite(key, data)
    newest = pinned(store)
    for key in contents:
        store.purge(key, newest[key].pin.version or "")
        store.overwrite(key, b"something else")
    with mounted(store):
        await fetch(newest, tmp_path, older=[older])
    assert tree(tmp_path) == contents


async def test_names_that_cannot_be_files_are_refused_together_before_anything_is_written(tmp_path: Path) -> None:
    store = MemoryStore()
    bad = ["../out", "/abs", "a//b", "dir/", "file", "x/../y", "n\0l"]
    filled(store, "ok", "file/x", *bad)
    with mounted(store), pytest.raises(PathConflictError) as caught:
        await fetch(pinned(store), tmp_path / "out")
    assert sorted({failure.path for failure in caught.value.failures}) == sorted(bad)
    assert all(failure.ref for failure in caught.value.failures)
    assert caught.value.exit_code == 1
    assert listed(tmp_path) == []
    assert dict(store.requests) == {}


async def test_the_escape_writes_every_key_inside_the_target_and_can_be_read_back(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "ok", "file/x", "../out", "/abs", "a//b", "dir/", "file", "x/../y", "n\0l", "l" * 600)
    with mounted(store):
        await fetch(pinned(store), tmp_path / "out", escape=True)
    assert {name.split("/")[0] for name in listed(tmp_path)} == {"out"}
    assert {decode(name): data for name, data in tree(tmp_path / "out").items()} == contents


async def test_links_in_the_target_that_lead_out_of_it_are_not_followed(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "deep/down/a", "in/a")
    root, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (root / "real").mkdir(parents=True)
    (root / "deep").symlink_to(outside)
    (root / "in").symlink_to(root / "real")
    with mounted(store), pytest.raises(PathConflictError, match="leads out") as caught:
        await fetch(pinned(store), root)
    assert [failure.path for failure in caught.value.failures] == ["deep/down/a"]
    assert list(outside.iterdir()) == []


async def test_a_link_where_a_file_should_go_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "a")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    root = tmp_path / "out"
    root.mkdir()
    (root / "a").symlink_to(victim)
    with mounted(store), pytest.raises(FetchError):
        await fetch(pinned(store), root)
    with mounted(store):
        await fetch(pinned(store), root, overwrite=True)
    assert victim.read_text() == "mine"
    assert not (root / "a").is_symlink()
    assert tree(root) == contents


@pytest.mark.parametrize("make", ["folder for file", "file for folder", "file for target"])
async def test_a_folder_where_a_file_should_go_and_the_reverse_are_named_before_anything_is_written(
    tmp_path: Path, make: str
) -> None:
    store = MemoryStore()
    filled(store, "a", "d/b")
    root = tmp_path / "out"
    if make == "file for target":
        root.write_text("mine")
    elif make == "folder for file":
        (root / "a").mkdir(parents=True)
    else:
        root.mkdir()
        (root / "d").write_text("mine")
    before = listed(tmp_path)
    with mounted(store), pytest.raises(PathConflictError):
        await fetch(pinned(store), root)
    assert listed(tmp_path) == before


async def test_a_filter_and_a_prefix_choose_and_keep_whole_paths(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, "a/1.jpg", "a/2.png", "a/b/3.jpg", "c/4.jpg")
    with mounted(store):
        await fetch(pinned(store), tmp_path, path_prefix="a/", filter=Filter.of("*.jpg", "3*"))
    assert tree(tmp_path) == {"a/1.jpg": contents["a/1.jpg"]}


async def test_a_full_disk_is_one_error_and_leaves_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    filled(store, *NASTY, large=True)
    real = os.pwrite
    calls = 0

    def full(fd: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data, offset)

    monkeypatch.setattr(outlet, "IS_BUILT", False)  # whose calls of the system cannot be exchanged
    monkeypatch.setattr(target_module.os, "pwrite", full)
    with mounted(store), pytest.raises(FetchError, match="no space left") as caught:
        await fetch(pinned(store), tmp_path / "out", limits=QUICK)
    assert caught.value.failures == ()
    assert not [name for name in tree(tmp_path) if ".asyncref-" in name]


async def test_a_second_fetch_of_the_same_file_at_the_same_time_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "a")
    target = target_module.Target(tmp_path)
    held = target.open("a", 0)
    try:
        with mounted(store), pytest.raises(FetchError, match="another fetch"):
            await fetch(pinned(store), tmp_path)
    finally:
        held.discard()


async def test_two_processes_do_not_build_the_same_folder(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "a")
    folder = tmp_path / "out.incomplete"
    folder.mkdir()
    with (folder / ".asyncref-building").open("w") as marker, mounted(store):
        fcntl.flock(marker, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match="another fetch"):
            await fetch(pinned(store), tmp_path / "out", whole=True)


async def test_a_missing_bucket_and_a_dead_endpoint_end_the_fetch_as_themselves(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, *(str(number) for number in range(100)))
    manifest = pinned(store)
    store.exists = False
    with mounted(store), pytest.raises(ContainerNotFoundError):
        await fetch(manifest, tmp_path, allow_missing=True, limits=QUICK)
    store.exists, store.faults = True, Faults(reset=1.0)
    store.requests.clear()
    with mounted(store), pytest.raises(ConnectionFailedError):
        await fetch(manifest, tmp_path, limits=replace(QUICK, attempts=2))
    assert store.requests["get"] < 2 * 3 * 8  # it gave up long before the hundredth entry
    assert tree(tmp_path) == {}


async def test_an_unknown_option_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "a")
    with mounted(store), pytest.raises(OptionError):
        await fetch(pinned(store), tmp_path / "out", storage_options={"nonsense": 1})
    assert listed(tmp_path) == []


@pytest.mark.parametrize("ref", ["folder", "folder/", ""])
async def test_an_entry_without_any_pin_is_fetched_and_a_prefix_is_said_to_be_none(tmp_path: Path, ref: str) -> None:
    store = MemoryStore()
    contents = filled(store, "a")
    source = replace(source_of(store), checksum=False)
    entries = [Entry(path, f"memory://bucket/{key}", "digest", Pin()) for path, key in (("a", "a"), ("folder", ref))]
    with mounted(store):
        report = await fetch(Manifest.from_entries(entries[:1], sources=[source]), tmp_path)
        assert (report.unpinned, tree(tmp_path)) == (1, contents)
        with pytest.raises(FetchError) as caught:
            await fetch(Manifest.from_entries(entries[1:], sources=[source]), tmp_path)
    assert isinstance(caught.value.failures[0].error, UnsupportedError)
    assert "checksum=False" in str(caught.value)


async def test_a_cancelled_fetch_leaves_whole_files_only(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store, *NASTY, large=True)
    store.latency_s = 0.01
    with mounted(store), anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(fetch, pinned(store), tmp_path)
            while not store.requests["get"]:  # noqa: ASYNC110  the store counts, it signals nothing
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
    assert tree(tmp_path) != contents
    assert tree(tmp_path).items() <= contents.items()


async def test_files_come_back_and_a_file_that_changed_is_named(tmp_path: Path) -> None:
    tree_root = tmp_path / "source"
    (tree_root / "d").mkdir(parents=True)
    for name in ("kept", "d/changed", "gone"):
        (tree_root / name).write_bytes(noise(1000, name))
    manifest = await scan([Target(uri=f"file://{tree_root}/")])
    (tree_root / "d" / "changed").write_bytes(noise(1000, "of the same size"))
    (tree_root / "gone").unlink()
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path / "out")
    errors = {failure.path: type(failure.error) for failure in caught.value.failures}
    assert errors == {"d/changed": ChangedError, "gone": NotFoundError}
    assert tree(tmp_path / "out") == {"kept": noise(1000, "kept")}


async def test_file_modes_follow_the_umask(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "d/a", large=True)
    before = os.umask(0o027)
    try:
        with mounted(store):
            await fetch(pinned(store), tmp_path / "out", whole=True, fsync="each")
    finally:
        os.umask(before)
    assert (tmp_path / "out" / "d" / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out" / "large").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out" / "d").stat().st_mode & 0o777 == 0o750


async def test_progress_is_told_once_and_adds_up(tmp_path: Path) -> None:
    store = MemoryStore()
    contents = filled(store)
    meters: list[Meter] = []
    with mounted(store):
        await fetch(pinned(store), tmp_path, progress=meters.append)
    (meter,) = meters
    assert (meter.objects, meter.objects_total) == (len(contents), len(contents))
    assert meter.bytes == meter.bytes_total == sum(map(len, contents.values()))


async def test_an_empty_manifest_makes_an_empty_folder(tmp_path: Path) -> None:
    store = MemoryStore()
    with mounted(store):
        report = await fetch(pinned(store), tmp_path / "out", whole=True)
    assert (report.objects, tree(tmp_path)) == (0, {})
    assert (tmp_path / "out").is_dir()


async def test_the_report_is_json_with_a_schema(tmp_path: Path) -> None:
    store = MemoryStore()
    filled(store, "a")
    with mounted(store):
        report = (await fetch(pinned(store), tmp_path)).to_json()
    assert (report["schema"], report["objects"], report["failed"]) == ("asyncref.fetch/1", 1, 0)


async def test_what_was_checked_once_is_not_read_again_unless_it_changed_or_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    contents = filled(store, *"abcd", large=True)
    manifest = pinned(store)
    read: list[str] = []
    match = target_module.Target.match

    def noted(target: target_module.Target, local: str, pin: Pin) -> object:
        read.append(local)
        return match(target, local, pin)

    monkeypatch.setattr(target_module.Target, "match", noted)
    with mounted(store):
        await fetch(manifest, tmp_path)
        store.requests.clear()
        report = await fetch(manifest, tmp_path)
        assert (report.objects, report.skipped, read) == (0, len(contents), [])
        (tmp_path / "b").write_bytes(contents["b"])  # the same bytes at another time
        report = await fetch(manifest, tmp_path)
        assert (report.skipped, read) == (len(contents), ["b"])
        report = await fetch(manifest, tmp_path)
        assert (report.skipped, read) == (len(contents), ["b"])
        await fetch(manifest, tmp_path, checksum="always")
        assert sorted(read) == sorted([*contents, "b"])
        assert not store.requests["get"]
        (tmp_path / "c").write_bytes(b"x" * len(contents["c"]))
        await fetch(manifest, tmp_path, overwrite=True)
    assert store.requests["get"] == 1
    assert tree(tmp_path) == contents


async def test_another_version_in_the_same_folder_reads_only_what_changed(tmp_path: Path) -> None:
    store = MemoryStore(versioned=True)
    contents = filled(store, *"abcd")
    old = pinned(store)
    store.overwrite("b", b"new")
    new = pinned(store)
    with mounted(store):
        await fetch(old, tmp_path)
        store.requests.clear()
        report = await fetch(new, tmp_path, overwrite=True)
    assert (report.objects, report.skipped, store.requests["get"]) == (1, 3, 1)
    assert tree(tmp_path) == contents | {"b": b"new"}


async def test_a_record_that_cannot_be_kept_or_is_damaged_costs_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    contents = filled(store, *"abcd")
    manifest = pinned(store)
    (tmp_path / "file").write_bytes(b"")
    with mounted(store):
        monkeypatch.setenv("ASYNCREF_CACHE", str(tmp_path / "file"))
        await fetch(manifest, tmp_path / "out")
        monkeypatch.setenv("ASYNCREF_CACHE", str(tmp_path / "cache"))
        await fetch(manifest, tmp_path / "out")
        (record,) = (tmp_path / "cache" / "seen").iterdir()
        for damage in (b"", record.read_bytes()[:-7], b"x" * 500, record.read_bytes()[:40] + b"\xff" * 120):
            record.write_bytes(damage)
            report = await fetch(manifest, tmp_path / "out")
            assert report.skipped == len(contents)
    assert tree(tmp_path / "out") == contents
    assert store.requests["get"] == len(contents)
