"""Shared Key signatures are those of Microsoft's own client."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.azure.sign import AccountKey, Signer
from asyncref.errors import OptionError

SECRET = "bm8gc2VjcmV0IGF0IGFsbA=="
PRINTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


def official(method: str, url: str, headers: dict[str, str]) -> str:
    request = HttpRequest(method, url, headers=headers)
    SharedKeyCredentialPolicy("account", SECRET).on_request(PipelineRequest(request, PipelineContext(None)))
    return request.headers["Authorization"]


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD"]),
    key=PRINTED.filter(lambda key: not {".", ".."} & set(key.split("/"))),
    query=st.dictionaries(
        st.sampled_from(["prefix", "marker", "comp", "restype", "versionid", "include", "delimiter"]),
        PRINTED.filter(bool),
    ),
    extra=st.fixed_dictionaries({}, optional={"x-ms-range": st.just("bytes=0-9"), "if-match": st.just('"0x8D"')}),
)
def test_a_signature_is_that_of_the_official_client(method: str, key: str, query, extra) -> None:
    headers = {**extra, "x-ms-date": "Mon, 23 Nov 2026 23:45:31 GMT", "x-ms-version": "2023-11-03"}
    path = f"/account/container/{quote(key, safe='/~')}"
    words = "&".join(f"{name}={quote(value, safe='~')}" for name, value in query.items())
    url = f"http://127.0.0.1:10000{path}{'?' + words if words else ''}"
    mine = Signer(AccountKey.of("account", SECRET)).sign(method, path, query, headers)
    assert mine == official(method, url, headers)


def test_a_key_that_is_no_base64_is_refused_and_never_shown() -> None:
    with pytest.raises(OptionError, match="base64") as caught:
        AccountKey.of("account", "not base64!")
    assert "not base64!" not in str(caught.value)
    assert SECRET not in repr(AccountKey.of("account", SECRET))
    assert "no secret" not in repr(AccountKey.of("account", SECRET))
