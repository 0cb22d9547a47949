"""Framing, without sockets: whatever the cuts between reads, the same bytes give the same answer, or the same refusal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.net.wire.faults import MalformedError
from asyncref.net.wire.head import HEAD_BYTES, parse_head
from asyncref.net.wire.origin import origin_of, split_url
from asyncref.net.wire.receiver import Receiver
from asyncref.net.wire.request import request_of

BUFFER = 2 * HEAD_BYTES
BODIES = st.one_of(
    st.binary(max_size=300), st.integers(BUFFER - 500, 3 * BUFFER).map(lambda size: b"0123456789" * (size // 10))
)
CUTS = st.lists(st.integers(1, 2 * BUFFER), min_size=1, max_size=20)
TINY = st.lists(st.integers(1, 7), min_size=1, max_size=20)


def read(stream: bytes, cuts: list[int], *, into: int = 0, bodyless: bool = False) -> tuple:
    """An answer read as the transport and a reader would: its status, body, end and extra bytes.

    Args:
        stream: All that the server sends before it closes.
        cuts: Lengths of its reads, over and over.
        into: Length of the reader's own buffers; 0: it takes bytes.
        bodyless: Whether a HEAD is answered.
    """
    receiver = Receiver(memoryview(bytearray(BUFFER)), bodyless=bodyless)
    body, at, turn = b"", 0, 0
    target = memoryview(bytearray(max(into, 1)))
    aimed = False
    while at < len(stream) and not receiver.has_extra:
        if receiver.is_full or (receiver.head and not aimed and receiver.waiting and turn % 3 == 0):
            if into:
                body += bytes(target[: receiver.take_into(target)])
            else:
                body += receiver.take()
            turn += 1
            continue
        if into and receiver.can_aim and receiver.head and not aimed:
            receiver.aim(target)
            aimed = True
        space = receiver.space()
        assert len(space)
        count = min(cuts[turn % len(cuts)], len(space), len(stream) - at)
        space[:count] = stream[at : at + count]
        at, turn = at + count, turn + 1
        if receiver.received(count) and aimed:
            body += bytes(target[: receiver.disarm()])
            aimed = False
    if aimed:
        body += bytes(target[: receiver.disarm()])
    receiver.ended()
    body += receiver.take() if receiver.head else b""
    return receiver.head and receiver.head.status, body, receiver.is_complete, receiver.has_extra


def chunked(body: bytes, sizes: list[int], *, trailer: bytes = b"", extension: bytes = b"") -> bytes:
    """A body in chunks of these sizes, over and over."""
    parts, at, turn = [], 0, 0
    while at < len(body):
        piece = body[at : at + sizes[turn % len(sizes)]]
        parts.append(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece))
        at, turn = at + len(piece), turn + 1
    return b"".join([*parts, b"0\r\n", trailer, b"\r\n"])


@settings(max_examples=60, deadline=None)
@given(body=BODIES, cuts=CUTS, into=st.sampled_from([0, 1000, BUFFER]))
def test_a_body_of_announced_length_is_read_the_same_in_any_pieces(body, cuts, into):
    stream = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nA: b\r\n\r\n%b" % (len(body), body)
    assert read(stream, cuts, into=into) == (200, body, True, False)
    assert read(stream[:-1], cuts, into=into)[1:] == ((body[:-1], False, False) if body else (b"", False, False))
    assert read(stream + b"x", cuts, into=into) == (200, body, True, True)


@settings(max_examples=60, deadline=None)
@given(
    body=BODIES,
    cuts=CUTS,
    sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=5),
    into=st.sampled_from([0, 1000]),
)
def test_a_chunked_body_is_read_the_same_in_any_pieces(body, cuts, sizes, into):
    sizes = [max(size, len(body) // 500) for size in sizes]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    stream = head + chunked(body, sizes, trailer=b"X-Sum: 1\r\nY: z\r\n", extension=b" ;a=b")
    assert read(stream, cuts, into=into) == (200, body, True, False)
    assert read(stream[:-1], cuts, into=into) == (200, body, False, False)
    assert read(stream + b"x", cuts, into=into) == (200, body, True, True)


@given(body=st.binary(max_size=60), cuts=TINY, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_every_byte_may_come_alone(body, cuts, sizes):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    plain = b"HTTP/1.0 404 Not Found\r\nServer:x\r\n\r\n" + body
    coded = b"HTTP/1.1 206 \r\ntransfer-encoding: chunked\r\n\r\n" + chunked(body, sizes)
    for stream, status in ((plain, 404), (coded, 206)):
        for step in (cuts, [1]):
            assert read(interim + stream, step) == (status, body, True, False)


@given(data=st.data(), cuts=TINY)
def test_damage_never_gives_another_body(data, cuts):
    body = b"0123456789" * 3
    stream = bytearray(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, [7]))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] = data.draw(st.integers(0, 255))
    outcomes = []
    for step in (cuts, [1], [len(stream)]):
        try:
            outcomes.append(read(bytes(stream), step))
        except MalformedError:
            outcomes.append("refused")
    if "refused" in outcomes:
        assert outcomes == ["refused"] * 3
    else:
        assert len({outcome[:3] for outcome in outcomes}) == 1


@pytest.mark.parametrize(
    "head",
    [
        "SSH-2.0-x",
        "HTTP/2 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1 200 OK\r\nno colon",
        "HTTP/1.1 200 OK\r\nETag",
        "HTTP/1.1 200 OK\r\n: nameless",
        "HTTP/1.1 200 OK\r\nA b: c",
        "HTTP/1.1 200 OK\r\nETag : x",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded",
        "HTTP/1.1 200 OK\r\nA: b\nC: d",
        "HTTP/1.1 200 OK\r\nA: b\rC: d",
        "HTTP/1.1 200 OK\r\nA: b\0c",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5",
        "HTTP/1.1 200 OK\r\nContent-Length: -5",
        "HTTP/1.1 200 OK\r\nContent-Length: +5",
        "HTTP/1.1 200 OK\r\nContent-Length: \u0665",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999",
        "HTTP/1.1 200 OK\r\nContent-Length:",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x",
        "HTTP/1.1 200 OK\r\nA: " + "b" * HEAD_BYTES,
        "HTTP/1.1 200 OK\nA: b\n\n",
    ],
)
def test_a_head_that_two_readers_may_read_in_two_ways_is_refused(head):
    for cuts in ([1], [1000], [BUFFER]):
        with pytest.raises(MalformedError):
            read(head.encode() + b"\r\n\r\n", cuts)


@pytest.mark.parametrize(
    "body", [b"5\r\nhelloX\r\n0\r\n\r\n", b"5 x\r\nhello\r\n", b"\r\n", b"-1\r\n", b"0x5\r\n", b"5\nhello\r\n", b"1" * 17 + b"\r\n", b"0;" + b"a" * 5000, b"0\r\n" + b"A: b\r\n" * 3000]
)  # fmt: skip
def test_chunks_that_are_not_exact_are_refused(body):
    for cuts in ([1], [1000]):
        with pytest.raises(MalformedError):
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, cuts)


@pytest.mark.parametrize(("status", "bodyless"), [(204, False), (304, False), (200, True)])
def test_answers_without_a_body_end_with_their_head(status, bodyless):
    for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked", b"A: b"):
        stream = b"HTTP/1.1 %d x\r\n%b\r\n\r\n" % (status, framing)
        assert read(stream, [9], bodyless=bodyless) == (status, b"", True, False)


def test_endless_interim_answers_are_refused():
    with pytest.raises(MalformedError, match="status 100"):
        read(b"HTTP/1.1 100 Continue\r\n\r\n" * 20, [100])


def test_headers_are_found_in_any_case_and_repeated_ones_by_getall():
    head = parse_head(
        b'HTTP/1.1 200 OK\r\nETag:  "a" \r\nX-Goog-Hash: crc32c=a\r\nx-goog-hash: md5=b\r\nEmpty:\r\nOdd: \xff'
    )
    headers = head.headers
    assert (headers["etag"], headers.get("ETAG"), headers.get("none", "-"), headers["empty"]) == ('"a"', '"a"', "-", "")
    assert headers.getall("X-Goog-Hash") == ["crc32c=a", "md5=b"]
    assert headers.getall("none", ()) == []
    assert headers["odd"].encode("utf-8", "surrogateescape") == b"\xff"
    assert "Etag" in headers
    assert list(headers) == ["etag", "x-goog-hash", "empty", "odd"]


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive", True),
        (b"HTTP/1.1 200 OK", False),
    ],
)
def test_a_connection_is_kept_as_the_answer_says(head, keeps):
    assert parse_head(head).keeps is keeps


def test_a_url_is_cut_and_not_changed():
    assert split_url("http://h/a/../b?x=/#f") == ("http://h", "/a/../b?x=/")
    assert split_url("http://h") == ("http://h", "/")
    assert split_url("http://h:1?x=/y") == ("http://h:1", "/?x=/y")
    assert split_url("http://h#f/") == ("http://h", "/")
    origin = origin_of("https://[::1]:8443")
    assert (origin.host, origin.port, origin.said, origin.is_tls) == ("::1", 8443, "[::1]:8443", True)
    assert origin_of("http://Bücher.example:80").said == "xn--bcher-kva.example"
    for bad in ("ftp://h", "http://", "http://u:p@h", "http://h:x"):
        with pytest.raises(ValueError, match=r".+"):
            origin_of(bad)


def test_a_request_cannot_be_ended_early_by_what_stands_in_it():
    assert request_of("GET", "/a", "h", {"x-a": "b"}, user_agent="u") == (
        b"GET /a HTTP/1.1\r\nHost: h\r\nx-a: b\r\nUser-Agent: u\r\nAccept-Encoding: identity\r\n\r\n"
    )
    given = {"HOST": "o", "user-agent": "v", "Accept-Encoding": "gzip"}
    assert request_of("POST", "/", "h", given, user_agent="u", data=b"xy").endswith(
        b"\r\nHOST: o\r\nuser-agent: v\r\nAccept-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxy"
    )
    for target, headers in (
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("/", {"a": "b\r\nc: d"}),
        ("/", {"a": "b\nc"}),
        ("/", {"a": "\0"}),
    ):
        with pytest.raises(ValueError, match="in a"):
            request_of("GET", target, "h", headers, user_agent="u")
