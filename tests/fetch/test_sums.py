"""Checksums: CRCs of parts combine to the whole's, and what came wrong is told from what lies there."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.content import Match, match, stated_sum
from asyncref.engine.fetch.sinks import FileSink, Threads
from asyncref.engine.fetch.sums import can_sum, combined, combines, new_sum
from asyncref.engine.fetch.target import Target
from asyncref.errors import ChangedError, FetchError
from asyncref.manifest import Manifest
from asyncref.model import Pin
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, source_of, tree

ALL = ("md5", "sha1", "sha256", "crc32", "crc32c")
CRCS = ("crc32", "crc32c")
WITH_AWSCRT = pytest.mark.skipif(not can_sum("crc64nvme"), reason="needs: pip install 'asyncref[s3]'")


def sum_of(algorithm: str, data: Any) -> bytes:
    running = new_sum(algorithm)
    running.update(data)
    return running.digest()


@pytest.mark.parametrize("algorithm", CRCS)
@given(parts=st.lists(st.binary(max_size=300)))
def test_the_crcs_of_parts_combine_to_that_of_the_whole(algorithm: str, parts: list[bytes]) -> None:
    assert combines(algorithm)
    pairs = [(sum_of(algorithm, part), len(part)) for part in parts]
    assert combined(algorithm, pairs) == sum_of(algorithm, b"".join(parts))


@given(parts=st.lists(st.binary(max_size=50), max_size=8))
def test_crc64nvme_of_parts_combines_too(parts: list[bytes]) -> None:
    pairs = [(crc64nvme(part), len(part)) for part in parts]
    assert combined("crc64nvme", pairs) == crc64nvme(b"".join(parts))


@WITH_AWSCRT
@given(parts=st.lists(st.binary(max_size=300)))
def test_awscrts_crc64nvme_is_the_published_one_in_any_pieces(parts: list[bytes]) -> None:
    running = new_sum("crc64nvme")
    for part in parts:
        running.update(memoryview(part))
    assert running.digest() == crc64nvme(b"".join(parts))
    assert sum_of("crc64nvme", b"123456789").hex() == "ae8b14860a799888"
    assert stated_sum("crc64nvme:ae8b14860a799888") is not None


def crc64nvme(data: bytes) -> bytes:
    """Bit by bit, as the NVM Command Set has it: polynomial AD93D23594C93659, reflected, all ones before and after."""
    value = 2**64 - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
    return (value ^ 2**64 - 1).to_bytes(8, "big")


@pytest.mark.parametrize("algorithm", ALL)
@given(parts=st.lists(st.binary(max_size=100)))
def test_bytes_may_come_in_any_pieces_and_kinds(algorithm: str, parts: list[bytes]) -> None:
    running = new_sum(algorithm)
    for number, part in enumerate(parts):
        running.update((bytes, bytearray, memoryview)[number % 3](part))
    assert running.digest() == sum_of(algorithm, b"".join(parts))


def test_the_published_check_values_come_out() -> None:
    """CRC catalogue, reveng.sourceforge.io/crc-catalogue: the check of each is over "123456789"."""
    assert crc64nvme(b"123456789").hex() == "ae8b14860a799888"
    assert sum_of("crc32", b"123456789").hex() == "cbf43926"
    assert sum_of("crc32c", b"123456789").hex() == "e3069283"
    assert sum_of("crc32c", bytearray(b"1" * 10**6)) == sum_of("crc32c", b"1" * 10**6)
    assert sum_of("md5", b"").hex() == "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize("checksum", [None, "", "crc64nvme:00", "md5:xyz", "md5", "whirlpool:00"])
def test_what_cannot_be_computed_here_is_no_checksum(checksum: str | None) -> None:
    assert stated_sum(checksum) is None
    assert not can_sum("crc16")


@pytest.mark.parametrize("algorithm", ["md5", *CRCS])
async def test_a_large_file_is_summed_in_slices_as_in_one_piece(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncref.engine.fetch.sinks._SLICE_BYTES", 1000)
    target = Target(tmp_path)
    for size in (0, 999, 1000, 1001, 7777):
        sink = FileSink(target.open("f", 0), Threads(2))
        await sink.write(0, [noise(size)])
        assert await sink.sum(algorithm) == sum_of(algorithm, noise(size))
        sink.temporary.discard()


def stated(store: MemoryStore, checksum: str) -> Manifest:
    """The store's one object, pinned by a checksum that the storage states; its ETag is no MD5."""
    (entry,) = pinned(store)
    return Manifest.from_entries(
        [replace(entry, pin=replace(entry.pin, checksum=checksum))], sources=[source_of(store)]
    )


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("size", [1000, 33 * 2**20])
async def test_a_stated_checksum_of_any_kind_is_checked(algorithm: str, size: int, tmp_path: Path) -> None:
    store = MemoryStore()
    store.seed("a", noise(size))
    right = stated(store, f"{algorithm}:{sum_of(algorithm, noise(size)).hex()}")
    wrong = stated(store, f"{algorithm}:{sum_of(algorithm, b'other').hex()}")
    with mounted(store):
        report = await fetch(right, tmp_path / "right")
        assert report.unchecked == 0
        with pytest.raises(FetchError, match=f"its {algorithm.upper()} is not") as caught:
            await fetch(wrong, tmp_path / "wrong")
    assert isinstance(caught.value.failures[0].error, ChangedError)
    assert tree(tmp_path / "right") == {"a": noise(size)}
    assert tree(tmp_path / "wrong") == {}


def test_a_file_is_compared_by_whatever_checksum_its_pin_has(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    fd = os.open(path, os.O_RDONLY)
    try:
        for text in (f"crc32:{zlib.crc32(b'content'):08x}", f"sha256:{hashlib.sha256(b'content').hexdigest()}"):
            assert match(fd, Pin(size=7, checksum=text)) is Match.SAME
            assert match(fd, Pin(size=7, checksum=text[:-2] + "00")) is Match.OTHER
        assert match(fd, Pin(size=7, checksum="crc64nvme:00")) is Match.UNKNOWN
    finally:
        os.close(fd)
