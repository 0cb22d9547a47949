"""Behind a proxy: an error names the server and never the URL, which may be signed."""

from __future__ import annotations

import traceback

import pytest

from asyncref.errors import AsyncrefError, BrokenBodyError, ConnectionFailedError, InvalidURIError
from asyncref.net.http import HttpPool
from asyncref.net.settings import HttpSettings
from tests.servers.proxy import Reset, Status

SIGNED = "container?sv=2024-11-04&sig=S3CR3T%2Fsignature"


async def asked_through(proxy, url):
    """The error of one request through a proxy with a password."""
    proxies = {scheme: proxy.endpoint.replace("//", "//user:pr0xypass@") for scheme in ("http", "https")}
    pool = HttpPool(HttpSettings(proxies=proxies))
    try:
        with pytest.raises(AsyncrefError) as caught:
            await pool.fetch("GET", url, {}, uri="az://container/")
    finally:
        await pool.aclose()
    return caught.value


@pytest.mark.parametrize(
    ("scheme", "fault", "expected", "words"),
    [
        ("http", Status(200, headers=(("a bad name\x01", "x"),)), BrokenBodyError, "the answer is not HTTP"),
        (
            "http",
            Status(200, b"no chunk", (("Transfer-Encoding", "chunked"),)),
            BrokenBodyError,
            "the answer is not HTTP",
        ),
        ("http", Reset(), ConnectionFailedError, "hung up without an answer"),
        ("https", Status(407), ConnectionFailedError, "the proxy refused: .*407.*NO_PROXY"),
        ("https", Status(200, headers=(("a bad name\x01", "x"),)), BrokenBodyError, "the answer is not HTTP"),
    ],
)
async def test_no_error_behind_a_proxy_shows_the_url_or_the_proxys_password(proxy_to, scheme, fault, expected, words):
    proxy = proxy_to("http://127.0.0.1:1")
    proxy.inject(fault, at=None)
    error = await asked_through(proxy, f"{scheme}://127.0.0.1:9/{SIGNED}")
    assert isinstance(error, expected)
    assert str(error).startswith(f"az://container/: {scheme}://127.0.0.1:9: ")
    with pytest.raises(type(error), match=words):
        raise error
    assert proxy.seen  # it was the proxy that was asked
    said = "".join(traceback.format_exception(error))
    assert "S3CR3T" not in said
    assert "pr0xypass" not in said


@pytest.mark.parametrize("password", ["pr0xy/pass", "pr0xy#pass", "pr0xy?pass"])
async def test_a_proxys_password_that_is_not_encoded_is_not_shown(password):
    pool = HttpPool(HttpSettings(proxies={"http": f"http://user:{password}@127.0.0.1:1"}))
    try:
        with pytest.raises(InvalidURIError, match="password of characters that have to be %-encoded") as caught:
            await pool.fetch("GET", "http://127.0.0.1:9/", {}, uri="s3://bucket/")
    finally:
        await pool.aclose()
    assert "pr0xy" not in "".join(traceback.format_exception(caught.value))
