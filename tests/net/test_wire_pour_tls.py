"""Bodies that a thread decrypts and writes to a file: whole, from what OpenSSL holds already, cut, silent and cancelled."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import uvloop

from asyncref.errors import BrokenBodyError, SilentError
from asyncref.net.wire.pump import POURS
from benchmarks.store.certificate import write_certificate
from tests.servers.bytewise import OK, get, serving

pytestmark = [
    pytest.mark.skipif(not POURS, reason="Linux only"),
    pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"]),
]
SIZE = 3_000_001
BODY = os.urandom(SIZE)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def secured(request, certificate):
    """How to serve."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = context.maximum_version = request.param
    context.load_cert_chain(certificate)
    return {"tls": context, "verify": str(certificate)}


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def content(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


def sending(body, *, then=None):
    async def script(_number, _head, writer):
        writer.write(OK % SIZE + body)
        await writer.drain()
        if then is not None:
            await then(writer)

    return script


async def gone(writer):
    await writer.gone()


async def cut(writer):
    await writer.drain()
    writer.transport.abort()


async def closed(writer):
    writer.close()


async def pour_all(pool, url, fd, *, offset=0, step=SIZE, counts=None, begun=None):
    """Pour a whole body; `counts` gets how many bytes came at a time, `begun` the answer."""
    counts = [] if counts is None else counts
    async with pool.request("GET", url, {}, uri="u") as response:
        assert response.can_pour
        if begun is not None:
            begun(response)
        while (left := SIZE - sum(counts)) > 0:
            counts.append(await pool.pour(response, fd, offset + sum(counts), min(step, left), url=url, uri="u"))
            if not counts[-1]:
                break


@pytest.mark.parametrize("step", [10_009, 999_983, 2 * SIZE])
def test_every_byte_lies_at_its_place_and_the_connection_serves_again(run, secured, file, step):
    async def main():
        async with serving(sending(BODY), **secured) as (server, pool, url):
            await pour_all(pool, url, file, offset=77, step=step)
            assert (await get(pool, url)).body == BODY
            assert server.connections == 1

    run(main())
    assert content(file) == bytes(77) + BODY


def test_many_at_once_each_to_its_own_place(run, secured, tmp_path):
    files = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(5)]

    async def main():
        async with serving(sending(BODY), **secured) as (_server, pool, url):
            await asyncio.gather(
                *(pour_all(pool, url, files[at % 5], offset=at // 5 * SIZE, step=700_000) for at in range(20))
            )

    run(main())
    for fd in files:
        assert content(fd) == BODY * 4
        os.close(fd)


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
            view = memoryview(bytearray(1000))
            assert await pool.read_into(response, view, url=url, uri="u") == 1000
            os.pwrite(file, view, 0)
            assert await pool.pour(response, file, 1000, 15_000, url=url, uri="u") == 15_000
            moved.set()
            assert await pool.pour(response, file, 16_000, SIZE - 16_000, url=url, uri="u") == SIZE - 16_000

    run(main())
    assert content(file) == BODY


@pytest.mark.parametrize("then", [cut, closed])
def test_what_came_before_a_cut_is_there_before_the_error(run, secured, file, then):
    counts = []

    async def main():
        async with serving(sending(BODY[:2_000_000], then=then), **secured) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match="ended early"):
                await pour_all(pool, url, file, counts=counts)

    run(main())
    assert content(file) == BODY[: sum(counts)]
    if then is closed:
        assert sum(counts) == 2_000_000


def test_a_connection_whose_loss_is_yet_to_be_told_gives_what_came_and_then_its_error(run, secured, file):
    counts = []

    async def main():
        async with serving(sending(BODY[:2_000_000], then=gone), **secured) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match="ended early"):
                await pour_all(pool, url, file, counts=counts, begun=lambda response: response._connection.abort())

    run(main())
    assert content(file) == BODY[: sum(counts)]


def test_silence_is_bounded(run, secured, file):
    async def main():
        script = sending(BODY[:2_000_000], then=gone)
        async with serving(script, idle_timeout_s=0.2, **secured) as (_server, pool, url):
            with pytest.raises(SilentError, match=r"nothing came for 0.2 s"):
                await pour_all(pool, url, file)

    run(main())
    assert content(file) == BODY[:2_000_000]


@pytest.mark.parametrize("by", ["cancel", "close"])
def test_once_it_has_ended_nobody_reads_or_writes_any_more(run, secured, file, by):
    async def main():
        async with serving(sending(BODY[:2_000_000], then=gone), **secured) as (_server, pool, url):
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
            assert len(before - descriptors()) >= 2  # the thread's copy of the socket, and the socket

    run(main())


def descriptors():
    return set(Path("/proc/self/fd").iterdir())
