"""Hypothesis without deadlines: two busy cores say nothing about an algorithm."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
