"""What is fuzzed: a parser, the errors that it may raise, and what has to hold of a result."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final
from xml.etree import ElementTree  # noqa: ICN001  a name that says what it is

import pyarrow as pa
import pyarrow.parquet as pq

from asyncref.backends.azure import page as azure
from asyncref.backends.azure.tags import OddPageError as OddAzureError
from asyncref.backends.gcs import page as gcs
from asyncref.backends.http import index
from asyncref.backends.http.lists import UrlList
from asyncref.backends.s3 import page as s3
from asyncref.backends.s3.answers import elements
from asyncref.backends.s3.shape import OddPageError as OddS3Error
from asyncref.errors import AsyncrefError, ProtocolError
from asyncref.manifest import Manifest
from asyncref.manifest.formats import from_wandb
from asyncref.model import PAGE_SCHEMA, Entry, Limits, ListRequest, Pin, Source
from asyncref.net.wire.faults import CutShortError, MalformedError
from asyncref.net.wire.head import HEAD_BYTES, parse_head
from asyncref.net.wire.receiver import Receiver

CORPUS: Final = Path(__file__).parent / "corpus"
FOUND: Final = Path(__file__).parent / "found"  # inputs by target that once were too much
_URL: Final = "http://host/folder/"


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Attributes:
        run: Feeds it; an assertion that fails is a finding, as is any error but those expected.
        expected: What it may raise.
    """

    run: Callable[[bytes], None]
    expected: tuple[type[Exception], ...]

    def feed(self, data: bytes) -> bool:
        """Whether the parser took the bytes."""
        try:
            self.run(data)
        except self.expected:
            return False
        return True


def _check(batch: pa.RecordBatch) -> None:
    assert batch.schema == PAGE_SCHEMA
    batch.validate(full=True)
    assert all(key is not None for key in batch["key"].to_pylist())


def _s3(keep: s3.Keep, kinds: frozenset[str]) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        rows = s3.read(body, keep)
        _check(rows.batch)
        keys = rows.keys.to_pylist()
        assert len(keys) >= rows.batch.num_rows
        root = _xml(body)
        if root is not None:  # an independent parser finds as many entries, under the same names
            entries = [child for child in root if _local(child) in kinds]
            assert len(entries) == len(keys), (len(entries), len(keys))
            if rows.envelope.get("EncodingType") != "url":
                names = [_text(entry, "Key") for entry in entries]
                # XML parsers read every line end as one; the column reader keeps what the server sent.
                assert sorted(names) == sorted(key.replace("\r\n", "\n").replace("\r", "\n") for key in keys)

    return run


def _azure(body: bytes) -> None:
    rows = azure.read(body, stored=True)
    _check(rows.batch)
    root = _xml(body.removeprefix(b"\xef\xbb\xbf"))
    if root is not None:
        blobs = [child for part in root if _local(part) == "Blobs" for child in part if _local(child) == "Blob"]
        assert len(blobs) == len(rows.keys), (len(blobs), len(rows.keys))


def _gcs(body: bytes) -> None:
    rows = gcs.read(body)
    _check(rows.batch)
    try:
        items = json.loads(body).get("items", [])
    except ValueError:
        return  # the reader by offsets takes control characters and looks at no field that it does not need
    assert [item["name"] for item in items] == rows.batch["key"].to_pylist()


def _index(kind: str) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        found = index.read(body, kind, _URL, uri=_URL)
        for name in [*(file.segment for file in found.files), *(folder.removesuffix("/") for folder in found.folders)]:
            assert name not in ("", ".", ".."), name
            assert "/" not in name, name
        assert all(file.size is None or file.size >= 0 for file in found.files)

    return run


def _wandb(data: bytes) -> None:
    _whole(from_wandb(data))


def _parquet(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".parquet", dir=_memory()) as file:
        file.write(data)
        file.flush()
        _whole(Manifest.load(file.name))


def _whole(manifest: Manifest) -> None:
    paths = [entry.path for entry in manifest]
    assert len(paths) == len(manifest)
    assert paths == sorted(set(paths))
    assert all(entry.size is None or entry.size >= 0 for entry in manifest)


def _head(data: bytes) -> None:
    head = parse_head(data)
    assert 100 <= head.status <= 999


