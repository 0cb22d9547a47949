"""Names: what they may hold, and how a typed one is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncref.errors import InvalidNameError
from asyncref.registry import names
from asyncref.registry.names import Name

WORDS = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(WORDS, WORDS, WORDS, st.integers(0, 10**6))
def test_a_whole_name_is_read_back(entity: str, project: str, name: str, number: int):
    found = names.parse(f"{entity}/{project}/{name}:v{number}")
    assert found == Name(name, project, entity, f"v{number}")
    assert found.number == number


def test_a_bare_name_and_a_name_in_a_project_are_read():
    assert names.parse("mnist") == Name("mnist")
    assert names.parse("here/mnist:best") == Name("mnist", "here", None, "best")


@pytest.mark.parametrize(
    "text", ["", "a b", "mnist:", "a/b/c/d", "a//b", "../x", "..", ".", "x" * 129, "é", "a\n", ":v0"]
)
def test_what_cannot_be_a_name_is_refused_in_one_line(text: str):
    with pytest.raises(InvalidNameError) as caught:
        names.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("alias", ["v0", "v12", "a/b", "a:b", "", "a\tb"])
def test_reserved_and_malformed_aliases_are_refused(alias: str):
    with pytest.raises(InvalidNameError):
        names.check_aliases([alias])


def test_latest_among_the_aliases_is_left_to_the_registry_and_each_alias_counts_once():
    assert names.check_aliases(["best", "latest", "best", "v1b"]) == ("best", "v1b")
    assert names.check_aliases("best") == ("best",)
    assert names.check_aliases(None) == ()
