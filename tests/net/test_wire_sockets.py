"""The wire over real sockets, on both loops: bodies whole, cut, slow and silent, TLS, and what cannot be reached."""

from __future__ import annotations

import asyncio
import os
import ssl

import pytest
import uvloop

from asyncref.errors import BrokenBodyError, ConnectionFailedError, InvalidURIError, OptionError
from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings
from asyncref.net.wire import BUFFER_BYTES
from benchmarks.store.certificate import write_certificate
from tests.servers.bytewise import OK, get, serving

pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@pytest.mark.parametrize("size", [0, 1, 300_000, BUFFER_BYTES, 3_000_000])
@pytest.mark.parametrize("coded", [False, True])
def test_bodies_come_whole_over_one_connection_however_they_are_read(run, size, coded):
    body = os.urandom(size)
    pieces = [body[at : at + 99_999] for at in range(0, size, 99_999)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: y\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks if coded else OK % size + body

    async def script(_number, _head, writer):
        writer.write(answer)
        await writer.drain()

    async def main():
        async with serving(script) as (server, pool, url):
            assert (await get(pool, url)).body == body
            async with pool.request("GET", url, {}, uri="u") as response:
                streamed = [chunk async for chunk in pool.chunks(response, url=url, uri="u")]
            assert b"".join(streamed) == body
            assert max(map(len, streamed), default=0) <= BUFFER_BYTES
            for step in (100_000, 10**7):
                async with pool.request("GET", url, {}, uri="u") as response:
                    view, found = memoryview(bytearray(step)), b""
                    while count := await pool.read_into(response, view, url=url, uri="u"):
                        found += view[:count]
                        assert count == step or len(found) == size
                assert found == body
            assert server.connections == 1

    run(main())


def test_a_body_without_a_length_ends_with_its_connection(run):
    async def script(_number, _head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)
        await writer.drain()
        writer.write_eof()

    async def main():
        async with serving(script) as (server, pool, url):
            assert len((await get(pool, url)).body) == len((await get(pool, url)).body) == 1_000_000
            assert server.connections == 2

    run(main())


@pytest.mark.parametrize("reads", ["chunks", "into"])
def test_what_came_before_a_cut_is_given_before_the_error(run, reads):
    async def script(_number, _head, writer):
        writer.write(OK % 1_000_000 + b"x" * 700_001)
        await writer.drain()
        writer.write_eof()

    async def take(pool, url, came):
        async with pool.request("GET", url, {}, uri="u") as response:
            if reads == "chunks":
                async for chunk in pool.chunks(response, url=url, uri="u"):
                    came.append(len(chunk))
            view = memoryview(bytearray(900_000))
            while count := await pool.read_into(response, view, url=url, uri="u"):
                came.append(count)

    async def main():
        came = []
        async with serving(script) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match="ended early: 299,999 of 1,000,000 bytes are missing"):
                await take(pool, url, came)
        assert sum(came) == 700_001

    run(main())


def test_a_slow_reader_holds_the_server_back(run):
    sent, stuck = [], asyncio.Event()

    async def script(_number, _head, writer):
        writer.transport.set_write_buffer_limits(2**16)
        writer.write(OK % 2**28)
        for _ in range(2**28 // 2**18):
            sent.append(writer.write(bytes(2**18)))
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                stuck.set()
                return False
        return True

    async def main():
        async with serving(script) as (_server, pool, url), pool.request("GET", url, {}, uri="u") as response:
            await response.chunk(1)
            await asyncio.wait_for(stuck.wait(), 10)
            receiver = response._receiver
            assert receiver.waiting <= BUFFER_BYTES == len(receiver.buffer)
            assert len(sent) * 2**18 < 2**26  # the rest is the system's, in socket buffers

    run(main())


def test_silence_is_bounded_while_someone_waits_and_only_then(run):
    async def script(_number, _head, writer):
        writer.write(OK % 1_000_000 + b"x" * 600_000)
        await writer.drain()
        await writer.gone()

    async def take(pool, url, came):
        async with pool.request("GET", url, {}, uri="u") as response:
            came.append(len(await response.chunk()))
            await asyncio.sleep(0.3)  # the reader's own time
            came.append(0)
            async for chunk in pool.chunks(response, url=url, uri="u"):
                came.append(len(chunk))

    async def main():
        came = []
        async with serving(script, idle_timeout_s=0.1) as (_server, pool, url):
            with pytest.raises(BrokenBodyError, match=r"nothing came for 0.1 s"):
                await take(pool, url, came)
        assert (came[1], sum(came)) == (0, 600_000)

    run(main())


def test_tls_carries_bodies_of_every_size_and_a_stranger_is_not_trusted(run, tmp_path):
    certificate = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    body = os.urandom(2_000_000)

    async def script(_number, head, writer):
        size = int(head.split(b" ")[1].rpartition(b"/")[2])
        writer.write(OK % size + body[:size])
        await writer.drain()

    async def main():
        async with serving(script, tls=context, verify=str(certificate)) as (server, pool, url):
            for size in (0, 1000, 300_000, 2_000_000):
                assert (await get(pool, f"{url}/{size}")).body == body[:size]
                async with pool.request("GET", f"{url}/{size}", {}, uri="u") as response:
                    view = memoryview(bytearray(2_000_001))
                    assert await pool.read_into(response, view, url=url, uri="u") == size
                    assert view[:size] == body[:size]
            assert server.connections == 1
            stranger = HttpPool(HttpSettings(proxies={}))
            with pytest.raises(ConnectionFailedError, match="certificate is not trusted"):
                await get(stranger, f"{url}/0")
            await stranger.aclose()
            lost = HttpPool(HttpSettings(proxies={}, verify=str(tmp_path / "none")))
            with pytest.raises(OptionError, match="cannot be used"):
                await get(lost, f"{url}/0")

    run(main())


def test_what_cannot_be_reached_or_asked_for_is_said(run):
    async def main():
        pool = HttpPool(HttpSettings(proxies={}))
        with pytest.raises(ConnectionFailedError, match=r"^u: http://127.0.0.1:1: cannot connect: "):
            await get(pool, "http://127.0.0.1:1/x")
        with pytest.raises(ConnectionFailedError, match="the host is unknown"):
            await get(pool, "http://no-such-host.invalid/x")
        for url, headers in (("http://u:hush@127.0.0.1/x", {}), ("http://127.0.0.1/x", {"a": "b\r\nc: d"})):
            with pytest.raises(InvalidURIError) as caught:
                await pool.fetch("GET", url, headers, uri="u")
            assert "hush" not in str(caught.value)
        await pool.aclose()

    run(main())
