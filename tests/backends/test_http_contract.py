"""The HTTP backend passes the contract on nginx (HTML, JSON, TLS), Apache, Caddy (JSON, HTML), lighttpd and http.server."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from asyncref.backends import open_backend
from asyncref.backends.base import Backend
from asyncref.backends.http.urls import escaped
from asyncref.testing import Abilities, BackendContract, Place
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
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def place(self, served: Path, bucket: str) -> Place:
        (served / bucket).mkdir()
        yield Served(served, f"{bucket}/")
        shutil.rmtree(served / bucket)

    @pytest.fixture
    async def backend(self, url: str) -> Backend:
        backend = open_backend(parse(f"{url}/"), self.options)
        yield backend
        await backend.aclose()

    @pytest.fixture
    async def lost_backend(self, url: str, place: Place) -> Backend:
        shutil.rmtree(place.folder / place.root)
        backend = open_backend(parse(f"{url}/"), self.options)
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


class TestApache(HttpContract):
    @pytest.fixture
    def url(self, apache):
        return apache.url


class TestCaddy(HttpContract):
    @pytest.fixture
    def url(self, caddy):
        return caddy.url


class TestCaddyInHtml(TestCaddy):
    options: ClassVar = {"headers": {"Accept": "text/html"}}


# lighttpd answers 400 to %09 and %0A (server.http-parseopts, url-ctrls-reject), and lists such names nevertheless.
class TestLighttpd(HttpContract):
    abilities = Abilities(
        lacks_keys=NO_FILES | {"tab\tline\nend"}, file_and_folder=False, encodings=False, listed_sizes=False
    )

    @pytest.fixture
    def url(self, lighttpd):
        return lighttpd.url
