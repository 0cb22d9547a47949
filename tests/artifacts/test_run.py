"""Runs: the current one, and how each ends with its process."""

from __future__ import annotations

from pathlib import Path

import pytest

import asyncref
from asyncref.artifacts import Run
from asyncref.errors import InvalidNameError, NotOfferedError, UsageError
from asyncref.registry import Registry, RunRecord
from tests.artifacts import run_script, run_well


def recorded(folder: Path) -> list[RunRecord]:
    return Registry.open(f"sqlite:///{folder / 'home' / 'registry.db'}").runs()


def test_the_current_run_is_the_one_that_init_started_until_it_ends(home: Path):
    assert asyncref.run is None
    run = asyncref.init(project="mine", config={"lr": 1})
    assert asyncref.run is run
    assert asyncref.init(project="other") is run
    run.config.epochs = 3
    asyncref.finish()
    asyncref.finish()
    assert asyncref.run is None
    (record,) = recorded(home)
    assert (record.state, record.project, record.config) == ("finished", "mine", {"lr": 1, "epochs": 3})


def test_reinit_ends_the_current_run_or_starts_one_beside_it():
    first = asyncref.init()
    second = asyncref.init(reinit="finish_previous")
    beside = asyncref.init(reinit="create_new")
    assert (first.ended, second.ended) == (True, False)
    assert asyncref.run is second
    beside.finish()
    second.finish()


def test_a_run_that_has_ended_takes_no_more_artifacts():
    run = asyncref.init()
    run.finish()
    with pytest.raises(UsageError, match="has ended"):
        run.use_artifact("mnist")
    with pytest.raises(UsageError, match="no current run"):
        asyncref.use_artifact("mnist")


def test_an_exception_in_its_block_crashes_a_run(home: Path):
    with pytest.raises(ZeroDivisionError), asyncref.init():
        _ = 1 / 0
    assert [record.state for record in recorded(home)] == ["crashed"]


def test_settings_that_asyncref_does_not_have_are_refused_by_name(home: Path):
    with pytest.raises(NotOfferedError, match="mode, tags"):
        asyncref.init(tags=["a"], mode="offline", notes=None)
    with pytest.raises(InvalidNameError):
        asyncref.init(project="a/b")
    assert recorded(home) == []


def test_a_script_without_finish_ends_its_run_at_a_normal_exit(tmp_path: Path):
    run_well("import asyncref as wandb; run = wandb.init()", tmp_path)
    (record,) = recorded(tmp_path)
    assert record.state == "finished"
    assert record.ended is not None


def test_an_uncaught_exception_crashes_the_run_and_is_printed_as_ever(tmp_path: Path):
    done = run_script("import asyncref as wandb; wandb.init(); raise KeyError('mine')", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("KeyError: 'mine'")
    assert [record.state for record in recorded(tmp_path)] == ["crashed"]


def test_hooks_that_were_there_before_are_still_called(tmp_path: Path):
    done = run_script(
        """
        import sys
        sys.excepthook = lambda *_: print("theirs")
        import asyncref as wandb
        wandb.init()
        raise KeyError
        """,
        tmp_path,
    )
    assert done.stdout.split() == ["theirs"]
    assert [record.state for record in recorded(tmp_path)] == ["crashed"]


def test_an_uncaught_exception_in_a_thread_crashes_that_threads_run_only(tmp_path: Path):
    run_well(
        """
        import threading
        import asyncref as wandb
        wandb.init(name="main")
        def work():
            wandb.init(name="thread", reinit="create_new")
            raise KeyError
        thread = threading.Thread(target=work); thread.start(); thread.join()
        """,
        tmp_path,
    )
    assert {record.name: record.state for record in recorded(tmp_path)} == {"main": "finished", "thread": "crashed"}


def test_a_forked_child_leaves_its_parents_run_alone(tmp_path: Path):
    lines = run_well(
        """
        import os, sys
        import asyncref as wandb
        run = wandb.init()
        if (child := os.fork()) == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        print(wandb.Api().run(run.id).state)
        """,
        tmp_path,
    )
    assert lines == ["running"]
    assert [record.state for record in recorded(tmp_path)] == ["finished"]


def test_the_place_of_a_run_comes_from_the_environment():
    run = asyncref.init()
    assert (run.entity, run.project, run.path) == ("me", "here", f"me/here/{run.id}")
    run.finish()


def test_a_run_prints_as_what_it_is(run: Run):
    assert repr(run) == f"<Run me/here/{run.id}>"
