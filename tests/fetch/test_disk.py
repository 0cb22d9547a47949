"""Targets that cannot take everything: too small, full, read-only, closed to this user; and an interrupted command."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncref.engine.fetch import fetch, space
from asyncref.errors import FetchError, SpaceError
from asyncref.model import Limits
from asyncref.testing import MemoryStore, mounted
from tests.fetch import listed, noise, pinned, tree
from tests.servers import S3Server, wait_until
from tests.servers.proxy import Proxy, Stall

QUICK = Limits(backoff_s=0.0, concurrency=8)
LARGE = 17 * 2**20


def store_of(**contents: int) -> MemoryStore:
    store = MemoryStore()
    for key, size in contents.items():
        store.seed(key, noise(size, key))
    return store


@pytest.fixture
def free_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how much room the disk has."""
    return lambda count: monkeypatch.setattr(space, "free_in", lambda _folder: count)


@pytest.mark.parametrize("whole", [False, True])
async def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, free_bytes: Callable[[int], None], *, whole: bool
) -> None:
    store = store_of(a=1000, b=2000)
    free_bytes(2999)
    with mounted(store):
        with pytest.raises(SpaceError, match=r"3,000 bytes are still to come, and 2,999 are free") as caught:
            await fetch(pinned(store), tmp_path / "out", whole=whole)
        assert listed(tmp_path) == []
        assert caught.value.exit_code == 1
        free_bytes(3000)
        assert (await fetch(pinned(store), tmp_path / "out", whole=whole)).objects == 2


async def test_what_lies_there_already_needs_no_space(tmp_path: Path, free_bytes: Callable[[int], None]) -> None:
    store = store_of(a=1000, b=2000)
    with mounted(store):
        await fetch(pinned(store, ["a"]), tmp_path)
        free_bytes(2000)
        assert (await fetch(pinned(store), tmp_path)).objects == 1
        free_bytes(0)
        assert (await fetch(pinned(store), tmp_path)).skipped == 2
        (tmp_path / "b").write_bytes(b"other")
        with pytest.raises(SpaceError, match="2,000 bytes"):
            await fetch(pinned(store), tmp_path, overwrite=True)


def test_the_room_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert space.free_in(tmp_path / "not" / "there") == pytest.approx(found.f_bavail * found.f_frsize, rel=0.1)


FETCH = """
import asyncio, json, sys
from pathlib import Path
from asyncref.engine.fetch import fetch
from asyncref.errors import AsyncrefError
from asyncref.testing import mounted
from tests.fetch import listed, noise, pinned
from tests.fetch.test_disk import store_of
from asyncref.engine.fetch import space
sizes, root = [int(size) for size in sys.argv[1].split(",")], Path(sys.argv[2])
space.free_in = lambda folder: None
store = store_of(**{f"o{number}": size for number, size in enumerate(sizes)})
with mounted(store):
    try:
        asyncio.run(fetch(pinned(store), root))
    except AsyncrefError as error:
        print(error.exit_code, error)
        print(*[name for name in listed(root) if ".asyncref" in name] if root.is_dir() else [])
        print(json.dumps(error.report.to_json()))
"""


def on_a_small_disk(folder: Path, sizes: str, *, options: str = "size=1m", root: str = "out") -> str:
    """What a fetch says on a file system of its own, in a namespace that needs no privilege; skips where there are none."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no user namespaces here (unshare -rm); run on Linux where they are allowed")
    mount = f'mount -t tmpfs -o {options} none "$1" && shift && exec "$@"'
    command = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        mount,
        "sh",
        str(folder),
        sys.executable,
        "-c",
        FETCH,
        sizes,
        str(folder / root),
    ]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    return ended.stdout


@pytest.mark.parametrize("sizes", ["100000," * 20 + "1", f"{LARGE}", f"1000,{2 * 2**20}"])
def test_a_disk_that_fills_up_ends_the_fetch_with_one_error_and_no_temporary(tmp_path: Path, sizes: str) -> None:
    said, left, told = on_a_small_disk(tmp_path, sizes).split("\n")[:3]
    assert said.startswith("4 cannot write to ")
    assert "no space left on device; what is complete stays" in said
    assert left == ""
    report = json.loads(told)
    assert report["objects"] + report["left"] == len(sizes.split(","))
    assert report["left"] > report["failed"] == 0


def test_where_no_space_can_be_reserved_nothing_is_written_to_the_file(tmp_path: Path) -> None:
    """A ramfs has no fallocate."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no user namespaces here (unshare -rm); run on Linux where they are allowed")
    script = """if True:
        import os, sys
        from asyncref.engine.fetch.disk import reserve
        fd = os.open(sys.argv[1] + "/file", os.O_RDWR | os.O_CREAT)
        reserve(fd, 2**24)
        print(os.fstat(fd).st_size, os.fstat(fd).st_blocks)
    """
    mount = 'mount -t ramfs none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout == f"{2**24} 0\n"


@pytest.mark.parametrize("root", ["out", "."])
def test_a_read_only_target_is_one_error(tmp_path: Path, root: str) -> None:
    assert on_a_small_disk(tmp_path, "1000", options="ro", root=root).startswith("1 cannot write to ")
    assert "read-only file system" in on_a_small_disk(tmp_path, "1000", options="ro", root=root)


