"""Folders of local disks: the compiled way and the plain one give the same, whatever lies in them."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import random
import socket
from pathlib import Path

import pyarrow as pa
import pytest

import asyncref
from asyncref.backends.file import FileBackend, folder, local, named, subtrees
from asyncref.backends.file.hashes import Hashes, State
from asyncref.backends.file.local import listed_plainly
from asyncref.backends.file.named import digest_of, digests_of
from asyncref.engine.scan import Target, scan
from asyncref.errors import ConnectionFailedError, ProtocolError
from asyncref.model import ListRequest
from asyncref.testing.place import listed

_entries = pytest.importorskip("asyncref._entries")

FAR_NS = 10**9 * 9_223_372_036  # 2262-04-11, the last second that 64 bits hold
NAMES = (b"a", b".hidden", b"with space", "ü€😀".encode(), b"x" * 255, b"tab\tline\nend", b"%41")


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A folder with one of everything."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / os.fsdecode(name)).write_bytes(b"x" * number)
    for number, time_ns in enumerate((0, -1, -(10**18), FAR_NS - 10**9 - 1, FAR_NS - 10**9, FAR_NS, FAR_NS + 10**9)):
        (folder / f"time-{number}").touch()
        os.utime(folder / f"time-{number}", ns=(time_ns, time_ns))
    (folder / "sub").mkdir()
    for name, target in (("link", "a"), ("folder-link", "sub"), ("broken", "nowhere")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # a socket's path is a short one
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    return os.fsencode(folder) + b"/"


def ordered(found: tuple[bytes, bytes, bytes, bytes], start: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Files with their states and all others, by name: a folder has no order."""
    keys, ends, states, others = found
    stops = [int.from_bytes(ends[at : at + 4], "little") - start for at in range(0, len(ends), 4)]
    files = [keys[before:stop] for before, stop in zip([0, *stops], stops, strict=False)]
    return sorted((name, states[40 * row : 40 * row + 40]) for row, name in enumerate(files)), sorted(
        others.split(b"\0")[:-1]
    )


@pytest.mark.parametrize("start", [0, 1000])
def test_both_ways_read_the_same(odd, start):
    compiled = _entries.folder(odd, b"head/", start, 100)
    assert ordered(compiled, start) == ordered(listed_plainly(odd, b"head/", start, 100), start)
    files, others = ordered(compiled, start)
    assert [name for name, _ in files][:2] == [b"head/%41", b"head/.hidden"]
    assert len(files) == 14
    assert others == [b"/sub", b"?pipe", b"?socket", b"@broken", b"@folder-link", b"@link"]


def test_both_ways_look_at_names_the_same(odd, monkeypatch):
    names = [*sorted(os.listdir(odd)), b"missing", b"a/below-a-file", b"x" * 256, b"b" * 5000]  # noqa: PTH208  bytes
    compiled = folder._looks(odd, names)
    monkeypatch.setattr(folder, "_entries", None)
    plain = folder._looks(odd, names)
    assert [_shown(look) for look in compiled] == [_shown(look) for look in plain]
    assert [_shown(look)[0] for look in compiled[-4:]] == [
        errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENAMETOOLONG,
    ]  # fmt: skip
    assert sum(isinstance(look, State) for look in compiled) == 15  # a link to a file is one
    assert folder._looks(odd, []) == []


def _shown(look: folder.Look) -> tuple[object, ...]:
    return (look.errno, look.filename) if isinstance(look, OSError) else (look,)


@pytest.mark.parametrize(
    "told", [(b"/x\0/", b"a\0", 1), (b"/x/", b"a", 1), (b"/x/", b"a\0b\0", 1), (b"/x/", b"a\0", 2)]
)
def test_names_that_are_not_what_they_say_are_refused(told):
    with pytest.raises(ValueError, match="names"):
        _entries.states(*told)


