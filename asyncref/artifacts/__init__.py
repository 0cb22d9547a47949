"""The W&B-shaped face: Artifact, Run, init and Api. It tracks references and uploads nothing."""

from __future__ import annotations

from asyncref.artifacts.api import Api
from asyncref.artifacts.artifact import Artifact
from asyncref.artifacts.current import current_run, finish, init, log_artifact, use_artifact
from asyncref.artifacts.run import Run

__all__ = ["Api", "Artifact", "Run", "current_run", "finish", "init", "log_artifact", "use_artifact"]
