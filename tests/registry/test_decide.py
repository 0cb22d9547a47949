"""The rule for a new version, over every sequence of logs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asyncref.registry.decide import Content, decide

CONTENTS = st.builds(
    Content,
    digest=st.sampled_from(["d1", "d2"]),
    refs=st.sampled_from(["r1", "r2"]),
    identities=st.sampled_from(["i1", "i2", "i3"]).map(lambda identity: (identity,)),
)


def replay(logged: list[Content]) -> list[Content]:
    """The versions that a sequence of logs makes, each with its pins, newest first."""
    versions: list[Content] = []
    for candidate in logged:
        latest = versions[-1] if versions else None
        match decide(latest, candidate):
            case "new":
                versions.append(candidate)
            case "pins":
                assert latest is not None
                kept = tuple(identity for identity in latest.identities if identity not in candidate.identities)
                versions[-1] = Content(latest.digest, latest.refs, candidate.identities + kept)
            case "same":
                pass
    return versions


@given(CONTENTS)
def test_the_first_log_is_a_new_version(candidate: Content):
    assert decide(None, candidate) == "new"


@given(CONTENTS, CONTENTS)
def test_a_version_is_new_exactly_if_content_or_references_changed(latest: Content, candidate: Content):
    changed = (latest.digest, latest.refs) != (candidate.digest, candidate.refs)
    assert (decide(latest, candidate) == "new") == changed


@given(st.lists(CONTENTS), CONTENTS)
def test_logging_the_same_twice_changes_nothing(logged: list[Content], candidate: Content):
    once = replay([*logged, candidate])
    assert replay([*logged, candidate, candidate]) == once


@given(st.lists(CONTENTS, min_size=1))
def test_latest_always_has_what_was_logged_last_with_its_pins_first(logged: list[Content]):
    latest = replay(logged)[-1]
    assert (latest.digest, latest.refs, latest.identities[0]) == (
        logged[-1].digest,
        logged[-1].refs,
        logged[-1].identities[0],
    )


@given(st.lists(CONTENTS))
def test_two_versions_in_a_row_always_differ_and_no_pins_are_kept_twice(logged: list[Content]):
    versions = replay(logged)
    assert all((one.digest, one.refs) != (two.digest, two.refs) for one, two in pairwise(versions))
    assert all(len(set(version.identities)) == len(version.identities) for version in versions)
