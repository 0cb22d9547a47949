"""The wire over TLS, on both loops, against a server that is told each record: cuts, silence, certificates, and a thread that reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import socket
import ssl
import struct
import threading

import pytest
import uvloop

from asyncref.errors import BrokenBodyError, ConnectionFailedError
from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings
from asyncref.net.wire import tls
from benchmarks.store.certificate import write_certificate
from tests.servers.bytewise import OK, get

pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
BODY = os.urandom(3_000_000)
RESETS = struct.pack("ii", 1, 0)  # as SO_LINGER: a close throws away what is unsent and resets


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def context(request, certificate):
    """A server's, of either version."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.maximum_version = made.minimum_version = ssl.TLSVersion[request.param.replace(".", "_")]
    made.load_cert_chain(certificate)
    return made


@contextlib.contextmanager
def talking(script, context):
    """A server with a thread a connection, which has shaken hands before the script gets it; the port.

    With no context, scripts get the bare connection. What they raise is raised here.
    """
    listening = socket.create_server(("0.0.0.0", 0), backlog=100)
    failures, threads, held = queue.SimpleQueue(), [], []

    def talk(made):
        try:
            with made:
                if context is None:
                    script(made)
                    return
                with context.wrap_socket(made, server_side=True) as secured:
                    script(secured)
        except ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001  raised below
            failures.put(error)

    def listen():
        with contextlib.suppress(OSError):
            while True:
                held.append(listening.accept()[0])
                held[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threads.append(threading.Thread(target=talk, args=(held[-1],)))
                threads[-1].start()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in [listener, *threads]:
            thread.join()
    if not failures.empty():
        raise failures.get()


def asked(secured):
    """The head of a request."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = secured.recv(1)
        if not data:
            raise ConnectionResetError
        head += data
    return head


def hung_up(secured):
    """Wait until the client has."""
    with contextlib.suppress(OSError):
        while secured.recv(1000):
            pass


@contextlib.asynccontextmanager
async def pool_for(certificate, **settings):
    pool = HttpPool(HttpSettings(**{"proxies": {}, "verify": str(certificate), **settings}))
    try:
        yield pool
    finally:
        await pool.aclose()


@pytest.mark.parametrize("step", [1, 1000, 16_384, 20_001, 3_000_000])
def test_records_of_every_size_give_the_same_bytes(run, certificate, context, step):
    body = BODY[: step * 5000]

    def script(secured):
        for _ in range(2):
            asked(secured)
            secured.sendall(OK % len(body))
            for at in range(0, len(body), step):
                secured.sendall(body[at : at + step])
        hung_up(secured)

    async def main(port):
        url = f"https://localhost:{port}/x"
        async with pool_for(certificate) as pool:
            assert (await get(pool, url)).body == body
            async with pool.request("GET", url, {}, uri="u") as response:
                view, found = memoryview(bytearray(70_001)), b""
                while count := await pool.read_into(response, view, url=url, uri="u"):
                    found += view[:count]
            assert found == body

    with talking(script, context) as port:
        run(main(port))


def test_what_openssl_holds_is_read_though_the_socket_stays_silent(run, certificate, context):
    begun, read = threading.Event(), threading.Event()

    def script(secured):
        asked(secured)
        secured.sendall(OK % 1_000_000)
        assert begun.wait(10)
        secured.sendall(BODY[:16_000])  # one record
        assert read.wait(10)
        secured.sendall(BODY[16_000:1_000_000])
        hung_up(secured)

    async def main(port):
        url = f"https://127.0.0.1:{port}/x"
        view, found = memoryview(bytearray(1000)), b""
        async with pool_for(certificate) as pool, pool.request("GET", url, {}, uri="u") as response:
            begun.set()
            while count := await pool.read_into(response, view, url=url, uri="u"):
                found += view[:count]
                if len(found) == 16_000:
                    read.set()
        assert found == BODY[:1_000_000]

    with talking(script, context) as port:
        run(main(port))


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("ending", ["in order", "cut", "reset", "half"])
def test_only_an_end_that_was_said_ends_a_body(run, certificate, context, announced, ending):
    """Anybody on the way can close a connection: that is no end of a body whose length nobody said."""

    def script(secured):
        asked(secured)
        secured.sendall((OK % 900_000 if announced else b"HTTP/1.1 200 OK\r\n\r\n") + BODY[:800_000])
        if ending == "in order":
            with contextlib.suppress(OSError):
                secured.unwrap()
        elif ending == "half":
            secured.setblocking(False)
            with contextlib.suppress(ssl.SSLError):
                secured.unwrap()
            secured.setblocking(True)
            hung_up(secured)
        elif ending == "reset":
            secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)

    async def main(port):
        url = f"https://127.0.0.1:{port}/x"
        came = []
        async with pool_for(certificate) as pool, pool.request("GET", url, {}, uri="u") as response:
            try:
                async for chunk in pool.chunks(response, url=url, uri="u"):
                    came.append(chunk)  # noqa: PERF401  those before an error count
            except BrokenBodyError as error:
                return b"".join(came), str(error)
            return b"".join(came), None

    with talking(script, context) as port:
        found, error = run(main(port))
    assert found == BODY[: len(found)]
    if ending != "reset":
        assert len(found) == 800_000
    if announced or ending in ("cut", "reset"):
        assert "ended early" in error
    else:
        assert error is None


def test_a_reset_is_noticed_behind_what_one_turn_leaves(run, certificate, context, monkeypatch):
    """libuv tells but once of a connection that broke."""
    monkeypatch.setattr(tls, "_TURN_BYTES", 1000)
    begun, broken = threading.Event(), threading.Event()

    def script(secured):
        asked(secured)
        secured.sendall(OK % 900_000)
        assert begun.wait(10)
        secured.sendall(BODY[:30_000])
        secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
        secured.close()
        broken.set()

    async def main(port):
        url = f"https://127.0.0.1:{port}/x"
        async with pool_for(certificate, idle_timeout_s=1) as pool, pool.request("GET", url, {}, uri="u") as response:
            begun.set()
            assert broken.wait(10)
            with pytest.raises(BrokenBodyError, match="ended early"):
                await pool.read(response, url=url, uri="u")

    with talking(script, context) as port:
        run(main(port))


def test_a_kept_connection_that_was_closed_meanwhile_is_made_anew(run, certificate, context):
    closed = queue.SimpleQueue()

    def script(secured):
        asked(secured)
        secured.sendall(OK % 3 + b"abc")
        socket.socket.shutdown(secured, socket.SHUT_WR)
        hung_up(secured)
        closed.put(True)

    async def main(port):
        async with pool_for(certificate) as pool:
            for _ in range(3):
                assert (await get(pool, f"https://127.0.0.1:{port}/x")).body == b"abc"

    with talking(script, context) as port:
        run(main(port))
    assert closed.qsize() == 3


def test_a_request_longer_than_every_buffer_arrives_whole(run, certificate, context):
    sent = os.urandom(20_000_000)
    arrived = []

    def script(secured):
        asked(secured)
        found = bytearray()
        while len(found) < len(sent):
            found += secured.recv(100_000)
        arrived.append(found == sent)
        secured.sendall(OK % 2 + b"ok")
        hung_up(secured)

    async def main(port):
        async with pool_for(certificate) as pool:
            reply = await pool.fetch("POST", f"https://127.0.0.1:{port}/x", {}, uri="u", data=sent)
            assert reply.body == b"ok"

    with talking(script, context) as port:
        run(main(port))
    assert arrived == [True]


def test_many_at_once_do_not_mix(run, certificate, context):
    def script(secured):
        while True:
            number = int(asked(secured).split(b" ")[1].rpartition(b"/")[2])
            secured.sendall(OK % 300_000 + BODY[number : number + 300_000])

    async def main(port):
        async with pool_for(certificate, connections=40) as pool:
            replies = await asyncio.gather(*(get(pool, f"https://127.0.0.1:{port}/{at}") for at in range(120)))
        assert [reply.body == BODY[at : at + 300_000] for at, reply in enumerate(replies)] == [True] * 120

    with talking(script, context) as port:
        run(main(port))


def test_a_name_that_the_certificate_does_not_hold_is_not_trusted(run, certificate, context):
    def script(_secured):
        raise AssertionError("it shook hands")

    async def main(port):
        async with pool_for(certificate) as pool:
            with pytest.raises(ConnectionFailedError, match=r"certificate is not trusted.*127\.0\.0\.2"):
                await get(pool, f"https://127.0.0.2:{port}/x")
        async with pool_for(certificate, verify=True) as pool:
            with pytest.raises(ConnectionFailedError, match="certificate is not trusted"):
                await get(pool, f"https://127.0.0.1:{port}/x")

    def refused(bare):
        with pytest.raises((ssl.SSLError, ConnectionError)), context.wrap_socket(bare, server_side=True) as secured:
            secured.recv(1)

    with talking(refused, None) as port:
        run(main(port))


def test_a_handshake_that_nobody_answers_is_bounded(run, certificate):
    async def main(port):
        async with pool_for(certificate, connect_timeout_s=0.2) as pool:
            with pytest.raises(ConnectionFailedError, match=r"no connection within 0\.2 s"):
                await get(pool, f"https://127.0.0.1:{port}/x")

    with talking(hung_up, None) as port:
        run(main(port))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_who_does_not_speak_tls_is_a_failed_connection(run, certificate, said):
    def script(bare):
        bare.recv(1000)
        bare.sendall(said)

    async def main(port):
        async with pool_for(certificate) as pool:
            with pytest.raises(
                ConnectionFailedError, match="TLS failed" if said else "cannot connect: the server hung up"
            ):
                await get(pool, f"https://127.0.0.1:{port}/x")

    with talking(script, None) as port:
        run(main(port))


def test_a_server_may_ask_for_a_certificate(run, certificate, context):
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)

    def script(secured):
        asked(secured)
        secured.sendall(OK % 2 + b"ok")
        hung_up(secured)

    def maybe(bare):
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(bare, server_side=True) as secured:
            script(secured)

    async def main(port):
        async with pool_for(certificate, client_cert=str(certificate)) as pool:
            assert (await get(pool, f"https://127.0.0.1:{port}/x")).body == b"ok"
        async with pool_for(certificate) as pool:
            with pytest.raises(ConnectionFailedError):
                await get(pool, f"https://127.0.0.1:{port}/x")

    with talking(maybe, None) as port:
        run(main(port))


def test_a_thread_reads_in_the_loops_place_and_an_abort_wakes_it_before_the_descriptor_is_used_again(
    run, certificate, context
):
    def script(secured):
        asked(secured)
        secured.sendall(OK % 3_000_000)
        secured.sendall(BODY[:2_000_000])
        hung_up(secured)

    async def main(port):
        url = f"https://127.0.0.1:{port}/x"
        async with pool_for(certificate) as pool, pool.request("GET", url, {}, uri="u") as response:
            transport = response._connection._transport
            transport.pause_reading()
            lying = response._receiver.take()
            found, enough = bytearray(), asyncio.Event()
            secured, loop = transport.get_extra_info("ssl_socket"), asyncio.get_running_loop()

            def read():
                view = memoryview(bytearray(100_000))
                with secured.makefile("rb", buffering=0) as held:
                    while True:
                        try:
                            found.extend(view[: held.readinto(view)])
                        except ssl.SSLWantReadError:
                            if len(lying) + len(found) == 2_000_000:
                                loop.call_soon_threadsafe(enough.set)
                            select.select([secured], [], [], 10)
                        except OSError:
                            return os.fstat(secured.fileno()) is not None

            reading = asyncio.create_task(asyncio.to_thread(read))
            await enough.wait()
            transport.abort()
            assert await reading
            assert secured.fileno() < 0
            assert lying + found == BODY[:2_000_000]

    with talking(script, context) as port:
        run(main(port))


def test_a_loop_that_cannot_watch_sockets_has_its_own_tls(run, certificate, context, monkeypatch):
    """As Windows' own loop."""
    monkeypatch.setattr("asyncref.net.wire.dial.can_watch", lambda _: False)

    def script(secured):
        asked(secured)
        secured.sendall(OK % 1_000_000 + BODY[:1_000_000])
        hung_up(secured)

    async def main(port):
        async with pool_for(certificate) as pool:
            assert (await get(pool, f"https://127.0.0.1:{port}/x")).body == BODY[:1_000_000]
        assert tls.can_watch(asyncio.get_running_loop())

    with talking(script, context) as port:
        run(main(port))
