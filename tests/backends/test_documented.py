"""The backend of docs/backends.md, as it stands there: it passes the contract, and its entry point is found."""

from __future__ import annotations

import re
import sys
import tomllib
import types
from pathlib import Path

import pytest

from asyncref import backends, fetch, scan
from asyncref.errors import UnknownSchemeError
from asyncref.uri import parse

_DOC = Path(__file__).parents[2] / "docs" / "backends.md"
_BACKEND, _TESTS = re.findall(r"^```python\n(.*?)^```", _DOC.read_text(), re.DOTALL | re.MULTILINE)
(_PROJECT,) = re.findall(r"^```toml\n(.*?)^```", _DOC.read_text(), re.DOTALL | re.MULTILINE)


def _module(name: str, code: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"{_DOC}:{name}", "exec"), module.__dict__)
    return module


shelf = _module("asyncref_shelf", _BACKEND)
TestShelf = _module("test_asyncref_shelf", _TESTS).TestShelf


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put packages with entry points where Python looks for them."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(package: str, points: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(points)

    return made


def _documented_points() -> str:
    groups = tomllib.loads(_PROJECT)["project"]["entry-points"]
    lines = [
        line for name, points in groups.items() for line in (f"[{name}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    return "\n".join(lines)


async def test_a_package_adds_a_scheme_that_every_verb_takes(install, tmp_path):
    install("asyncref_shelf", _documented_points())
    for number in range(30):
        shelf.put(tmp_path / "mine.db", f"images/{number:02}.png", b"%d" % number)
    assert "shelf" in backends.schemes()
    options = {"shelf": {"folder": str(tmp_path)}}
    manifest = await scan("shelf://mine/images", storage_options=options)
    assert len(manifest) == 30
    report = await fetch(manifest, tmp_path / "out", storage_options=options)
    assert (report.objects, report.unchecked) == (30, 0)
    assert (tmp_path / "out" / "07.png").read_bytes() == b"7"


def test_two_packages_with_one_scheme_are_both_named(install):
    install("one_shelf", "[asyncref.backends]\nshelf = one_shelf:open\n")
    install("other_shelf", "[asyncref.backends]\nshelf = other_shelf:open\n")
    with pytest.raises(UnknownSchemeError, match=r"one_shelf.*other_shelf|other_shelf.*one_shelf"):
        backends.opener("shelf")


def test_a_package_that_cannot_be_imported_is_named_when_its_scheme_is_asked_for(install):
    install("broken_shelf", "[asyncref.backends]\nshelf = no_such_module_here:open\n")
    assert "shelf" in backends.schemes()
    with pytest.raises(UnknownSchemeError, match=r"broken_shelf.*No module named 'no_such_module_here'"):
        backends.open_backend(parse("shelf://mine/"))


def test_a_built_in_scheme_cannot_be_replaced(install):
    install("bad_shelf", "[asyncref.backends]\ns3 = asyncref_shelf:open_shelf\n")
    assert backends.opener("s3").__module__ == "asyncref.backends.s3"
    assert backends.schemes().count("s3") == 1


def test_a_scheme_that_nobody_offers_is_an_error_that_lists_those_there_are():
    with pytest.raises(UnknownSchemeError, match=r"known are .*file.*s3.*asyncref.backends"):
        backends.opener("shelf")
