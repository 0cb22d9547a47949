"""Bodies that a thread takes from the socket to a file, plain ones and over TLS: whole, cut, silent, cancelled; files that cannot take them."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import threading
from pathlib import Path

import pytest
import uvloop

from asyncref.errors import BrokenBodyError, SilentError
from asyncref.net.wire import pour, pump
from asyncref.net.wire.pump import POURS
from benchmarks.store.certificate import write_certificate
from tests.servers.bytewise import OK, get, serving

pytestmark = [
    pytest.mark.skipif(not POURS, reason="Linux only"),
    pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"]),
]
SIZE = 3_000_001
BODY = os.urandom(SIZE)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


def secured_by(version, certificate):
    """How to serve."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificate)
    return {"tls": context, "verify": str(certificate)}


@pytest.fixture(params=VERSIONS, ids=["TLS 1.2", "TLS 1.3"])
def secured(request, certificate):
    return secured_by(request.param, certificate)


@pytest.fixture(params=[None, *VERSIONS], ids=["plain", "TLS 1.2", "TLS 1.3"])
def wire(request, certificate):
    return {} if request.param is None else secured_by(request.param, certificate)


def sending(body=BODY, announced=SIZE, *, then=None):
    """A script that sends a body, and then ends the connection or does something else."""

    async def script(_number, _head, writer):
        writer.write(OK % announced + body)
        await writer.drain()
        if then is not None:
            await then(writer)

    return script


async def gone(writer):
    await writer.gone()


async def closed(writer):
    writer.close()


async def reset(writer):
    writer.transport.abort()


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def content(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


async def pour_all(pool, url, fd, *, offset=0, step=SIZE, counts=None, begun=None):
    """Pour a whole body; `counts` gets how many bytes came at a time, `begun` the answer."""
    counts = [] if counts is None else counts
    async with pool.request("GET", url, {}, uri="u") as response:
        way = response.pour
        if begun is not None:
            begun(response)
        while (left := SIZE - sum(counts)) > 0:
            counts.append(await pool.pour(way, fd, offset + sum(counts), min(step, left), url=url, uri="u"))
            if not counts[-1]:
                break


@pytest.mark.parametrize("step", [1009, 999_983, SIZE, 2 * SIZE])
def test_every_byte_lies_at_its_place_and_the_connection_serves_again(run, wire, file, step):
    async def main():
        async with serving(sending(), **wire) as (server, pool, url):
            await pour_all(pool, url, file, offset=77, step=step)
            assert (await get(pool, url)).body == BODY
            assert server.connections == 1

    os.pwrite(file, b"before", 0)
    os.pwrite(file, b"behind", 77 + SIZE)
    run(main())
    assert content(file) == b"before".ljust(77, b"\0") + BODY + b"behind"


def test_many_at_once_each_to_its_own_place(run, wire, tmp_path):
    files = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(5)]

    async def main():
        async with serving(sending(), **wire) as (_server, pool, url):
            await asyncio.gather(
                *(pour_all(pool, url, files[at % 5], offset=at // 5 * SIZE, step=700_000) for at in range(30))
            )

    run(main())
    for fd in files:
        assert content(fd) == BODY * 6
        os.close(fd)


def test_pouring_and_reading_in_turn_gives_the_same_bytes(run, file):
    async def main():
        async with serving(sending()) as (_server, pool, url), pool.request("GET", url, {}, uri="u") as response:
            at, view, way = 0, memoryview(bytearray(100_003)), response.pour
            while at < SIZE:
                at += await pool.pour(way, file, at, 200_001, url=url, uri="u")
                count = await pool.read_into(response, view, url=url, uri="u") if at < SIZE else 0
                os.pwrite(file, view[:count], at)
                at += count
            assert not await pool.pour(way, file, at, 1, url=url, uri="u")

    run(main())
    assert content(file) == BODY


@pytest.mark.parametrize(
    ("then", "message"),
    [(closed, r"ended early: 1,000,001 of 3,000,001 bytes are missing"), (reset, r"ended early")],
)
def test_what_came_before_a_cut_is_there_before_the_error(run, wire, file, then, message):
    counts = []

    async def main():
        async with serving(sending(BODY[:2_000_000], then=then), **wire) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match=message):
                await pour_all(pool, url, file, counts=counts)

    run(main())
    assert content(file)[: sum(counts)] == BODY[: sum(counts)]
    if then is closed:
        assert sum(counts) == 2_000_000


def test_silence_is_bounded(run, wire, file):
    async def main():
        async with serving(sending(BODY[:2_000_000], then=gone), idle_timeout_s=0.2, **wire) as (_server, pool, url):
            with pytest.raises(SilentError, match=r"nothing came for 0.2 s"):
                await pour_all(pool, url, file)

    run(main())
    assert content(file) == BODY[:2_000_000]


def test_one_that_comes_slowly_is_no_silence(run, file):
    async def drip(writer):
        for at in range(2_000_000, SIZE, 50_000):
            await asyncio.sleep(0.02)
            writer.write(BODY[at : at + 50_000])

    async def main():
        async with serving(sending(BODY[:2_000_000], then=drip), idle_timeout_s=0.2) as (_server, pool, url):
            await pour_all(pool, url, file)

    run(main())
    assert content(file) == BODY


@pytest.mark.parametrize("by", ["cancel", "close"])
def test_once_it_has_ended_nobody_writes_any_more(run, wire, file, by):
    async def main():
        async with serving(sending(BODY[:2_000_000], then=gone), **wire) as (_server, pool, url):
            task = asyncio.create_task(pour_all(pool, url, file))
            while os.fstat(file).st_size < 2_000_000:  # noqa: ASYNC110  a thread writes it
                await asyncio.sleep(0)
            before = descriptors()
            if by == "cancel":
                task.cancel()
            else:
                await pool.aclose()
            with pytest.raises(asyncio.CancelledError if by == "cancel" else BrokenBodyError):
                await task
            assert len(before - descriptors()) >= 1  # the thread has given back its own copy of the socket

    run(main())


def descriptors():
    return set(Path("/proc/self/fd").iterdir())


def test_what_openssl_holds_is_moved_though_the_socket_stays_silent(run, secured, file):
    """One record holds all that comes, and the loop has read a part of it."""

    async def main():
        begun, moved = asyncio.Event(), asyncio.Event()

        async def script(_number, _head, writer):
            writer.write(OK % SIZE)
            await begun.wait()
            writer.write(BODY[:16_000])
            await moved.wait()
            writer.write(BODY[16_000:])

        async with (
            serving(script, **secured) as (_server, pool, url),
            pool.request("GET", url, {}, uri="u") as response,
        ):
            begun.set()
            way = response.pour
            view = memoryview(bytearray(1000))
            assert await pool.read_into(response, view, url=url, uri="u") == 1000
            os.pwrite(file, view, 0)
            assert await pool.pour(way, file, 1000, 15_000, url=url, uri="u") == 15_000
            moved.set()
            assert await pool.pour(way, file, 16_000, SIZE - 16_000, url=url, uri="u") == SIZE - 16_000

    run(main())
    assert content(file) == BODY


def test_a_connection_whose_loss_is_yet_to_be_told_gives_what_came_and_then_its_error(run, secured, file):
    counts = []

    async def main():
        async with serving(sending(BODY[:2_000_000], then=gone), **secured) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match="ended early"):
                await pour_all(pool, url, file, counts=counts, begun=lambda response: response._connection.abort())

    run(main())
    assert content(file) == BODY[: sum(counts)]


