"""What tests of backends, and of all that drives one, build on: a store in memory with faults, and the contract.

Needs pytest. The contract is for third-party backends, too: subclass `BackendContract`.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("contract", "place", "versions")))

from asyncref.testing.contract import BackendContract  # noqa: E402  asserts explain themselves only from here on
from asyncref.testing.memory import Faults, MemoryBackend, MemoryStore, mounted, open_memory  # noqa: E402
from asyncref.testing.place import NASTY_KEYS, Abilities, Place, body_of, listed  # noqa: E402
from asyncref.testing.versions import VersionContract  # noqa: E402

__all__ = [
    "NASTY_KEYS",
    "Abilities",
    "BackendContract",
    "Faults",
    "MemoryBackend",
    "MemoryStore",
    "Place",
    "VersionContract",
    "body_of",
    "listed",
    "mounted",
    "open_memory",
]
