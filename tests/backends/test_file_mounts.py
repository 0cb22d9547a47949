"""Files on mounts: hashes kept of what did not change, mounts that are elsewhere, gone, empty or hanging."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

import asyncref
from asyncref.backends.file import FileBackend
from asyncref.backends.file.clocks import Clocks
from asyncref.backends.file.content import OpenFile
from asyncref.backends.file.folder import Scan
from asyncref.backends.file.ground import Mounts
from asyncref.backends.file.hashes import Hashes, State
from asyncref.backends.file.threads import Threads, _Crew
from asyncref.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    ContainerNotFoundError,
    FetchError,
    OptionError,
    ServerError,
    StorageError,
)
from asyncref.model import Limits, ListRequest, Page
from tests.servers import need, wait_until

NOW_NS = time.time_ns()
QUICK = Limits(attempts=2, backoff_s=0.001)


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once: nobody can set a ctime back, and no test waits three seconds."""
    monkeypatch.setattr("asyncref.backends.file.hashes._SETTLED_NS", -(10**12))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b", "one/c", "one/two/d"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    return tmp_path / "tree"


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Every file whose content was asked for."""
    paths: list[str] = []

    class Watched(OpenFile):
        def __init__(self, path: str, uri: str) -> None:
            paths.append(path)
            super().__init__(path, uri)

    monkeypatch.setattr("asyncref.backends.file.OpenFile", Watched)
    return paths


def options(tmp_path: Path) -> dict[str, str]:
    return {"hash_cache": str(tmp_path / "hashes.db")}


@pytest.mark.usefixtures("settled")
async def test_a_second_scan_reads_no_content(tree, tmp_path, opened):
    first = await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert len(opened) == 4
    opened.clear()
    second = await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert opened == []
    assert (second.digest, second.identity) == (first.digest, first.identity)
    assert "stat" not in second.record.requests or second.record.requests["stat"] == 0


@pytest.mark.usefixtures("settled")
async def test_only_what_changed_is_read_again(tree, tmp_path, opened):
    before = await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    opened.clear()
    stat = (tree / "b").stat()
    (tree / "b").write_bytes(b"B" * 1000)
    os.utime(tree / "b", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as rsync does; the ctime tells nevertheless
    after = await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert opened == [f"{tree}/b"]
    assert [change.path for change in before.diff(after)] == ["b"]


async def test_a_file_that_changed_just_now_is_not_kept(tree, tmp_path, opened):
    for _ in range(2):
        await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert len(opened) == 8


@pytest.mark.parametrize("changed_ns", [NOW_NS - 3_000_000_001, NOW_NS - 2_999_999_999, NOW_NS + 1])
@pytest.mark.parametrize("which", ["mtime_ns", "ctime_ns"])
def test_three_seconds_must_have_passed_since_the_last_change(tmp_path, changed_ns, which):
    state = State(1, 2**64 - 5, 3, 4, 5)._replace(**{which: changed_ns})
    hashes = Hashes(tmp_path / "h.db")
    hashes.keep(state, b"m" * 16, hashed_ns=NOW_NS)
    hashes.close()
    settled = changed_ns <= NOW_NS - 3_000_000_000
    assert Hashes(tmp_path / "h.db").find([state]) == [b"m" * 16 if settled else None]


SECOND_NS = 10**9
SERVER_NS = NOW_NS - 3600 * SECOND_NS  # this machine is an hour ahead


@pytest.mark.parametrize(
    ("newest_ns", "waited_ns", "kept"),
    [
        (SERVER_NS, 0, False),  # changed at the very moment, as the server has it
        (SERVER_NS, 3 * SECOND_NS - 1, False),
        (SERVER_NS, 3 * SECOND_NS, True),  # three seconds after it was seen, three must have passed there
        (SERVER_NS + 3 * SECOND_NS, 0, True),  # the server's clock had come so far: another file shows it
        (NOW_NS + 100 * SECOND_NS, 0, True),
    ],
)
def test_of_a_mount_the_three_seconds_are_by_the_file_server_s_clock(tmp_path, newest_ns, waited_ns, kept):
    state, steady_ns = State(7, 1, 3, SERVER_NS, SERVER_NS), time.monotonic_ns()
    hashes = Hashes(tmp_path / "h.db", Clocks(own=()))
    hashes.keep(state, b"m" * 16, hashed_ns=NOW_NS, steady_ns=steady_ns)
    assert hashes.find([state, state._replace(inode=2, ctime_ns=newest_ns)]) == [None] * 2
    begun_ns = (time.monotonic_ns() if kept else steady_ns) + waited_ns  # seen between the two
    hashes.keep(state, b"m" * 16, hashed_ns=NOW_NS, steady_ns=begun_ns)
    hashes.close()
    assert Hashes(tmp_path / "h.db").find([state]) == [b"m" * 16 if kept else None]


def test_of_a_mount_this_machine_s_clock_has_to_agree(tmp_path):
    state = State(7, 1, 3, NOW_NS, NOW_NS)
    hashes = Hashes(tmp_path / "h.db", Clocks(own=()))
    hashes.find([state, state._replace(ctime_ns=NOW_NS + 3600 * SECOND_NS)])
    hashes.keep(state, b"m" * 16, hashed_ns=NOW_NS, steady_ns=time.monotonic_ns())
    hashes.close()
    assert hashes.find([state]) == [None]


@pytest.mark.usefixtures("settled")
async def test_a_second_scan_of_a_mount_reads_no_content(tree, tmp_path, opened, monkeypatch):
    monkeypatch.setattr("asyncref.backends.file.OWN_CLOCK", frozenset())
    for _ in range(2):
        await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert len(opened) == 4


def test_any_other_state_is_another_content(tmp_path):
    state = State(2**63 + 1, 2**64 - 1, 10, 20, 30)
    hashes = Hashes(tmp_path / "h.db")
    hashes.keep(state, b"m" * 16, hashed_ns=NOW_NS)
    hashes.close()
    others = [state._replace(**{name: getattr(state, name) - 1}) for name in State._fields]
    assert hashes.find([*others, state]) == [None] * 5 + [b"m" * 16]
    assert hashes.find([]) == []


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at" * 50, b""])
async def test_a_damaged_cache_is_not_used_and_breaks_nothing(tree, tmp_path, content, caplog):
    (tmp_path / "hashes.db").write_bytes(content)
    with sqlite3.connect(":memory:"):
        manifest = await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    assert len(manifest) == 4
    assert ("is not used" in caplog.text) == bool(content)


@pytest.mark.usefixtures("settled")
async def test_without_checksums_the_cache_changes_nothing(tree, tmp_path):
    unpinned = await asyncref.scan(f"file://{tree}/", checksum=False, storage_options={"hash_cache": False})
    await asyncref.scan(f"file://{tree}/", storage_options=options(tmp_path))
    again = await asyncref.scan(f"file://{tree}/", checksum=False, storage_options=options(tmp_path))
    assert again.identity == unpinned.identity


# Mounts.


async def test_a_mount_that_lies_elsewhere_here_is_found_by_option(tree, tmp_path):
    mounts = {"/no/such/mount": str(tree)}
    manifest = await asyncref.scan("file:///no/such/mount/", storage_options={"file": {"mounts": mounts}})
    assert [entry.ref for entry in manifest][:2] == ["file:///no/such/mount/a", "file:///no/such/mount/b"]
    await asyncref.fetch(manifest, tmp_path / "copy", storage_options={"file": {"mounts": mounts}})
    assert (tmp_path / "copy/one/two/d").read_bytes() == b"one/two/d" * 1000


async def test_a_mount_that_lies_elsewhere_here_is_found_by_setting(tree, tmp_path, monkeypatch):
    manifest = await asyncref.scan(f"file://{tree}/")
    tree.rename(tmp_path / "moved")
    monkeypatch.setenv("ASYNCREF_MOUNTS", f"/x=/y:{tree}={tmp_path}/moved")
    await asyncref.fetch(manifest, tmp_path / "copy")
    assert (tmp_path / "copy/a").read_bytes() == b"a" * 1000


async def test_a_download_is_told_where_a_mount_lies_here(tree, tmp_path, moto, bucket):
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="o", Body=b"of S3")
    manifest = await asyncref.scan(
        [f"file://{tree}/", f"s3://{bucket}/o"], storage_options={"s3": moto.storage_options}
    )
    tree.rename(tmp_path / "moved")
    mounts = {str(tree): str(tmp_path / "moved")}
    await asyncref.fetch(manifest, tmp_path / "copy", storage_options=moto.storage_options, mounts=mounts)
    assert (tmp_path / "copy/a").read_bytes() == b"a" * 1000
    assert (tmp_path / "copy/o").read_bytes() == b"of S3"


def test_an_artifact_is_downloaded_from_a_mount_that_lies_elsewhere_here(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("ASYNCREF_HOME", str(tmp_path / "home"))
    run = asyncref.init()
    artifact = asyncref.Artifact("tree", "dataset")
    artifact.add_reference(f"file://{tree}/")
    run.log_artifact(artifact)
    tree.rename(tmp_path / "moved")
    artifact.download(tmp_path / "copy", mounts={str(tree): str(tmp_path / "moved")})
    assert (tmp_path / "copy/one/c").read_bytes() == b"one/c" * 1000
    run.finish()


def test_the_longest_mount_that_fits_decides():
    mounts = Mounts.of({"/data": "/mnt/1", "/data/big/": "/mnt/2/", "/": "/root-of-all"})
    wanted = {
        "/data": "/mnt/1",
        "/data/": "/mnt/1/",
        "/data/x": "/mnt/1/x",
        "/data/big/x": "/mnt/2/x",
        "/data/bigger": "/mnt/1/bigger",
        "/database": "/root-of-all/database",
    }
    assert {key: mounts.here(key) for key in wanted} == wanted
    assert Mounts.of("/a=/b:/c=/d").pairs == (("/a", "/b"), ("/c", "/d"))
    assert Mounts.of(None).here("/a") == "/a"


@pytest.mark.parametrize("given", ["/a", "a=/b", {"/a": "b"}, {"rel": "/b"}, [1]])
def test_a_mount_that_is_no_folder_is_refused(given):
    with pytest.raises(OptionError, match="mounts"):
        Mounts.of(given)


@pytest.mark.parametrize("empty", [False, True])
async def test_a_mount_that_is_not_there_is_one_error(tree, tmp_path, empty):
    manifest = await asyncref.scan(f"file://{tree}/")
    tree.rename(tmp_path / "away")
    if empty:
        tree.mkdir()
    with pytest.raises(ContainerNotFoundError, match="empty" if empty else "no such folder") as caught:
        await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)
    assert "mounted" in str(caught.value)
    assert f"file://{tree}/" in str(caught.value)


async def test_of_two_mounts_the_one_that_is_not_there_is_named(tree, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "z").write_bytes(b"z")
    manifest = await asyncref.scan([f"file://{tree}/", f"file://{other}/"])
    (other / "z").unlink()
    other.rmdir()
    with pytest.raises(ContainerNotFoundError, match="other"):
        await asyncref.fetch(manifest, tmp_path / "copy", limits=QUICK)


async def test_a_mount_that_goes_away_in_mid_scan_is_an_error_and_not_an_end(tree, tmp_path):
    backend = FileBackend(threads=2, folder=f"{tree}/")
    await backend.list_page(ListRequest(prefix=f"{tree}/"))
    tree.rename(tmp_path / "away")
    tree.mkdir()
    with pytest.raises(StorageError, match="went away") as caught:
        await backend.list_page(ListRequest(prefix=f"{tree}/one/"))
    assert not isinstance(caught.value, ContainerNotFoundError)
    with pytest.raises(StorageError, match="went away"):
        await backend.stat(f"{tree}/a")
    await backend.aclose()


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A backend that has read the names of eight files in a folder `ground`, and looked at the first two."""
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    folder = tmp_path / "ground"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}").touch()

    async def begin() -> tuple[FileBackend, Page]:
        backend = FileBackend(threads=2, folder=f"{folder}/")
        return backend, await backend.list_page(ListRequest(prefix=f"{folder}/", limit=2))

    return begin


