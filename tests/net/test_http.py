"""The HTTP pool: trust, cut connections, bounds, and nothing taken from ~/.netrc."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from asyncref.errors import BrokenBodyError, ConnectionFailedError
from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings
from tests.servers import free_ports


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
async def serve():
    """Serves one handler, with TLS if a certificate is given; returns the base URL."""
    runners = []

    async def start(handler, certificate=None):
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        context = None
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
        (port,) = free_ports(1)
        await web.TCPSite(runners[-1], "127.0.0.1", port, ssl_context=context).start()
        return f"{'https' if certificate else 'http'}://127.0.0.1:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def pool_of():
    """Makes pools, and closes them after the test."""
    pools = []

    def make(**settings):
        pools.append(HttpPool(HttpSettings(**settings)))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.aclose()


async def hello(_request):
    return web.Response(body=b"hello")


async def test_a_certificate_is_trusted_by_file_by_folder_or_not_asked_for(serve, pool_of, certificate):
    url = await serve(hello, certificate)
    for verify in (str(certificate), False):
        assert (await pool_of(verify=verify).fetch("GET", f"{url}/x", {}, uri="s3://b/")).body == b"hello"
    with pytest.raises(ConnectionFailedError, match=r"certificate is not trusted.*AWS_CA_BUNDLE"):
        await pool_of().fetch("GET", f"{url}/x", {}, uri="s3://b/")


async def test_paths_and_queries_are_sent_as_they_stand(serve, pool_of):
    seen = []

    async def handler(request):
        seen.append(request.raw_path)
        return web.Response()

    url = await serve(handler)
    for path in ("/b/a/../c", "/b/%2E%2E/c", "/b//c", "/b/a%2Bb%20c?x=%2F&y=", "/b/%C3%A9~"):
        await pool_of().fetch("GET", url + path, {}, uri="u")
    assert seen == ["/b/a/../c", "/b/%2E%2E/c", "/b//c", "/b/a%2Bb%20c?x=%2F&y=", "/b/%C3%A9~"]


async def test_passwords_of_netrc_and_cookies_are_never_sent(serve, pool_of, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    seen = []

    async def handler(request):
        seen.append(dict(request.headers))
        response = web.Response()
        response.set_cookie("a", "b")
        return response

    url, pool = await serve(handler), pool_of()
    for _ in range(2):
        await pool.fetch("GET", url, {"x-mine": "1"}, uri="u")
    assert [sorted(headers) for headers in seen] == [["Accept-Encoding", "Host", "User-Agent", "x-mine"]] * 2


async def test_silence_before_and_within_an_answer_is_bounded(serve, pool_of):
    go_on = threading.Event()

    async def handler(request):
        response = web.StreamResponse(headers={"Content-Length": "10"})
        if request.path == "/within":
            await response.prepare(request)
            await response.write(b"12345")
        while not go_on.is_set():  # noqa: ASYNC110  ends with the test
            await asyncio.sleep(0.01)
        return response

    url, pool = await serve(handler), pool_of(idle_timeout_s=0.2)
    try:
        for path, words in (("/before", "nothing came for"), ("/within", r"no more than \d+ bytes came in")):
            with pytest.raises(BrokenBodyError, match=rf"{words} 0.2 s"):
                await pool.fetch("GET", url + path, {}, uri="u")
    finally:
        go_on.set()


async def test_no_connection_in_time_is_said(pool_of):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:  # Linux lets a full backlog's further connections wait
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(ConnectionFailedError, match=r"no connection within 0.2 s"):
            await pool_of(connect_timeout_s=0.2, idle_timeout_s=0.5).fetch(
                "GET", f"http://127.0.0.1:{port}", {}, uri="u"
            )
        for filler in fillers:
            filler.close()


async def test_what_is_not_http_is_a_broken_answer(pool_of):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-nothing here\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(BrokenBodyError, match="not HTTP"):
            await pool_of().fetch("GET", f"http://127.0.0.1:{server.getsockname()[1]}", {}, uri="u")


async def test_connections_are_kept_and_bounded(serve, pool_of):
    peers = set()

    async def handler(request):
        peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(0)
        return web.Response(body=b"x" * 1000)

    url, pool = await serve(handler), pool_of(connections=3)
    await asyncio.gather(*(pool.fetch("GET", url, {}, uri="u") for _ in range(30)))
    assert 1 <= len(peers) <= 3
