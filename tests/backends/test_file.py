"""The backend of files passes the contract; links, odd names, pipes and changes are told as they are."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.backends import open_backend
from asyncref.backends.base import Backend, Body
from asyncref.backends.file import FileBackend, open_file, typed_key
from asyncref.backends.file.content import OpenFile
from asyncref.backends.file.failure import translated
from asyncref.backends.file.folder import Scan, look_at
from asyncref.errors import (
    AccessDeniedError,
    BadKeyError,
    ChangedError,
    ContainerNotFoundError,
    NotFoundError,
    OptionError,
    ProtocolError,
    RetryableError,
    StorageError,
    UnsupportedError,
)
from asyncref.model import Limits, ListRequest, ReadRequest
from asyncref.testing import Abilities, BackendContract, Place, body_of, listed
from asyncref.uri import parse


def write(path: bytes, data: bytes = b"x") -> None:
    """By bytes: a name need not be text."""
    file = Path(os.fsdecode(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def remove(path: str) -> None:
    Path(path).unlink()


@pytest.fixture
def closed(request):
    """A folder of one's own with the mode asked for, and a file of mode 0; root is nobody meanwhile."""
    root = not os.geteuid()
    if root:
        os.seteuid(65534)
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name, "folder")
        write(bytes(folder) + b"/file")
        (folder / "file").chmod(0)
        folder.chmod(request.param)
        yield folder
        folder.chmod(0o700)
    if root:
        os.seteuid(0)


@dataclass
class Folder:
    root: str

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        del encoding
        write(key.encode(), data)

    async def delete(self, key: str) -> None:
        remove(key)


class TestFile(BackendContract):
    abilities = Abilities(lacks_keys=frozenset({"x/", "a//b", "a/../b"}), file_and_folder=False, encodings=False)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Folder(f"{tmp_path}/")

    @pytest.fixture
    def backend(self) -> Backend:
        return FileBackend(threads=4)


@pytest.fixture
def network(monkeypatch):
    """No disk is local: files are looked at as on a network."""
    monkeypatch.setattr("asyncref.backends.file.local._LOCAL", frozenset())


@pytest.mark.usefixtures("network")
class TestFileOnANetwork(TestFile):
    pass


@pytest.fixture
def backend() -> FileBackend:
    return FileBackend(threads=4)


async def page_of(backend: FileBackend, folder: Path):
    return await backend.list_page(ListRequest(prefix=f"{folder}/"))


async def rest_of(body: Body) -> bytes:
    return b"".join([chunk async for chunk in body.chunks])