@pytest.mark.parametrize("left", [None, "empty", "one of the names"])
async def test_a_mount_that_goes_away_between_names_and_files_is_an_error_and_no_short_page(named, tmp_path, left):
    backend, page = await named()
    folder = tmp_path / "ground"
    folder.rename(tmp_path / "away")
    if left:
        folder.mkdir()
    if left == "one of the names":
        (folder / "5").touch()
    with pytest.raises(StorageError, match="went away"):
        await backend.list_page(ListRequest(prefix=f"{folder}/", cursor=page.cursor))
    await backend.aclose()


async def test_files_that_vanish_between_names_and_files_are_only_that(named, tmp_path):
    backend, page = await named()
    for name in "345":
        (tmp_path / "ground" / name).unlink()
    page = await backend.list_page(ListRequest(prefix=f"{tmp_path}/ground/", cursor=page.cursor))
    assert (page.batch.num_rows, page.skipped) == (3, {"vanished": 3})
    await backend.aclose()


@pytest.fixture
def mount(tmp_path):
    """A folder `ground/mount` on a file system of its own."""
    need(("mount", "umount"), install="apt-get install mount")
    folder = tmp_path / "ground/mount"
    folder.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", folder], capture_output=True, check=False)


async def test_a_mount_below_the_folder_that_goes_away_is_an_error_too(mount, monkeypatch):
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    for name in "abc":
        (mount / name).touch()
    backend = FileBackend(threads=2, folder=f"{mount.parent}/")
    await backend.list_page(ListRequest(prefix=f"{mount.parent}/"))
    page = await backend.list_page(ListRequest(prefix=f"{mount}/", limit=1))
    await to_thread.run_sync(lambda: subprocess.run(["umount", mount], check=True))
    with pytest.raises(StorageError, match="went away"):
        await backend.list_page(ListRequest(prefix=f"{mount}/", cursor=page.cursor))
    await backend.aclose()