@pytest.mark.parametrize("read", [_entries.folder, listed_plainly])
def test_a_folder_with_more_files_than_there_is_room_for_is_left(odd, read):
    assert read(odd, b"", 0, 14) is not None
    assert read(odd, b"", 0, 13) is None
    assert read(odd, b"", 0, -1) is None


@pytest.mark.parametrize("read", [_entries.folder, listed_plainly])
def test_what_is_no_folder_is_the_system_s_error(odd, read):
    for name, kind in ((b"a", NotADirectoryError), (b"none", FileNotFoundError)):
        with pytest.raises(kind):
            read(odd + name, b"", 0, 10)
    with pytest.raises(ValueError, match=r"NUL|null"):
        read(b"/\0", b"", 0, 10)


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_name_that_is_not_text_is_refused_either_way(tmp_path, monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(local, "_entries", None)
    for name in (b"good", b"bad\xff", b"\xc3", b"\xa9"):
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / os.fsdecode(b"bad\xff-folder")).mkdir()
    backend = FileBackend(threads=1)
    page = await backend.list_page(ListRequest(prefix=f"{tmp_path}/"))
    assert page.batch.column(0).to_pylist() == [f"{tmp_path}/good"]
    assert len(page.refused) == 4
    assert page.cursor is None
    assert page.folders == ()
    await backend.aclose()


@pytest.mark.parametrize("checksum", [True, False])
async def test_both_ways_make_the_same_manifest(tmp_path, monkeypatch, checksum):
    for name in ("a/b/c", "a/b.txt", "a/b0", "z", "a/ü", "a/%20 x"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "tree/a/link").symlink_to("b0")
    options = {"hash_cache": False}
    compiled = await asyncref.scan(f"file://{tmp_path}/tree/", checksum=checksum, storage_options=options)
    monkeypatch.setattr(local, "_entries", None)
    plain = await asyncref.scan(f"file://{tmp_path}/tree/", checksum=checksum, storage_options=options)
    assert plain.identity == compiled.identity
    monkeypatch.setattr(local, "_LOCAL", frozenset())
    asked = await asyncref.scan(f"file://{tmp_path}/tree/", checksum=checksum, storage_options=options)
    assert asked.identity == compiled.identity
    assert [entry.path for entry in compiled] == ["a/%20 x", "a/b.txt", "a/b/c", "a/b0", "a/link", "a/ü", "z"]


async def test_a_page_that_failed_may_be_asked_for_again(tmp_path, monkeypatch):
    for name in ("a/1", "b/2", "c/3"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    backend = FileBackend(threads=1)
    first = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=1))
    following = ListRequest(prefix=f"{tmp_path}/", limit=1, cursor=first.cursor)

    def hang(*_, **__):
        raise ConnectionFailedError("hangs", uri="file:///")

    with monkeypatch.context() as patch:
        patch.setattr(subtrees, "subtree", hang)
        with pytest.raises(ConnectionFailedError):
            await backend.list_page(following)
    second = await backend.list_page(following)
    third = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=1, cursor=second.cursor))
    assert sorted(page.first for page in (first, second, third)) == [
        f"{tmp_path}/{name}" for name in ("a/1", "b/2", "c/3")
    ]
    await backend.aclose()


