"""Connections on both loops: kept, lost, left early, cancelled, taken in turn, and of another loop or process."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sys
import warnings

import pytest
import uvloop

from asyncref.errors import BrokenBodyError, ConnectionFailedError
from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings
from tests.servers.bytewise import OK, get, serving, whole

pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def test_a_kept_connection_that_died_is_replaced_once_and_only_if_nothing_came(run):
    async def script(number, head, writer):
        if b"/never" in head or (b"/once" in head and number == 1):
            return False
        if b"/cut" in head:
            writer.write(b"HTTP/1.1 2")
            await writer.drain()
            return False
        writer.write(OK % 1 + b"a")
        return True

    async def main():
        async with serving(script) as (server, pool, url):

            async def ask(path, method="GET"):
                before = len(server.requests)
                await get(pool, url)  # so that a kept connection is there
                try:
                    return (await pool.fetch(method, url + path, {}, uri="u")).body, len(server.requests) - before - 1
                except (BrokenBodyError, ConnectionFailedError) as error:
                    return type(error), str(error).rpartition(": ")[2], len(server.requests) - before - 1

            assert await ask("/once") == (b"a", 2)
            assert await ask("/never") == (ConnectionFailedError, "the server hung up without an answer", 2)
            assert await ask("/never", "POST") == (ConnectionFailedError, "the server hung up without an answer", 1)
            assert await ask("/cut") == (BrokenBodyError, "within the head", 1)

    run(main())


def test_a_connection_that_the_server_closes_or_speaks_on_while_it_is_idle_is_not_used_again(run):
    told, speak, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def script(number, _head, writer):
        writer.write(OK % 1 + b"a")
        await writer.drain()
        if number == 1:
            return False
        if number == 2:
            told.set()
            await speak.wait()
            writer.write(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            gone.set()
        return True

    async def main():
        async with serving(script) as (server, pool, url):
            await get(pool, url)
            await server.all_closed.wait()
            await get(pool, url)
            await told.wait()
            speak.set()
            await gone.wait()
            await server.all_closed.wait()
            reply = await get(pool, url)
            assert (reply.status, reply.body, server.connections, len(server.requests)) == (200, b"a", 3, 3)

    run(main())


def test_bytes_behind_a_body_end_the_connection_and_are_no_answer_to_the_next_request(run):
    async def script(_number, _head, writer):
        writer.write(OK % 1 + b"a" + OK % 6 + b"forged")

    async def main():
        async with serving(script) as (server, pool, url):
            assert [(await get(pool, url)).body for _ in range(3)] == [b"a"] * 3
            assert server.connections == 3

    run(main())


def test_a_cancelled_request_leaves_neither_connection_nor_slot_behind(run):
    asked = asyncio.Semaphore(0)

    async def script(_number, head, writer):
        if b"/slow" in head:
            writer.write(OK % 1_000_000 + b"x" * 600_000 if b"/body" in head else b"HTTP/1.1 200")
            await writer.drain()
            asked.release()
            await writer.gone()
        writer.write(OK % 1 + b"a")

    async def into(pool, url):
        async with pool.request("GET", url, {}, uri="u") as response:
            await pool.read_into(response, memoryview(bytearray(2_000_000)), url=url, uri="u")

    async def main():
        async with serving(script, connections=2) as (_server, pool, url):
            for path, act in (("/slow", get), ("/slow/body", get), ("/slow/body", into)):
                tasks = [asyncio.create_task(act(pool, url + path)) for _ in range(5)]
                for _ in range(2):
                    await asked.acquire()
                tasks[2].cancel()  # still waits for its turn
                for task in tasks[:2]:
                    task.cancel()
                for _ in range(2):  # the last two have got theirs
                    await asked.acquire()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() for task in tasks)
                assert (await asyncio.gather(*(get(pool, url) for _ in range(4))))[3].body == b"a"
            assert pool._here.wire._free == 2
            assert len(pool._here.wire._all) <= 2

    run(main())


def test_turns_are_taken_in_order(run):
    async def script(_number, head, writer):
        order.append(head.split(b" ")[1])
        writer.write(OK % 1 + b"a")

    order = []

    async def main():
        async with serving(script, connections=1) as (server, pool, url):
            await asyncio.gather(*(get(pool, f"{url}{number}") for number in range(20)))
            assert order == [b"/x%d" % number for number in range(20)]
            assert server.connections == 1

    run(main())


def test_an_answer_left_early_costs_its_connection_and_cannot_be_read_any_more(run):
    async def main():
        async with serving(whole(b"x" * 3_000_000)) as (server, pool, url):
            async with pool.request("GET", url, {}, uri="u") as response:
                await response.chunk()
            response.close()
            for read in (response.chunk(), response.read_into(memoryview(bytearray(1)))):
                with pytest.raises(RuntimeError, match="was left"):
                    await read
            assert len((await get(pool, url)).body) == 3_000_000
            assert server.connections == 2
        async with serving(whole(b"x" * 300_000)) as (server, pool, url):
            for _ in range(3):
                async with pool.request("GET", url, {}, uri="u") as response:
                    assert response.status == 200  # all of it has come, so nothing is lost
            assert server.connections == 1

    run(main())


def test_idle_connections_are_closed_in_time_and_at_the_end(run):
    async def main():
        async with serving(whole(b"a"), keepalive_s=0.05) as (server, pool, url):
            await asyncio.gather(*(get(pool, url) for _ in range(4)))
            await asyncio.wait_for(server.all_closed.wait(), 10)
            assert not pool._here.wire._all
            assert (await get(pool, url)).body == b"a"
            await pool.aclose()
            await pool.aclose()
            assert (await get(pool, url)).body == b"a"

    run(main())


def test_a_pool_serves_one_loop_after_another_and_a_fork(run):
    pool = HttpPool(HttpSettings(proxies={}))
    held = []

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK % 1 + b"a")
        held.append(writer)  # open as long as the loop

    async def once(close):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        found = await get(pool, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        if close:
            await pool.aclose()
        server.close()
        return found.body

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what another loop left open is dropped
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on a fork beside threads
        assert [run(once(close)) for close in (True, False, False)] == [b"a"] * 3
        child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(run(once(True)) != b"a"))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        held.clear()
        pool._here = None
        gc.collect()