def test_a_full_disk_is_the_files_error_and_the_connection_is_left(run):
    full = os.open("/dev/full", os.O_WRONLY)

    async def main():
        async with serving(sending()) as (server, pool, url):
            for _ in range(2):
                with pytest.raises(OSError, match="No space left") as caught:
                    await pour_all(pool, url, full)
                assert caught.value.errno == errno.ENOSPC
            assert server.connections == 2

    run(main())
    os.close(full)


def test_a_file_without_splice_is_written_to(run, tmp_path):
    """The system refuses to splice to a file that only grows, as some file systems refuse any."""
    fd = os.open(tmp_path / "grows", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    async def main():
        async with serving(sending()) as (_server, pool, url):
            await pour_all(pool, url, fd, step=800_000)

    run(main())
    assert content(fd) == BODY
    os.close(fd)


def test_a_short_pipe_is_filled_again_and_again(run, file, monkeypatch):
    monkeypatch.setattr(pour, "_PIPE_BYTES", 4096)

    async def main():
        async with serving(sending()) as (_server, pool, url):
            await pour_all(pool, url, file)

    run(main())
    assert content(file) == BODY


def test_a_thread_that_ends_leaves_what_is_told_to_the_next(run, file, monkeypatch):
    monkeypatch.setattr(pump, "_IDLE_S", 0.0)

    async def main():
        async with serving(sending()) as (_server, pool, url):
            for _ in range(10):
                await pour_all(pool, url, file, step=10_009)
                assert content(file) == BODY

    run(main())


def test_its_threads_end_and_others_begin(run, file, monkeypatch):
    monkeypatch.setattr(pump, "_IDLE_S", 0.01)

    async def main():
        async with serving(sending()) as (_server, pool, url):
            for _ in range(3):
                await pour_all(pool, url, file)
                assert content(file) == BODY
                for thread in threading.enumerate():
                    if thread.name == "asyncref-pump":
                        await asyncio.to_thread(thread.join)

    run(main())
