"""What tests of backends, and of all that drives one, build on: a store in memory with faults, and the contract.

Needs pytest for the contract only; `asyncref.testing.memory` needs nothing more than asyncref.
"""

from __future__ import annotations

from asyncref.testing.memory import Faults, MemoryBackend, MemoryStore, mounted, open_memory

__all__ = ["Faults", "MemoryBackend", "MemoryStore", "mounted", "open_memory"]
