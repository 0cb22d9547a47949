"""The current run, as W&B has it: `init` starts it, and the module's own verbs mean it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from asyncref.artifacts.artifact import Artifact
from asyncref.artifacts.run import Run
from asyncref.errors import NotOfferedError, UsageError
from asyncref.registry import Registry

Reinit = bool | Literal["default", "return_previous", "finish_previous", "create_new"] | None

_current: Run | None = None


def init(
    *,
    project: str | None = None,
    entity: str | None = None,
    job_type: str | None = None,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    id: str | None = None,  # noqa: A002  W&B's word
    reinit: Reinit = None,
    registry: str | None = None,
    **others: object,
) -> Run:
    """Start a run, or give back the current one.

    Args:
        project: None: `WANDB_PROJECT`, the config file, or `uncategorized`.
        entity: None: `WANDB_ENTITY`, the config file, or the login name.
        job_type: Such as `train`.
        config: JSON values to keep with the run.
        name: For people.
        id: The run's id; None: eight random characters.
        reinit: While a run is open: `return_previous` gives it back, `finish_previous` (or True) ends it,
            `create_new` starts another beside it. Default: `return_previous`, and in a notebook `finish_previous`.
        registry: Another registry's URL.
        others: W&B's further settings (`notes`, `tags`, `group`, `mode`, ...): refused by name, unless None.

    Raises:
        NotOfferedError: A setting of W&B's that asyncref does not have.
        InvalidNameError: A project or entity name with characters that it may not have.
        RegistryUnavailableError: The registry cannot be opened or written.
    """
    global _current  # noqa: PLW0603  one current run a process, as W&B has it
    if refused := [key for key, value in others.items() if value is not None]:
        raise NotOfferedError(
            f"asyncref.init has no {', '.join(sorted(refused))}", hint="put what belongs to the run into config="
        )
    open_run = current_run()
    if open_run is not None and reinit != "create_new":
        if reinit in {True, "finish_previous"} or (reinit in {None, "default"} and _in_notebook()):
            open_run.finish()
        else:
            return open_run
    opened = Registry.open(registry)
    record = opened.start_run(project=project, entity=entity, name=name, job_type=job_type, config=config, run_id=id)
    run = Run(record, opened)
    if reinit != "create_new":
        _current = run
    return run


def current_run() -> Run | None:
    """W&B's `wandb.run`: the run that `init` started and that is still open; None if there is none."""
    return _current if _current is not None and not _current.ended else None


def finish(exit_code: int | None = None) -> None:
    """End the current run, if there is one."""
    if (run := current_run()) is not None:
        run.finish(exit_code)


def log_artifact(
    artifact_or_path: Artifact | str,
    name: str | None = None,
    type: str | None = None,  # noqa: A002
    aliases: Iterable[str] | str | None = None,
) -> Artifact:
    """`Run.log_artifact` of the current run.

    Raises:
        UsageError: There is no current run.
    """
    return _needed().log_artifact(artifact_or_path, name, type, aliases)


def use_artifact(
    artifact_or_name: Artifact | str,
    type: str | None = None,  # noqa: A002
    aliases: Iterable[str] | str | None = None,
) -> Artifact:
    """`Run.use_artifact` of the current run.

    Raises:
        UsageError: There is no current run.
    """
    return _needed().use_artifact(artifact_or_name, type, aliases)


def _needed() -> Run:
    run = current_run()
    if run is None:
        raise UsageError("there is no current run", hint="asyncref.init() starts one")
    return run


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
