"""Our signer gives what botocore's gives."""

from __future__ import annotations

import time

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from asyncref.net.sign import Keys, Signer, path_of, query_of

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_KEYS = st.one_of(
    _TEXT, st.sampled_from(["a b", "a+b", "100%", "100%25", "a#b", "a?b", "a//b", "a/../b", "é", "😀", "~-_.", "x=&y"])
)


@given(
    key=_KEYS,
    query=st.dictionaries(st.sampled_from(["versionId", "prefix", "versions", "key-marker", "a b"]), _TEXT),
    token=st.none() | st.text("abcXYZ+/=", min_size=1),
    headers=st.dictionaries(
        st.sampled_from(["range", "if-match", "x-amz-request-payer"]), st.text("abc=-", min_size=1)
    ),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_a_signature_equals_botocores(key, query, token, headers, region):
    signer = Signer(region)
    path, text = f"/bucket/{path_of(key)}", query_of(query)
    ours = signer.sign("GET", "host.example:9000", path, text, headers, Keys("AKID", "secret/+", token))
    url = f"http://host.example:9000{path}{'?' + text if text else ''}"
    theirs = AWSRequest("GET", url, headers=dict(headers))
    S3SigV4AuthAt(ours["x-amz-date"], Credentials("AKID", "secret/+", token), "s3", region).add_auth(theirs)
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours["x-amz-content-sha256"] == theirs.headers["X-Amz-Content-SHA256"]


class S3SigV4AuthAt(S3SigV4Auth):
    """botocore's signer at a moment of ours."""

    def __init__(self, stamp, *args):
        super().__init__(*args)
        self.stamp = stamp

    def _modify_request_before_signing(self, request):
        request.context["timestamp"] = self.stamp
        super()._modify_request_before_signing(request)


def test_the_kept_key_follows_the_secret_the_day_and_the_clock():
    signer = Signer("us-east-1")
    first = signer.sign("GET", "h", "/", "", {}, Keys("a", "one"))["authorization"]
    assert signer.sign("GET", "h", "/", "", {}, Keys("a", "two"))["authorization"] != first
    signer.correct_clock(time.time() + 7 * 86400)
    assert signer.sign("GET", "h", "/", "", {}, Keys("a", "one"))["x-amz-date"] > time.strftime("%Y%m%dT%H%M%SZ")


def test_keys_are_never_printed():
    assert "hidden" not in repr(Keys("id", "hidden-secret", "hidden-token"))
