"""From source records to storage options: found again, and overridden by what the caller says."""

from __future__ import annotations

import pytest

from asyncref.backends import open_backend
from asyncref.engine.fetch.sources import merged, options_of
from asyncref.model import Source
from asyncref.uri import Reference

RECORDED = Source(
    uri="s3://b/p",
    scheme="s3",
    container="b",
    endpoint="http://storage.example:9000",
    region="eu-1",
    addressing="virtual",
    anon=True,
    requester_pays=True,
)


def test_a_record_names_everything_that_finds_the_place_again() -> None:
    assert options_of(RECORDED) == {
        "endpoint_url": "http://storage.example:9000",
        "region": "eu-1",
        "addressing_style": "virtual",
        "anon": True,
        "requester_pays": True,
    }
    assert options_of(Source(uri="s3://b/", scheme="s3", container="b")) == {}


@pytest.mark.parametrize("explicit", [{}, {"key": "k", "secret": "s"}])
def test_the_backend_knows_every_option_and_records_the_same_place(explicit: dict[str, str]) -> None:
    reference = Reference("s3", "b", "p")
    again = open_backend(reference, merged(RECORDED, explicit)).source(reference)
    assert (again.endpoint, again.region, again.addressing) == ("http://storage.example:9000", "eu-1", "virtual")
    assert again.anon is not bool(explicit)


def test_what_the_caller_says_wins_and_takes_what_does_not_hold_beside_it_away() -> None:
    assert merged(RECORDED, {"endpoint_url": "http://other"}) == {
        "endpoint_url": "http://other",
        "region": "eu-1",
        "anon": True,
        "requester_pays": True,
    }
    assert "anon" not in merged(RECORDED, {"profile": "p"})
    assert "region" not in merged(RECORDED, {"client_kwargs": {"region_name": "us-1"}})
    assert "endpoint_url" not in merged(RECORDED, {"client_kwargs": {"endpoint_url": "http://other"}})


def test_options_by_scheme_are_chosen_by_the_sources_scheme() -> None:
    explicit = {"s3": {"region": "us-1"}, "file": {}}
    assert merged(RECORDED, explicit)["region"] == "us-1"
    assert merged(Source(uri="file:///x", scheme="file"), explicit) == {}