async def test_a_single_folder_that_vanished_in_mid_scan_is_only_that(tree):
    backend = FileBackend(threads=2, folder=f"{tree}/")
    await backend.list_page(ListRequest(prefix=f"{tree}/"))
    with pytest.raises(ContainerNotFoundError):
        await backend.list_page(ListRequest(prefix=f"{tree}/three/"))
    await backend.aclose()


@pytest.fixture
def hanging(monkeypatch):
    """A file system whose folders hang until the test ends."""
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    release = threading.Event()
    scandir = os.scandir

    def hang(path):
        if isinstance(path, bytes) and b"hanging" in path:
            release.wait()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", hang)
    yield
    release.set()


@pytest.mark.usefixtures("hanging")
async def test_a_mount_that_hangs_is_bounded_and_named(tmp_path):
    (tmp_path / "hanging").mkdir()
    limits = Limits(idle_timeout_s=0.2, attempts=2, backoff_s=0.001)
    with pytest.raises(ConnectionFailedError, match=r"hangs: .* within 0.2 s") as caught:
        await asyncref.scan(f"file://{tmp_path}/hanging/", limits=limits)
    assert f"file://{tmp_path}/hanging/" in str(caught.value)


async def test_a_mount_that_answers_late_what_a_reference_means_leaves_the_loop_free(tree, monkeypatch):
    asked, release, lexists = threading.Event(), threading.Event(), os.path.lexists
    found = []

    def late(path):
        asked.set()
        return release.wait() and lexists(path)

    monkeypatch.setattr(os.path, "lexists", late)

    async def scan():
        found.append(await asyncref.scan(f"file://{tree}/", limits=Limits(idle_timeout_s=3, attempts=1)))

    async with anyio.create_task_group() as group:
        group.start_soon(scan)
        await to_thread.run_sync(asked.wait)
        release.set()
    assert len(found[0]) == 4


