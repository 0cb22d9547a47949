"""What the extension finds on a page of the JSON API, beside what numpy and the standard library find."""

from __future__ import annotations

import base64
import binascii
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.gcs import spans
from tests.backends.test_gcs_page import ALIKE, SPACES

pytestmark = pytest.mark.skipif(spans._entries is None, reason="the extension was not compiled")


def offsets(fields):
    return {name: [side.tolist() for side in span] for name, span in fields.items()}


@settings(max_examples=200, deadline=None)
@given(
    items=ALIKE.filter(bool),
    spaces=SPACES,
    at=st.floats(0, 1, exclude_max=True),
    byte=st.sampled_from(b'"{},[]:\xffa '),
)
def test_the_extension_finds_what_numpy_finds_in_any_bytes(items, spaces, at, byte):
    body = json.dumps({"items": items}, ensure_ascii=False, separators=spaces).encode()
    start, stop = body.find(b"[") + 1, body.rfind(b"]")
    damaged = bytearray(body)
    damaged[start + int(at * (stop - start))] = byte
    for page in (body, bytes(damaged)):
        assert offsets(spans._compiled(page, start, stop)) == offsets(spans._matrix(page, start, stop))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=5),
    st.integers(0, 23),
    st.sampled_from(b"=A/+z-_ \xff"),
)
def test_md5s_are_decoded_as_by_the_standard_library(digests, at, byte):
    plain = b"".join(base64.b64encode(digest) for digest in digests)
    at += len(plain) - 24
    for body in (plain, plain[:at] + bytes([byte]) + plain[at + 1 :]):
        ends = np.arange(24, len(body) + 1, 24)
        try:
            decoded = b"".join(base64.b64decode(body[end - 24 : end], validate=True) for end in ends)
        except binascii.Error:
            decoded = b""
        assert spans.md5s(body, (ends - 24, ends)) == (decoded if len(decoded) == 16 * len(digests) else None)


@pytest.mark.parametrize("runs", [(), (b"x",), (b"x",) * 66])
def test_runs_that_cannot_be_are_an_error_and_nothing_is_read_outside_of_the_body(runs):
    with pytest.raises(ValueError, match="fields"):
        spans._entries.items(b"[{}]", 0, 4, runs)
    for first, end in ((-1, 2), (3, 2), (0, 5)):
        with pytest.raises(ValueError, match="outside"):
            spans._entries.items(b"[{}]", first, end, (b"x", b""))
    assert spans._entries.items(b'"a":"b', 0, 6, (b'"a":"', b"")) is None
