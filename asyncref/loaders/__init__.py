"""Loaders: a manifest's objects through memory, for training loops and services."""

from __future__ import annotations

from asyncref.loaders.stream import Item, Stream, stream

__all__ = ["Item", "Stream", "stream"]
