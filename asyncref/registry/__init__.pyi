# The registry's names, typed: what `__init__.py` resolves on first use.

from asyncref.registry.records import Lineage as Lineage
from asyncref.registry.records import RunRecord as RunRecord
from asyncref.registry.records import Version as Version
from asyncref.registry.registry import Collection as Collection
from asyncref.registry.registry import Registry as Registry
