"""Answers that come byte by byte, or never end: pages and errors are given up, objects may take their time."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import uvloop

from asyncref.backends import open_backend
from asyncref.errors import BrokenBodyError, ProtocolError, ThrottledError
from asyncref.model import Limits, ListRequest
from asyncref.net import http
from asyncref.net.settings import HttpSettings
from asyncref.uri import parse
from tests.servers.bytewise import OK, get, serving

pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ERROR = b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n"


def dripping(begin, piece=b"x", most=10**9):
    """A script that sends a beginning and then a piece every 20 ms."""

    async def script(_number, _head, writer):
        writer.write(begin)
        for _ in range(most):
            if writer.is_closing():
                break
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    return script


def flooding(begin):
    """A script that sends a chunked body without an end."""

    async def script(_number, _head, writer):
        writer.write(begin)
        for _ in itertools.count():
            writer.write(b"10000\r\n" + bytes(2**16) + b"\r\n")
            await writer.drain()

    return script


@pytest.mark.parametrize(
    "script",
    [
        dripping(OK % 10**6),
        dripping(CHUNKED, b"1\r\nx\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nX: "),
        dripping(ERROR, b"1\r\nx\r\n"),
    ],
    ids=["length", "chunks", "head", "error"],
)
@pytest.mark.parametrize("by", ["wire", "proxy"])
def test_a_page_that_drips_is_given_up(run, script, by, request):
    if by == "proxy" and "head" in request.node.callspec.id:
        pytest.skip("aiohttp bounds a head by its bytes alone")

    async def main():
        async with serving(script, idle_timeout_s=0.3) as (_, _, url):
            pool = http.HttpPool(HttpSettings(proxies={"http": url} if by == "proxy" else {}, idle_timeout_s=0.3))
            with pytest.raises(BrokenBodyError, match=r"no more than \d+ bytes came in 0.3 s"):
                await asyncio.wait_for(get(pool, url), 30)
            await pool.aclose()

    run(main())


def test_the_body_of_an_object_may_drip_and_that_of_an_error_may_not(run):
    async def taken(pool, url):
        async with pool.request("GET", url, {}, uri="u") as response:
            if response.status == 404:
                return await pool.read_error(response, url=url, uri="u")
            return b"".join([chunk async for chunk in pool.chunks(response, url=url, uri="u")])

    async def main():
        async with serving(dripping(OK % 50, most=50), idle_timeout_s=0.2) as (_, pool, url):
            assert await taken(pool, url) == b"x" * 50
        script = dripping(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9999\r\n\r\n")
        async with serving(script, idle_timeout_s=0.2) as (_, pool, url):
            with pytest.raises(BrokenBodyError, match="no more than"):
                await asyncio.wait_for(taken(pool, url), 30)

    run(main())


def test_a_page_without_an_end_is_an_error_and_its_connection_dropped(run):
    async def main():
        async with serving(flooding(CHUNKED)) as (server, pool, url):
            with pytest.raises(ProtocolError, match="longer than 67,108,864 bytes"):
                await asyncio.wait_for(get(pool, url), 30)
            await asyncio.wait_for(server.all_closed.wait(), 30)

    run(main())


def test_an_index_that_drips_is_given_up(run):
    async def main():
        async with serving(dripping(CHUNKED, b"1\r\nx\r\n")) as (_, _, url):
            backend = open_backend(parse(url + "/"), {}, Limits(idle_timeout_s=0.3))
            with pytest.raises(BrokenBodyError, match="no more than"):
                await asyncio.wait_for(backend.list_page(ListRequest("x/")), 30)
            await backend.aclose()

    run(main())


def test_of_an_error_without_an_end_its_beginning_is_read(run):
    async def main():
        async with serving(flooding(ERROR)) as (server, _, url):
            options = {"endpoint_url": url.removesuffix("/x"), "key": "k", "secret": "s"}
            backend = open_backend(parse("s3://bucket/"), options, Limits())
            with pytest.raises(ThrottledError):
                await asyncio.wait_for(backend.list_page(ListRequest()), 30)
            await asyncio.wait_for(server.all_closed.wait(), 30)
            await backend.aclose()

    run(main())