def _answer(data: bytes) -> None:
    """A whole answer; the same one however it is cut on its way."""
    draw = random.Random(len(data))
    told = [_received(data, pieces) for pieces in (repeat(len(data)), repeat(1), iter(lambda: draw.randint(1, 99), 0))]
    assert told[0] == told[1] == told[2], told
    if isinstance(told[0], str):
        raise MalformedError(told[0])
    status, body, is_complete = told[0]
    assert 200 <= status <= 999
    assert len(body) <= len(data)
    if not is_complete:
        raise CutShortError("cut short")


def _received(data: bytes, pieces: Iterator[int]) -> tuple[int, bytes, bool] | str:
    receiver, body, at = Receiver(memoryview(bytearray(2 * HEAD_BYTES)), bodyless=False), b"", 0
    try:
        while at < len(data) and not receiver.has_extra:
            space = receiver.space()
            count = min(len(space), len(data) - at, next(pieces))
            space[:count] = data[at : at + count]
            at += count
            receiver.received(count)
            body += receiver.take() if receiver.head is not None else b""
    except MalformedError:
        return "malformed"
    if receiver.head is None:  # never an answer: how soon that is seen depends on the cuts
        return "malformed"
    receiver.ended()
    return receiver.head.status, body, receiver.is_complete


def _urls(suffix: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with tempfile.NamedTemporaryFile(suffix=suffix, dir=_memory()) as file:
            file.write(data)
            file.flush()
            found = UrlList(file.name, {}, Limits())
            page = asyncio.run(found.list_page(ListRequest(limit=10_000)))
        _check(page.batch)
        keys = page.batch["key"].to_pylist()
        assert len(set(keys)) == len(keys)
        for key in keys:
            assert key.startswith(("http://", "https://")), key
            assert found.path_of(key), key

    return run


def _error_body(data: bytes) -> None:
    assert all(isinstance(name, str) and isinstance(text, str) for name, text in elements(data).items())


def _xml(body: bytes) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(entry: ElementTree.Element, name: str) -> str:
    return next(("".join(child.itertext()) for child in entry if _local(child) == name), "")


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TARGETS: Final[dict[str, Target]] = {
    "s3-objects": Target(_s3("objects", frozenset({"Contents"})), (OddS3Error,)),
    "s3-versions": Target(_s3("all", frozenset({"Version", "DeleteMarker"})), (OddS3Error,)),
    "s3-error": Target(_error_body, ()),
    "gcs": Target(_gcs, (gcs.OddPageError,)),
    "azure": Target(_azure, (OddAzureError,)),
    "index-html": Target(_index("text/html"), (ProtocolError,)),
    "index-json": Target(_index("application/json"), (ProtocolError,)),
    "wandb": Target(_wandb, (AsyncrefError,)),
    "parquet": Target(_parquet, (AsyncrefError,)),
    "head": Target(_head, (MalformedError,)),
    "answer": Target(_answer, (MalformedError, CutShortError)),
    "urls-txt": Target(_urls(".txt"), (AsyncrefError,)),
    "urls-csv": Target(_urls(".csv"), (AsyncrefError,)),
    "urls-parquet": Target(_urls(".parquet"), (AsyncrefError,)),
}


def seeds(name: str) -> list[bytes]:
    """Good inputs of a target, from which damaged ones are made."""
    if name == "parquet":
        return [_exported(2), _exported(300)]
    if name == "urls-parquet":
        return [_column(2), _column(300)]
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def _exported(rows: int) -> bytes:
    """A manifest file as this version writes it."""
    source = Source(uri="s3://b/p/", scheme="s3", container="b", prefix="p/")
    entries = [
        Entry(f"{number:03}", f"s3://b/p/{number:03}", f"{number:032x}", Pin(size=number, etag=f'"{number:032x}"'))
        for number in range(rows)
    ]
    with _folder() as folder:
        Manifest.from_entries(entries, sources=[source]).save(folder / "m.parquet")
        return (folder / "m.parquet").read_bytes()


def _column(rows: int) -> bytes:
    """A list of URLs as a Parquet file."""
    with _folder() as folder:
        urls = [f"https://host{number % 3}/f/{number:03}.bin" for number in range(rows)]
        pq.write_table(pa.table({"url": urls, "size": range(rows)}), folder / "u.parquet")
        return (folder / "u.parquet").read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
