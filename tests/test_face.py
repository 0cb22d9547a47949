"""The face: light to import, sorted, and the same for a type checker as at run time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import asyncref


def test_the_face_is_sorted_and_every_name_resolves() -> None:
    names = [name for name in asyncref.__all__ if name != "run"]
    assert names == sorted(names)
    assert all(getattr(asyncref, name) is not None for name in names)


def test_the_stub_names_what_the_module_resolves() -> None:
    stub = ast.parse(Path(asyncref.__file__).with_suffix(".pyi").read_text())
    imported = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"run"} == set(asyncref.__all__)


def test_importing_asyncref_loads_no_storage_no_arrow_and_no_database() -> None:
    code = "import asyncref, sys; print(*sorted({'pyarrow', 'aiohttp', 'botocore', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_verb_that_asks_no_registry_loads_no_database_and_no_display() -> None:
    code = "import asyncref, sys; asyncref.fetch; asyncref.Manifest; print(*sorted({'sqlalchemy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(asyncref, "no_such_verb")
