"""Loaders: a manifest's objects through memory, for training loops and services."""

from __future__ import annotations

from asyncref.loaders.ranges import Ranges
from asyncref.loaders.shelf import Item
from asyncref.loaders.stream import Stream, stream

__all__ = ["Item", "Ranges", "Stream", "stream"]
