"""The HTTP backend passes the contract on nginx (HTML, JSON, TLS), Apache, Caddy (JSON, HTML), lighttpd and http.server."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from asyncref.backends import open_backend
from asyncref.backends.base import Backend
from asyncref.backends.http.urls import escaped
from asyncref.model import ListRequest, ReadRequest
from asyncref.testing import Abilities, BackendContract, Place, body_of
from asyncref.testing.place import listed
from asyncref.uri import parse

NO_FILES = frozenset({"x/", "a//b", "a/../b"})


@dataclass
class Served:
    """Files written by the file system; their times follow from their bytes, as their ETags do from the times."""

    folder: Path
    root: str

    async def put(self, key: str, data: bytes, *, encoding: str | None = None) -> None:
        del encoding
        path = self.folder / unquote(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        time_s = 10**9 + int.from_bytes(hashlib.md5(data).digest()[:3], "big")
        os.utime(path, (time_s, time_s))

    async def delete(self, key: str) -> None:
        (self.folder / unquote(key)).unlink()


class HttpContract(BackendContract):
    abilities = Abilities(lacks_keys=NO_FILES, file_and_folder=False, encodings=False)

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def place(self, served: Path, bucket: str) -> Place:
        (served / bucket).mkdir()
        yield Served(served, f"{bucket}/")
        shutil.rmtree(served / bucket)

    @pytest.fixture
    async def backend(self, url: str, options: dict[str, Any]) -> Backend:
        backend = open_backend(parse(f"{url}/"), options)
        yield backend
        await backend.aclose()

    @pytest.fixture
    async def lost_backend(self, url: str, options: dict[str, Any], place: Place) -> Backend:
        shutil.rmtree(place.folder / place.root)
        backend = open_backend(parse(f"{url}/"), options)
        yield backend
        await backend.aclose()
        (place.folder / place.root).mkdir()

    def key_of(self, place: Place, name: str) -> str:
        return place.root + escaped(name)


class TestNginx(HttpContract):
    abilities = Abilities(lacks_keys=NO_FILES | {".hidden"}, file_and_folder=False, encodings=False)

    @pytest.fixture
    def url(self, nginx):
        return nginx.url


class TestNginxJson(TestNginx):
    @pytest.fixture
    def url(self, nginx):
        return nginx.json


class TestNginxTls(TestNginx):
    @pytest.fixture
    def url(self, nginx):
        return nginx.tls

    @pytest.fixture
    def options(self, nginx):
        return {"verify": str(nginx.authority.ca)}


class TestApache(HttpContract):
    @pytest.fixture
    def url(self, apache):
        return apache.url


class TestCaddy(HttpContract):
    @pytest.fixture
    def url(self, caddy):
        return caddy.url


class TestCaddyInHtml(TestCaddy):
    @pytest.fixture
    def options(self):
        return {"headers": {"Accept": "text/html"}}


# lighttpd answers 400 to %09 and %0A (server.http-parseopts, url-ctrls-reject), and lists such names nevertheless.
class TestLighttpd(HttpContract):
    abilities = Abilities(
        lacks_keys=NO_FILES | {"tab\tline\nend"}, file_and_folder=False, encodings=False, listed_sizes=False
    )

    @pytest.fixture
    def url(self, lighttpd):
        return lighttpd.url


class TestPythonHttp(HttpContract):
    """No ETags, no ranges: what the contract says of those is here what the backend makes of their absence."""

    abilities = Abilities(lacks_keys=NO_FILES, file_and_folder=False, encodings=False, listed_sizes=False)

    @pytest.fixture
    def url(self, python_http):
        return python_http.url

    async def test_a_listing_and_a_stat_pin_alike(self, place: Place, backend: Backend) -> None:
        key = f"{place.root}object"
        await place.put(key, b"bytes")
        (row,) = (await listed(backend, ListRequest(prefix=place.root))).rows.values()
        pin = await backend.stat(key)
        assert (row["etag"], row["size"], row["version"]) == (None, None, None)
        assert (pin.etag, pin.size, pin.digest) == (None, 5, None)

    async def test_other_bytes_have_another_pin_and_the_same_bytes_the_same(
        self, place: Place, backend: Backend
    ) -> None:
        key, pins = f"{place.root}object", []
        for data in (b"one", b"two", b"one"):
            await place.put(key, data)
            pins.append((await backend.stat(key)).version)
        assert pins[0] == pins[2] != pins[1]  # the Last-Modified, which `put` makes of the bytes

    @pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (3, 7)])
    async def test_a_ranged_read_gives_that_range_and_says_so(
        self, start: int, stop: int | None, place: Place, backend: Backend
    ) -> None:
        await place.put(f"{place.root}object", b"0123456789")
        answer, data = await body_of(backend, ReadRequest(f"{place.root}object", start=start, stop=stop))
        assert (answer.start, answer.stop, answer.total, data) == (0, 10, 10, b"0123456789")
