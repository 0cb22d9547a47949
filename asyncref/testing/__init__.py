"""What tests of backends, and of all that drives one, build on: a store in memory with faults, and the contract.

Needs pytest. The contract is for third-party backends, too: subclass `BackendContract`.
"""

from __future__ import annotations

from asyncref.testing.contract import BackendContract
from asyncref.testing.memory import Faults, MemoryBackend, MemoryStore, mounted, open_memory
from asyncref.testing.place import NASTY_KEYS, Abilities, Place, body_of, listed
from asyncref.testing.versions import VersionContract

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