WITHOUT_PRIVILEGE = """
import asyncio, sys
from pathlib import Path
from asyncref.engine.fetch import fetch
from asyncref.errors import AsyncrefError
from asyncref.testing import mounted
from tests.fetch import pinned
from tests.fetch.test_disk import store_of
root, whole, overwrite, keys = Path(sys.argv[1]), sys.argv[2] == "whole", sys.argv[3] == "overwrite", sys.argv[4:]
store = store_of(**dict.fromkeys(keys, 1000))
with mounted(store):
    try:
        asyncio.run(fetch(pinned(store), root, whole=whole, overwrite=overwrite))
    except AsyncrefError as error:
        print(error.exit_code, str(error).replace(chr(10), " "), *[failure.path for failure in error.failures])
print(store.requests["get"])
"""


def without_privilege(root: Path, *options: str) -> list[str]:
    """What a fetch says that obeys the modes of folders, as root does not; and how many objects it asked for."""
    obey = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if obey and shutil.which("setpriv") is None:
        pytest.skip("no setpriv here (util-linux), and root may write everywhere")
    command = [*obey, sys.executable, "-c", WITHOUT_PRIVILEGE, str(root), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return ended.stdout.split("\n")[:-1]


@pytest.mark.parametrize("keys", [["a", "b"], ["deep/a", "other/b"]])
@pytest.mark.parametrize("overwrite", ["keep", "overwrite"])
def test_a_target_that_is_closed_to_this_user_is_one_error_before_anything_is_fetched(
    keys: list[str], overwrite: str, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    for key in keys if overwrite == "overwrite" else []:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"x" * (1000 if key.endswith("a") else 7))
    root.mkdir(exist_ok=True)
    for folder in (*root.iterdir(), root):
        folder.chmod(0o555)
    said, asked = without_privilege(root, "in place", overwrite, *keys)
    assert said.startswith(f"1 cannot write to {root}: permission denied")
    assert said.endswith("a folder that this user may write to")  # and no entry
    assert asked == "0"
    assert "permission denied" in without_privilege(root / "new", "whole", "keep", "a")[0]


def test_a_folder_in_it_that_is_closed_fails_its_entries_alone_and_before_they_are_fetched(tmp_path: Path) -> None:
    root = tmp_path / "out"
    (root / "closed").mkdir(parents=True)
    (root / "closed").chmod(0o555)
    said, asked = without_privilege(root, "in place", "keep", "closed/a", "closed/deep/b", "open/c", "d")
    assert said.endswith("closed/a closed/deep/b")
    assert asked == "2"


def test_a_target_with_nothing_to_do_need_not_be_open(tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert without_privilege(root, "in place", "keep", "a", "deep/b") == ["2"]
    for folder in (root / "deep", root):
        folder.chmod(0o555)
    assert without_privilege(root, "in place", "keep", "a", "deep/b") == ["0"]


async def test_a_file_larger_than_the_system_allows_fails_alone(tmp_path: Path) -> None:
    """By RLIMIT_FSIZE; Python ignores the signal, so that a write says EFBIG."""
    store = store_of(small=1000, large=LARGE, medium=3 * 2**20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with mounted(store):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
        try:
            with pytest.raises(FetchError, match="File too large") as caught:
                await fetch(pinned(store), tmp_path / "out", limits=QUICK)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [failure.path for failure in caught.value.failures] == ["large", "medium"]
    assert listed(tmp_path / "out") == ["small"]


async def test_a_folder_that_cannot_be_made_fails_its_entries_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for another user than root, whom nothing stops."""
    store = MemoryStore()
    store.seed("closed/a", b"1")
    store.seed("open/b", b"2")
    real = os.makedirs

    def closed(path: str, *, exist_ok: bool = False) -> None:
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        real(path, exist_ok=exist_ok)

    monkeypatch.setattr("asyncref.engine.fetch.target.os.makedirs", closed)
    with mounted(store), pytest.raises(FetchError, match="Permission denied") as caught:
        await fetch(pinned(store), tmp_path / "out")
    assert [failure.path for failure in caught.value.failures] == ["closed/a"]
    assert tree(tmp_path) == {"out/open/b": b"2"}


async def test_a_rate_holds_over_all_parts(tmp_path: Path) -> None:
    """The last of ten objects may begin once nine tenths of the time that the cap asks for have passed."""
    store = store_of(**{f"o{number}": 100_000 for number in range(10)})
    with mounted(store):
        report = await fetch(pinned(store), tmp_path, limits=Limits(bytes_per_second=2e6, concurrency=4))
    assert report.elapsed_s >= 0.45


async def test_an_interrupted_command_leaves_with_130_and_only_what_the_next_one_uses(
    moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]
) -> None:
    contents = {"a": noise(1000), "stalls": noise(300_000), "large": noise(LARGE, "large")}
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    for key, data in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)
    proxy = proxy_to(moto.endpoint)
    proxy.inject(Stall(1_000_000), kind="get", at=2, match="large")
    proxy.inject(Stall(100_000), kind="get", at=None, match="stalls")
    environment = {**os.environ, **moto.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
    command = [sys.executable, "-m", "asyncref", "fetch", "--json", f"s3://{bucket}/", str(tmp_path / "out")]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def journaled() -> bool:
        return (tmp_path / "out" / "a").exists() and any(
            path.stat().st_size >= 40 for path in tmp_path.rglob("*.journal")
        )

    process = start()
    try:
        await asyncio.to_thread(wait_until, journaled, what="the fetch")
        process.send_signal(signal.SIGINT)
        _, said = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in said
    left = tree(tmp_path / "out")
    assert left.pop("a") == contents["a"]
    assert len(left) == 2  # the begun file of the large object and its journal; nothing of the other
    assert all(name.startswith(".asyncref-") for name in left)
    proxy.forget()
    process = start()
    told, said = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, said
    assert json.loads(told)["objects"] == 2
    assert proxy.counts["get"] == 2  # the small one, and the part that was missing
    assert tree(tmp_path / "out") == contents
