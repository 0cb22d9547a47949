"""The tree of 2,000 files with the contract's names, as each storage holds it. Runs inside user-mode Linux, too: no client is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from asyncref.testing import NASTY_KEYS

# No path can stand for `a/../b`: tests/endtoend/test_contract_keys.
NAMES = tuple(name for name in NASTY_KEYS if name != "a/../b")
FOLDERS = 100
ESCAPED = {"a//b": "a/%2Fb", "x/": "x%2F"}
_LINE = "no name holds a line feed there"
_FILES = {"a//b": "no file system holds it", "x/": "no file system holds it"}
LACKS: dict[str, dict[str, str]] = {
    "moto": {"tab\tline\nend": "moto's own PUT answers 404"},
    "radosgw": {},
    "gcs": {"tab\tline\nend": _LINE},
    "azurite": {"back\\slash": "Azure takes a backslash for a slash"},
    "nginx": {".hidden": "its index leaves it out", **_FILES},
    "apache": _FILES,
    "caddy": _FILES,
    "lighttpd": {"tab\tline\nend": "it refuses %0A in a URL", **_FILES},
    "folder": _FILES,
    "nfs": _FILES,
}
"""What a storage cannot hold, with the reason."""


def whole_tree(storage: str) -> dict[str, bytes]:
    """What is put on a storage: all but for what it cannot hold."""
    names = [name for name in NAMES if name not in LACKS[storage]]
    keys = [f"{folder:02}/{name}" for folder in range(FOLDERS) for name in names]
    return {key: noise(hashlib.md5(key.encode()).digest()[0], key) for key in keys}


def as_files(objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """By the names that `escape=True` gives them."""
    named: dict[str, bytes] = {}
    for key, body in objects.items():
        folder, _, name = key.partition("/")
        named[f"{folder}/{ESCAPED.get(name, name.replace('%', '%25'))}"] = body
    return named


def noise(length: int, seed: str) -> bytes:
    """Bytes that differ everywhere, the same for the same arguments."""
    return hashlib.shake_128(seed.encode()).digest(length)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, temporaries and markers included."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