@pytest.mark.parametrize("threads", [1, 2, 8])
async def test_folders_shared_by_two_threads_come_once_each_whatever_their_size(tmp_path, threads):
    """Some fit into half a page, some into a whole one, one into none; folders lie in folders."""
    sizes = {"a": 700, "b/c": 601, "b/d": 1200, "e": 1201, "f": 0, "g/h/i": 1, "j": 1199}
    sizes |= {f"many/{number}": number % 90 for number in range(100)}
    for name, files in sizes.items():
        (tmp_path / name).mkdir(parents=True)
        for number in range(files):
            (tmp_path / name / str(number)).touch()
    (tmp_path / "b/link").symlink_to(tmp_path / "a/0")
    backend = FileBackend(threads=threads)
    listing = await listed(backend, ListRequest(prefix=f"{tmp_path}/", limit=1200))
    wanted = {f"{tmp_path}/{name}/{number}" for name, files in sizes.items() for number in range(files)}
    assert set(listing.rows) == wanted | {f"{tmp_path}/b/link"}
    assert all(page.batch.num_rows <= 1200 for page in listing.pages)
    assert all(page.batch.column(0).to_pylist() == sorted(page.batch.column(0).to_pylist()) for page in listing.pages)
    assert len(listing.pages) < 40
    for key, row in list(listing.rows.items())[::50]:
        modified = os.stat(key).st_mtime  # noqa: PTH116  no pathlib in async functions
        assert (row["size"], row["modified"].timestamp()) == (0, pytest.approx(modified, abs=1e-5))
    await backend.aclose()


async def test_a_page_of_a_listing_that_has_ended_is_an_error(tmp_path):
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a").touch()
    backend = FileBackend(threads=1)
    first = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=1))
    following = ListRequest(prefix=f"{tmp_path}/", limit=1, cursor=first.cursor)
    await backend.list_page(following)
    with pytest.raises(ProtocolError, match="has ended"):
        await backend.list_page(following)
    await backend.aclose()


NASTY = "abc/._~-,+:;09AZ ü€😀%\n"


@pytest.mark.parametrize("folder", [b"/", b"/a b/", b"/" + b"q" * 200 + b"/", "/ü/".encode()])
def test_both_ways_name_the_same(folder, monkeypatch):
    drawn = random.Random(1)
    paths = ["x" * length for length in range(140)]
    paths += ["".join(drawn.choices(NASTY, k=drawn.randrange(200))) for _ in range(300)]
    column = pa.array(["left out", *paths])[1:]
    compiled = digests_of(folder, column)
    monkeypatch.setattr(named, "_entries", None)
    assert digests_of(folder, column).equals(compiled)
    assert compiled.to_pylist() == [digest_of(folder + path.encode()) for path in paths]
    assert digests_of(folder, column[:0]).to_pylist() == []


def test_the_digest_of_a_name_is_that_of_its_uri():
    uri = b"file:///a%20b/%C3%BC~.bin"
    wanted = base64.b64encode(hashlib.md5(uri).digest()).decode()
    assert digests_of(b"/a b/", pa.array(["ü~.bin"])).to_pylist() == [wanted]


async def test_a_link_and_what_lies_elsewhere_are_named_by_where_they_lead(tmp_path):
    for name in ("tree/a", "tree/sub/b", "elsewhere/b", "elsewhere/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "tree/link").symlink_to("sub/b")
    (tmp_path / "way").symlink_to("tree")

    def digest(path: str) -> str:
        return digest_of(os.fsencode(tmp_path / path))

    for name in (None, "under/ü"):
        manifest = await scan([Target(uri=f"file://{tmp_path}/way/", name=name, checksum=False)])
        assert [entry.digest for entry in manifest] == [digest("tree/a"), digest("tree/sub/b"), digest("tree/sub/b")]
    mounts = {f"{tmp_path}/tree/sub": f"{tmp_path}/elsewhere"}
    manifest = await asyncref.scan(f"file://{tmp_path}/tree/", checksum=False, storage_options={"mounts": mounts})
    assert manifest["sub/b"].digest == digest("elsewhere/b")
    assert [entry.path for entry in manifest] == ["a", "link", "sub/b", "sub/c"]


def test_a_time_beyond_64_bits_breaks_no_cache(odd, tmp_path):
    hashes = Hashes(tmp_path / "h.db")
    state = local.State.of(Path(os.fsdecode(odd), "time-6").stat())
    hashes.keep(state, b"m" * 16, hashed_ns=2**63 + 10**12)
    hashes.close()
    assert hashes.find([state]) == [b"m" * 16]
