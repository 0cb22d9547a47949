"""Pages of the JSON API: read by offsets as they are read as JSON, and refused where they are no whole page."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.gcs import spans
from asyncref.backends.gcs.page import OddPageError, read
from asyncref.backends.gcs.spans import find
from asyncref.model import PAGE_SCHEMA

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12) | st.sampled_from(
    ["},{", "]", "[", '"', "\\", '"items":[', "a:b,c", "\u2028", "\U0001f600", "é/ ", "items"]
)
MD5S = st.binary(min_size=16, max_size=16).map(lambda raw: base64.b64encode(raw).decode())
ITEMS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "generation": st.integers(1, 2**63 - 1).map(str),
        "size": st.integers(0, 2**62).map(str),
        "etag": st.text("ABCxyz019+/=", min_size=1, max_size=20) | st.just('"' + "0a" * 16 + '"'),
        "timeCreated": st.sampled_from(["2024-05-06T07:08:09.123Z", "2024-05-06T07:08:09.123456Z"]),
    },
    optional={"md5Hash": MD5S, "crc32c": st.just("8Pe/OQ==")},
)
ALIKE = st.lists(
    ITEMS.map(lambda item: {"md5Hash": "6hvP+C1SV9738HgmIt2Q6A==", "crc32c": "8Pe/OQ==", **item}), max_size=5
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (",\n  ", ": ")])


@pytest.fixture(params=["compiled", "numpy"], autouse=True, scope="module")
def way(request):
    """Everything here holds with the extension and without it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(spans, "_entries", None)
        yield request.param


def rows_of(items):
    return [
        (
            item["name"],
            int(item["size"]),
            item["generation"],
            item["etag"],
            base64.b64decode(item["md5Hash"]) if "md5Hash" in item else None,
            "crc32c:f0f7bf39" if "md5Hash" not in item and "crc32c" in item else None,
        )
        for item in items
    ]


def rows_in(batch):
    batch.validate(full=True)
    assert batch.schema.equals(PAGE_SCHEMA)
    return [
        (
            row["key"],
            row["size"],
            row["version"],
            row["etag"] if row["etag16"] is None else f'"{row["etag16"].hex()}"',
            row["md5"],
            row["checksum"],
        )
        for row in batch.to_pylist()
    ]


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(ITEMS, max_size=5) | ALIKE,
    token=st.none() | st.sampled_from(["abc=", "]"]),
    spaces=SPACES,
    after=st.booleans(),
)
def test_a_page_gives_every_row_whatever_its_names_and_spaces(items, token, spaces, after):
    said = {"nextPageToken": token} if token else {}
    page = {"kind": "storage#objects", "items": items, **said} if after else {**said, "items": items}
    rows = read(json.dumps(page, ensure_ascii=False, separators=spaces).encode())
    assert rows.token == token
    assert rows_in(rows.batch) == rows_of(items)


@settings(max_examples=60, deadline=None)
@given(items=ALIKE.filter(bool))
def test_alike_items_are_found_by_their_offsets(items):
    body = json.dumps({"items": items}, ensure_ascii=False, separators=(",", ":")).encode()
    found = find(body)
    assert (found is None) == (b"\\" in body or len({tuple(item) for item in items}) > 1)
    if found is not None:
        starts, ends = found.fields[b"name"]
        names = [body[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        assert names == [item["name"] for item in items]


@settings(max_examples=60, deadline=None)
@given(items=ALIKE, at=st.floats(0, 1, exclude_max=True))
def test_a_page_cut_anywhere_is_no_page(items, at):
    body = json.dumps({"items": items}, ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(OddPageError):
        read(body[: int(at * len(body))])


WHOLE = {
    "name": "a",
    "generation": "1",
    "size": "2",
    "etag": "E",
    "timeCreated": "2024-05-06T07:08:09.123Z",
    "md5Hash": "6hvP+C1SV9738HgmIt2Q6A==",
}


@pytest.mark.parametrize("lost", ["name", "size", "generation", "etag", "timeCreated"])
def test_an_object_without_one_of_its_pins_is_named(lost):
    items = [WHOLE, {name: value for name, value in WHOLE.items() if name != lost}]
    for page in (items, items[1:]):
        with pytest.raises(OddPageError, match=f"without {lost}"):
            read(json.dumps({"items": page}).encode())


@pytest.mark.parametrize(
    "odd",
    [
        {"size": "-2"},
        {"size": "x"},
        {"size": 2},
        {"md5Hash": "6hvP+C1SV9738HgmIt2Q6A"},
        {"md5Hash": "!!vP+C1SV9738HgmIt2Q6A=="},
        {"md5Hash": "AAAA"},
        {"timeCreated": "yesterday"},
        {"timeCreated": "2024-05-06T07:08:09.1234"},
        {"generation": None},
    ],
)
def test_a_value_of_another_form_is_an_error(odd):
    with pytest.raises(OddPageError):
        read(json.dumps({"items": [WHOLE, {**WHOLE, **odd}]}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"null",
        b'{"error":{"code":500}}',
        b'{"items":{}}',
        b'{"items":[1]}',
        b'{"items":[[]]}',
        b'{"items":[{}]}',
        b'{"nextPageToken":5}',
        b'{"items":[],"items2":[]}',
        b'{"items":[' + json.dumps(WHOLE).encode().replace(b'"a"', b'"\xff"') + b"]}",
        b'{"x":{"items":[' + json.dumps(WHOLE).encode() + b"]}}",
    ],
)
def test_what_is_no_page_is_refused(body):
    with pytest.raises(OddPageError):
        read(body)


@pytest.mark.parametrize("body", [b"{}", b'{"kind":"storage#objects"}', b'{"items":[]}'])
def test_nothing_there_is_a_page_without_rows(body):
    assert read(body).batch.num_rows == 0


def test_more_digits_of_a_second_than_microseconds_are_read():
    rows = read(json.dumps({"items": [{**WHOLE, "timeCreated": "2024-05-06T07:08:09.123456789Z"}]}).encode())
    assert rows.batch["modified"].to_pylist() == [datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)]
