"""docs/storages.md and docs/limits.md show the limits and defaults that the code has, and every statement's source."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from asyncref.backends import azure, gcs, s3
from asyncref.backends.base import Traits
from asyncref.backends.file import FileBackend
from asyncref.backends.http import HttpBackend
from asyncref.backends.http.lists import UrlList
from asyncref.engine.fetch.plan import PART_BYTES
from asyncref.engine.flow import Lane, Meter
from asyncref.model import Limits

_DOCS = Path(__file__).parents[2] / "docs"
_TEXT, _LIMITS = ((_DOCS / name).read_text() for name in ("storages.md", "limits.md"))
_TRAITS = {
    "s3": s3.TRAITS,
    "gs": gcs.TRAITS,
    "az, abfs": azure.TRAITS,
    "http, https": HttpBackend.traits,
    "urls": UrlList.traits,
    "file": FileBackend.traits,
}


def _said(value):
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if value >= 2**20 and not value % 2**20:
            return f"{value >> 20} MiB"
        case int() | float():
            return f"{value:,g}" if value < 1e6 else f"{value:,.0f}"
        case None:
            return ""
    return f"{value.per_s:,g} a second, doubling in {value.doubling_s:,g} s"


def _meaning(owner, name):
    sentence = re.search(rf"^        {name}: (.*?)(?=^        \w+: |\Z)", owner.__doc__, re.MULTILINE | re.DOTALL)[1]
    return " ".join(sentence.split()).rstrip(".").replace("|", "/")


def _lines(rows):
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * (head.count(" | ") + 1) + "|", *rest])


def traits_table():
    rows = [["trait", *_TRAITS, "meaning"]]
    for one in fields(Traits):
        values = [_said(getattr(traits, one.name)) for traits in _TRAITS.values()]
        rows.append([f"`{one.name}`", *values, _meaning(Traits, one.name)])
    return _lines(rows)


def limits_table():
    rows = [["limit", "default", "meaning"]]
    rows += [[f"`{one.name}`", _said(one.default) or "none", _meaning(Limits, one.name)] for one in fields(Limits)]
    return _lines(rows)


@pytest.mark.parametrize(("name", "table"), [("traits", traits_table), ("limits", limits_table)])
def test_the_tables_of_limits_are_those_of_the_code(name, table):
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", _TEXT + _LIMITS, re.DOTALL)[1]
    assert shown == table(), f"between <!-- {name} --> and <!-- /{name} --> belongs:\n{table()}"


def test_every_value_of_the_statistics_is_explained():
    shown = Lane("list", limits=Limits(), meter=Meter("scan"), most=1).statistics()
    assert set(re.findall(r"^\| `(\w+)` \| [^|]*\|$", _LIMITS, re.MULTILINE)) == set(shown)


def test_the_defaults_in_words_are_those_of_the_code():
    assert {traits.concurrency for traits in _TRAITS.values()} == {64}
    assert _said(gcs.TRAITS.ramp) == "5,000 a second, doubling in 1,200 s"
    assert PART_BYTES == 16 * 2**20


def test_every_source_is_there_and_used():
    body, _, listed = _TEXT.partition("## Sources")
    assert {int(number) for number in re.findall(r"\[(\d+)\]", body)} == {
        int(number) for number in re.findall(r"^(\d+)\. ", listed, re.MULTILINE)
    }
