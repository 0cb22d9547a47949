"""What a temporary and its journal say after any sequence of runs, each killed anywhere: never bytes of another version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncref.engine.fetch.plan import Parts
from asyncref.engine.fetch.target import Target
from asyncref.engine.fetch.temporary import Temporary
from asyncref.errors import FetchError
from asyncref.model import Pin

SIZE = 40
PARTS = Parts(SIZE, 16)  # three
CALLS = ("open", "unlink", "replace", "rename", "link", "ftruncate", "pwrite", "write")
RUN = st.tuples(
    st.sampled_from(["a", "b", "cached"]),  # whose bytes
    st.lists(st.integers(0, 2), max_size=3),  # parts that come
    st.sampled_from(["finish", "discard", "leave"]),
    st.integers(1, 16),  # the system call at which it is killed, if it comes to that
    st.sampled_from(["", "", "", ".part", ".journal"]),  # what its owner removes before it
)


class KilledError(BaseException):
    """Not one call more."""


@contextmanager
def killed_at(call: int) -> Iterator[None]:
    """From this call on nothing reaches the disk, as of a process that is no more."""
    real = {name: getattr(os, name) for name in CALLS}
    left = call

    def patched(name: str) -> Any:
        def make(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise KilledError
            return real[name](*args, **options)

        return make

    with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
        for name in CALLS:
            patch.setattr(os, name, patched(name))
        yield


def opened(target: Target, version: str) -> Temporary:
    pin = Pin(size=SIZE, etag=f'"{version}-3"')
    return target.open("x", SIZE, ("s3://b/x", pin, PARTS)) if version != "cached" else target.open("x", 0)


def check(temporary: Temporary, version: str) -> None:
    if temporary.journal is not None:
        for number in temporary.journal.done:
            start, stop = PARTS[number].start, PARTS[number].stop or 0
            assert os.pread(temporary.fd, stop - start, start) == version.encode() * (stop - start)


def run(target: Target, version: str, parts: list[int], end: str) -> Iterator[Temporary]:
    """One fetch of one object, as far as the folder sees it."""
    temporary = opened(target, version)
    yield temporary
    check(temporary, version)
    if version == "cached":
        os.pwrite(temporary.fd, b"c" * SIZE, 0)
    for number in parts if temporary.journal else []:
        start, stop = PARTS[number].start, PARTS[number].stop or 0
        os.pwrite(temporary.fd, version.encode() * (stop - start), start)
        assert temporary.journal is not None
        temporary.journal.note(PARTS[number])
    if end == "finish":
        temporary.finish(keep=False, fsync=False)
    else:
        getattr(temporary, end)()


@settings(deadline=None)
@given(runs=st.lists(RUN, min_size=1, max_size=6))
@example(runs=[("a", [0, 1], "leave", 99, ""), ("b", [], "leave", 6, "")])
@example(runs=[("a", [0, 1], "leave", 99, ""), ("a", [], "leave", 6, ".part")])
@example(runs=[("a", [0, 1], "leave", 99, ""), ("cached", [], "finish", 4, "")])
@example(runs=[("a", [0, 1], "discard", 7, ""), ("a", [], "leave", 6, "")])
def test_what_the_journal_names_is_what_lies_there(
    runs: list[tuple[str, list[int], str, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("t")
    target = Target(folder)
    for version, parts, end, call, removed in [*runs, ("a", [], "leave", 99, ""), ("b", [], "leave", 99, "")]:
        for path in folder.glob(f"*{removed}") if removed else []:
            path.unlink()
        held: list[Temporary] = []
        with killed_at(call):
            held.extend(run(target, version, parts, end))
        for temporary in held:
            _let_go(temporary)


def _let_go(temporary: Temporary) -> None:
    """The system closes what a killed process held."""
    if temporary.journal is not None:
        temporary.journal.close()
    if temporary.fd >= 0:
        os.close(temporary.fd)


def test_a_copied_journal_says_nothing_of_another_file(tmp_path: Path) -> None:
    target = Target(tmp_path)
    first = opened(target, "a")
    assert first.journal is not None
    os.pwrite(first.fd, b"a" * 16, 0)
    first.journal.note(PARTS[0])
    first.leave()
    (part,) = tmp_path.glob("*.part")
    copy = tmp_path / "copy"
    copy.write_bytes(b"x" * SIZE)
    copy.replace(part)
    again = opened(target, "a")
    assert again.journal is not None
    assert again.journal.done == set()
    again.discard()


def test_a_locked_temporary_keeps_its_journal(tmp_path: Path) -> None:
    target = Target(tmp_path)
    first = opened(target, "a")
    assert first.journal is not None
    os.pwrite(first.fd, b"a" * 16, 0)
    first.journal.note(PARTS[0])
    for version in ("b", "cached"):
        with pytest.raises(FetchError, match="another fetch"):
            opened(target, version)
    first.leave()
    again = opened(target, "a")
    assert again.journal is not None
    assert again.journal.done == {0}
    again.discard()