def test_a_program_ends_although_a_call_hangs(tmp_path):
    (tmp_path / "hanging").mkdir()
    script = f"""
import os, time, asyncref
from asyncref import blocking
from asyncref.backends.file import local
local._LOCAL = frozenset()
scandir = os.scandir
os.scandir = lambda path: time.sleep(600) if isinstance(path, bytes) and b"hanging" in path else scandir(path)
try:
    blocking.scan("file://{tmp_path}/hanging/", limits=asyncref.Limits(idle_timeout_s=0.2, attempts=1))
except asyncref.errors.ConnectionFailedError as error:
    print("named", error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("named")


async def test_threads_work_again_once_what_hung_has_come_back():
    threads, release = Threads(2, patience_s=0.1, uri="file:///x"), threading.Event()
    with pytest.raises(ConnectionFailedError):
        await threads.run(release.wait)
    with pytest.raises(ConnectionFailedError):
        await threads.run(lambda: 1)
    release.set()
    wait_until(lambda: threads._crew.oldest_s() is None, what="the call that hung")
    assert await threads.run(lambda: 1) == 1
    assert threads.run_here(lambda: 2) == 2
    threads.close()


async def test_calls_that_wait_for_others_in_a_slow_queue_do_not_hang():
    threads = Threads(1, patience_s=1.0, uri="file:///x")
    done = []
    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(threads.run, lambda: done.append(time.sleep(0.15)))
    assert len(done) == 12
    threads.close()


async def test_calls_that_wait_behind_one_that_hangs_fail_with_it_and_are_never_made():
    threads, release, made = Threads(1, patience_s=0.2, uri="file:///x"), threading.Event(), []
    failed = []

    async def run(call):
        with pytest.raises(ConnectionFailedError, match="hangs"):
            await threads.run(call)
        failed.append(call)

    async with anyio.create_task_group() as group:
        group.start_soon(run, release.wait)
        for _ in range(3):
            group.start_soon(run, lambda: made.append(1))
    assert len(failed) == 4
    release.set()
    wait_until(lambda: threads._crew.oldest_s() is None, what="the call that hung")
    assert await threads.run(lambda: made) == []
    threads.close()


async def test_a_page_has_no_more_shares_in_the_queue_than_threads_can_take_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    monkeypatch.setattr("asyncref.backends.file.listing._SLOW_STAT_S", 0)
    for number in range(64 * 20):
        (tmp_path / f"{number:05}").touch()
    backend, most = FileBackend(threads=2), []
    put = _Crew.put
    monkeypatch.setattr(_Crew, "put", lambda crew, job: (put(crew, job), most.append(crew._jobs.qsize())))
    page = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=10_000))
    assert page.batch.num_rows == 64 * 20
    assert max(most) <= 4
    await backend.aclose()


async def test_an_error_in_a_thread_is_raised_where_it_is_waited_for():
    threads = Threads(1, patience_s=10, uri="file:///x")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            threads.run_here(lambda: 1 // 0)
    threads.close()
    assert await threads.run(lambda: 5) == 5
    threads.close()


async def test_a_huge_folder_is_scanned_in_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(Scan.__init__, "__defaults__", (7,))
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    for number in range(50):
        (tmp_path / f"{number:02}").touch()
    backend = FileBackend(threads=2)
    page = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=100))
    assert page.batch.num_rows == 50
    await backend.aclose()


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ESTALE, ServerError), (errno.EIO, ServerError), (errno.EACCES, AccessDeniedError)]
)
async def test_a_huge_folder_that_fails_in_mid_scan_is_an_error_by_name(tmp_path, monkeypatch, code, kind):
    monkeypatch.setattr(Scan.__init__, "__defaults__", (7,))
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())
    for number in range(20):
        (tmp_path / f"{number:02}").touch()
    step, steps = Scan.step, []

    def failing(scan):
        steps.append(scan)
        if len(steps) == 2:
            scan._found.close()
            raise OSError(code, os.strerror(code))
        return step(scan)

    monkeypatch.setattr(Scan, "step", failing)
    backend = FileBackend(threads=2)
    with pytest.raises(kind, match=str(tmp_path)):
        await backend.list_page(ListRequest(prefix=f"{tmp_path}/"))
    await backend.aclose()


@pytest.fixture
def sharing(tmp_path):
    """A folder on a file system that can share blocks between files."""
    need(("mkfs.xfs", "mount"), install="apt-get install xfsprogs mount")
    image, folder = tmp_path / "xfs.img", tmp_path / "xfs"
    with image.open("wb") as file:
        file.truncate(400 * 2**20)
    folder.mkdir()
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], capture_output=True, check=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
    if mounted.returncode:  # it takes root and a loop device, which a container may not have
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_fetch_shares_blocks_where_the_file_system_can(sharing):
    data = os.urandom(40 * 2**20 + 7)
    (sharing / "tree").mkdir()
    (sharing / "tree/large").write_bytes(data)
    manifest = await asyncref.scan(f"file://{sharing}/tree/")
    free = os.statvfs(sharing).f_bfree
    await asyncref.fetch(manifest, sharing / "copy")
    assert (sharing / "copy/large").read_bytes() == data
    assert (free - os.statvfs(sharing).f_bfree) * os.statvfs(sharing).f_bsize < 2**20
    (sharing / "tree/large").write_bytes(b"other")
    assert (sharing / "copy/large").read_bytes() == data


async def test_a_file_that_changed_is_never_shared_as_what_it_was(sharing):
    (sharing / "tree").mkdir()
    (sharing / "tree/large").write_bytes(b"a" * 40 * 2**20)
    manifest = await asyncref.scan(f"file://{sharing}/tree/")
    (sharing / "tree/large").write_bytes(b"b" * 40 * 2**20)
    with pytest.raises(FetchError, match="content changed"):
        await asyncref.fetch(manifest, sharing / "copy", limits=QUICK)
    assert not (sharing / "copy/large").exists()


async def test_where_blocks_cannot_be_shared_bytes_are_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"0123456789" * 1000)
    with OpenFile(str(source), "file:///source") as file, target.open("wb") as copy:
        shared = file.share(copy.fileno(), 0, 10_000)
    assert not shared or target.read_bytes() == source.read_bytes()


async def test_a_closed_subfolder_is_one_error_by_name(tmp_path):
    if not os.geteuid():
        pytest.skip("root may read everything")
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(AccessDeniedError, match="closed"):
        await asyncref.scan(f"file://{tmp_path}/")
