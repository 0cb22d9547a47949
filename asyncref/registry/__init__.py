"""The registry: versions of artifacts by name, their aliases, and the runs that made and used them."""

from __future__ import annotations

from asyncref.registry.records import Lineage, RunRecord, Version
from asyncref.registry.registry import Collection, Registry

__all__ = ["Collection", "Lineage", "Registry", "RunRecord", "Version"]
