"""Flow: limits, retry and progress, wrapped around every request in one place."""

from __future__ import annotations

from asyncref.engine.flow.groups import one_error
from asyncref.engine.flow.lanes import Lanes, ramp_of
from asyncref.engine.flow.limits import Controller
from asyncref.engine.flow.progress import Meter, ProgressHook, Tally
from asyncref.engine.flow.retry import Lane

__all__ = ["Controller", "Lane", "Lanes", "Meter", "ProgressHook", "Tally", "one_error", "ramp_of"]