async def test_the_pin_is_the_md5_of_the_content(backend, tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    pin = await backend.stat(f"{tmp_path}/a")
    assert pin.checksum == f"md5:{hashlib.md5(data).hexdigest()}"
    assert (pin.etag, pin.version, pin.size) == (None, None, len(data))


async def test_a_file_of_many_steps_is_hashed_whole(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("asyncref.backends.file.content.STEP_BYTES", 1 << 20)
    data = os.urandom((3 << 20) + 17)
    (tmp_path / "a").write_bytes(data)
    assert (await backend.stat(f"{tmp_path}/a")).checksum == f"md5:{hashlib.md5(data).hexdigest()}"


async def test_linked_files_are_followed_and_linked_folders_are_not(backend, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/inside").write_bytes(b"12345")
    (tmp_path / "file-link").symlink_to("real/inside")
    (tmp_path / "folder-link").symlink_to("real")
    page = await page_of(backend, tmp_path)
    assert page.batch["key"].to_pylist() == [f"{tmp_path}/file-link", f"{tmp_path}/real/inside"]
    assert page.batch["size"].to_pylist() == [5, 5]
    assert page.folders == ()
    assert page.skipped == {"folder_link": 1}
    assert page.refused == ()
    assert (await backend.stat(f"{tmp_path}/file-link")).size == 5


@pytest.mark.parametrize("local", [True, False])
async def test_what_cannot_be_an_entry_is_named_with_its_reason(backend, tmp_path, local, request):
    if not local:
        request.getfixturevalue("network")
        backend = FileBackend(threads=4)
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe-link").symlink_to("pipe")
    (tmp_path / "null-link").symlink_to("/dev/null")
    write(bytes(tmp_path) + b"/\xff\xfe")
    write(bytes(tmp_path) + b"/folder\xff/inside")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        page = await page_of(backend, tmp_path)
    assert page.batch.num_rows == 0
    assert page.folders == ()
    assert set(page.refused) == {
        f"{tmp_path}/broken (a broken link)",
        f"{tmp_path}/circle (a link in a circle)",
        f"{tmp_path}/folder\\xff (not UTF-8)",
        f"{tmp_path}/null-link (a socket, pipe or device)",
        f"{tmp_path}/pipe (a socket, pipe or device)",
        f"{tmp_path}/pipe-link (a socket, pipe or device)",
        f"{tmp_path}/socket (a socket, pipe or device)",
        f"{tmp_path}/\\xff\\xfe (not UTF-8)",
    }


@pytest.mark.usefixtures("network")
async def test_names_that_are_not_text_do_not_stop_a_listing_by_pages(backend, tmp_path):
    for name in (b"a", b"b\xff", b"b\xfe", b"c\x80", b"d"):
        write(bytes(tmp_path) + b"/" + name)
    listing = await listed(backend, ListRequest(prefix=f"{tmp_path}/", limit=1))
    assert listing.keys == [f"{tmp_path}/a", f"{tmp_path}/d"]
    assert [len(page.refused) for page in listing.pages] == [0, 1, 1, 1, 0]


async def test_a_pipe_or_device_is_refused_and_not_waited_for(backend, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (f"{tmp_path}/pipe", "/dev/null"):
        with pytest.raises(UnsupportedError, match="pipe or device"):
            await backend.stat(path)


def test_a_key_that_no_file_name_can_be_is_named(tmp_path):
    for key, shown in ((f"{tmp_path}/\udcff", "\\udcff"), (f"{tmp_path}/a\0b", "a\\0b")):
        with pytest.raises(BadKeyError) as caught:
            OpenFile(key, "file")
        assert shown in caught.value.keys[0]
        str(caught.value).encode()


async def test_a_file_that_grows_while_it_is_hashed_is_noticed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"some")
    with OpenFile(str(path), "file") as file:
        path.write_bytes(b"some more")
        with pytest.raises(ChangedError, match="changed while it was read"):
            file.hash_step()


async def test_a_file_rewritten_at_the_same_size_while_it_is_read_is_noticed(backend, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * (3 << 20))
    os.utime(path, ns=(0, 0))
    async with backend.read(ReadRequest(str(path))) as body:
        await anext(aiter(body.chunks))
        path.write_bytes(b"y" * (3 << 20))
        with pytest.raises(ChangedError):
            await rest_of(body)


async def test_a_file_cut_short_while_it_is_read_is_noticed(backend, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * (3 << 20))
    async with backend.read(ReadRequest(str(path))) as body:
        await anext(aiter(body.chunks))
        os.truncate(path, 1 << 20)
        with pytest.raises(ChangedError):
            await rest_of(body)


async def test_a_file_shorter_than_the_range_has_changed(backend, tmp_path):
    (tmp_path / "a").write_bytes(b"short")
    with pytest.raises(ChangedError, match="5 bytes"):
        await body_of(backend, ReadRequest(f"{tmp_path}/a", start=100, stop=200))
    answer, data = await body_of(backend, ReadRequest(f"{tmp_path}/a", start=2, stop=200))
    assert (answer.stop, answer.total, data) == (5, 5, b"ort")


async def test_what_vanished_since_the_scan_is_not_there(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    names = Scan(bytes(tmp_path) + b"/").step()
    (tmp_path / "a").unlink()
    rows = look_at(f"{tmp_path}/", *names.part(0, 2))
    assert rows.names == [b"b"]
    assert rows.skipped == {"vanished": 1}


async def test_a_folder_that_is_none_is_called_that(backend, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for prefix in (f"{tmp_path}/nothing/", f"{tmp_path}/file/"):
        with pytest.raises(ContainerNotFoundError):
            await backend.list_page(ListRequest(prefix=prefix))


@pytest.mark.parametrize("closed", [0o700, 0o400, 0], indirect=True, ids=oct)
async def test_a_file_without_permission_is_denied_and_not_missing(backend, closed):
    with pytest.raises(AccessDeniedError):
        await backend.stat(f"{closed}/file")


# A folder of mode 0400 lets its names be read and its files not be looked at.
@pytest.mark.parametrize("closed", [0o400, 0], indirect=True, ids=oct)
async def test_a_folder_without_permission_is_denied_and_not_empty(backend, closed):
    with pytest.raises(AccessDeniedError):
        await page_of(backend, closed)


@pytest.mark.usefixtures("network")
async def test_a_huge_folder_comes_in_bounded_pages_even_when_slow(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("asyncref.backends.file.listing._SLOW_STAT_S", 0.0)
    names = sorted(f"{number}-é" if number % 3 else f"{number}" for number in range(2500))
    for name in names:
        (tmp_path / name).touch()
    listing = await listed(backend, ListRequest(prefix=f"{tmp_path}/", limit=700))
    assert listing.keys == [f"{tmp_path}/{name}" for name in names]
    assert [page.batch.num_rows for page in listing.pages] == [700, 700, 700, 400]


@pytest.mark.usefixtures("network")
async def test_a_page_asked_for_late_reads_the_folder_again(tmp_path):
    for name in "abcd":
        (tmp_path / name).touch()
    request = ListRequest(prefix=f"{tmp_path}/", limit=2)
    page = await FileBackend().list_page(request)
    (tmp_path / "b").unlink()
    (tmp_path / "bb").touch()
    later = await FileBackend().list_page(ListRequest(prefix=f"{tmp_path}/", limit=9, cursor=page.cursor))
    assert later.batch["key"].to_pylist() == [f"{tmp_path}/{name}" for name in ("bb", "c", "d")]
    assert later.cursor is None


async def test_a_tree_comes_in_pages_that_say_where_to_go_on(tmp_path):
    names = sorted(f"{folder:02}/{deep}/{file}" for folder in range(12) for deep in "ab" for file in range(5))
    for name in [*names, *(f"big/{number:03}" for number in range(40))]:
        write(f"{tmp_path}/{name}".encode())
    (tmp_path / "empty/empty").mkdir(parents=True)
    backend = FileBackend(threads=2)
    first = await backend.list_page(ListRequest(prefix=f"{tmp_path}/", limit=17))
    assert 0 < first.batch.num_rows <= 17
    assert first.cursor is not None
    listing = await listed(backend, ListRequest(prefix=f"{tmp_path}/", limit=17))
    assert sorted(listing.keys) == sorted(
        [f"{tmp_path}/{name}" for name in names] + [f"{tmp_path}/big/{n:03}" for n in range(40)]
    )
    assert all(page.batch.num_rows <= 17 for page in listing.pages)
    assert all(page.batch["key"].to_pylist() == sorted(page.batch["key"].to_pylist()) for page in listing.pages)
    with pytest.raises(ProtocolError, match="has ended"):
        await FileBackend().list_page(ListRequest(prefix=f"{tmp_path}/", limit=17, cursor=first.cursor))


async def test_versions_are_unsupported_by_name(backend, tmp_path):
    (tmp_path / "a").touch()
    for ask in (
        backend.list_page(ListRequest(prefix=f"{tmp_path}/", versions=True)),
        backend.stat(f"{tmp_path}/a", "v1"),
        backend.history(f"{tmp_path}/a"),
        body_of(backend, ReadRequest(f"{tmp_path}/a", version="v1")),
    ):
        with pytest.raises(UnsupportedError, match="no versions"):
            await ask


def test_an_option_is_refused_by_name():
    with pytest.raises(OptionError, match="endpoint_url"):
        open_file(parse("file:///tmp"), {"endpoint_url": "http://x"}, Limits())
    assert isinstance(open_backend(parse("file:///tmp"), {"file": {}}), FileBackend)


def test_a_typed_path_is_decoded_only_where_it_is_not_there_as_it_stands(tmp_path):
    (tmp_path / "a b").touch()
    (tmp_path / "100%25").touch()
    (tmp_path / "100%").touch()
    assert typed_key(f"{tmp_path}/a%20b") == f"{tmp_path}/a b"
    assert typed_key(f"{tmp_path}/100%25") == f"{tmp_path}/100%25"
    assert typed_key(f"{tmp_path}/c%20d") == f"{tmp_path}/c%20d"
    assert typed_key(f"{tmp_path}/%ff%00") == f"{tmp_path}/%ff%00"
    assert FileBackend().source(parse(f"file://{tmp_path}/a%20b")).prefix == f"{tmp_path}/a b"


def test_the_digest_by_name_is_that_of_wandb(tmp_path):
    (tmp_path / "a b").touch()
    (tmp_path / "link").symlink_to("a b")
    wanted = base64.b64encode(hashlib.md5((tmp_path / "a b").resolve().as_uri().encode()).digest()).decode()
    assert FileBackend().digest_by_name(f"{tmp_path}/a b") == wanted
    assert FileBackend().digest_by_name(f"{tmp_path}/link") == wanted


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, NotFoundError),
        (errno.ENOTDIR, NotFoundError),
        (errno.ELOOP, NotFoundError),
        (errno.EACCES, AccessDeniedError),
        (errno.EPERM, AccessDeniedError),
        (errno.ESTALE, RetryableError),
        (errno.EIO, RetryableError),
        (errno.EMFILE, RetryableError),
        (errno.EUCLEAN if hasattr(errno, "EUCLEAN") else errno.EINVAL, StorageError),
    ],
)
def test_the_errno_table_says_what_may_be_retried(number, kind):
    error = translated(OSError(number, os.strerror(number)), "file:///a")
    assert isinstance(error, kind)
    assert error.code == errno.errorcode[number]
    assert "file:///a" in str(error)


@given(
    st.sets(
        st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
    )
)
def test_names_are_read_sorted_by_their_bytes(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        write(bytes(folder) + b"/" + name)
    read = Scan(bytes(folder) + b"/").step()
    assert read.part(0, len(read))[0] == sorted(names)
    for name in names:
        assert read.after(name) == sorted(names).index(name) + 1
