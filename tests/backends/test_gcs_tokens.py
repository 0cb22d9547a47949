"""Who asks Google: every chain of credentials at its seam, over real HTTP to replayed token servers."""

from __future__ import annotations

import json
import logging

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncref.backends import open_backend
from asyncref.engine.scan import Target, scan
from asyncref.errors import AccessDeniedError, CredentialsError, OptionError, ServerError
from asyncref.model import Limits, ListRequest
from asyncref.uri import parse
from tests.servers.google import Stored, replayed


@pytest.fixture
async def google():
    async with replayed() as google:
        google.public = False
        google.objects = {"a": Stored(b"the bytes of a", 7)}
        yield google


@pytest.fixture(scope="module")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def service_account(google, private_key):
    text = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "mine",
        "client_email": "robot@mine.iam.gserviceaccount.com",
        "private_key": text,
        "token_uri": f"{google.url}/token",
    }


def user(google, refresh="good-refresh"):
    secrets = {"client_id": "id", "client_secret": "client-secret", "refresh_token": refresh}
    return {"type": "authorized_user", **secrets, "token_uri": f"{google.url}/token"}


async def listed(google, **options):
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url, **options})
    try:
        return (await backend.list_page(ListRequest())).batch["key"].to_pylist()
    finally:
        await backend.aclose()


def tokens_asked(google):
    return [asked for asked in google.asked if not asked.path.startswith("/storage")]


async def test_a_service_account_signs_for_reading_only(google, service_account, private_key):
    assert await listed(google, token=service_account) == ["a"]
    (asked,) = tokens_asked(google)
    claims = jwt.decode(asked.form["assertion"], private_key.public_key(), ["RS256"], audience=f"{google.url}/token")
    assert claims["iss"] == service_account["client_email"]
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"


async def test_the_file_that_the_environment_names_is_used(google, service_account, monkeypatch, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(service_account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert await listed(google, token="google_default") == ["a"]
    assert await listed(google, token=str(path)) == ["a"]
    assert await listed(google, token=path) == ["a"]


async def test_the_login_of_gcloud_is_used(google, monkeypatch, tmp_path):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text(json.dumps(user(google)))
    assert await listed(google, token="google_default") == ["a"]
    assert tokens_asked(google)[0].form["refresh_token"] == "good-refresh"


@pytest.mark.parametrize("word", ["google_default", "cloud"])
async def test_without_any_file_the_metadata_server_is_asked_and_no_proxy(google, monkeypatch, word):
    monkeypatch.setenv("GCE_METADATA_HOST", google.url.removeprefix("http://"))
    assert await listed(google, token=word) == ["a"]
    assert tokens_asked(google)[0].headers["Metadata-Flavor"] == "Google"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url, "token": word})
    assert await backend._access._tokens.get("gs://bucket/") in google.valid
    await backend.aclose()


async def test_workload_identity_exchanges_the_token_of_a_file(google, tmp_path):
    (tmp_path / "subject").write_text("subject\n")
    identity = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{google.url}/sts",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    assert await listed(google, token=identity) == ["a"]
    assert tokens_asked(google)[0].form["subject_token"] == "subject"


async def test_an_access_token_is_sent_as_it_stands(google):
    google.valid = {"ya29.given"}
    assert await listed(google, token="ya29.given") == ["a"]
    assert tokens_asked(google) == []
    google.valid = {"ya29.other"}
    with pytest.raises(CredentialsError, match="does not accept the credentials"):
        await listed(google, token="ya29.given")


async def test_nobody_asks_without_a_token(google):
    google.public = True
    assert await listed(google, token="anon") == await listed(google, anon=True) == ["a"]
    assert tokens_asked(google) == []
    google.public = False
    with pytest.raises(AccessDeniedError):
        await listed(google, anon=True)


async def test_one_token_serves_many_requests_and_is_renewed_before_its_end(google):
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url, "token": user(google)})
    for _ in range(3):
        await backend.list_page(ListRequest())
    assert len(tokens_asked(google)) == 1
    google.lasts_s = 0
    backend._access._tokens._fresh_until_s = 0.0
    await backend.list_page(ListRequest())
    await backend.list_page(ListRequest())
    assert len(tokens_asked(google)) == 3
    await backend.aclose()


async def test_a_token_that_expires_in_mid_run_is_renewed_once_and_the_request_sent_again(google):
    backend = open_backend(parse("gs://bucket/"), {"endpoint_url": google.url, "token": user(google)})
    await backend.list_page(ListRequest())
    google.valid = set()
    assert (await backend.list_page(ListRequest())).batch.num_rows == 1
    assert (await backend.stat("a")).size == 14
    assert len(tokens_asked(google)) == 2
    await backend.aclose()


@pytest.mark.parametrize("end", ["told", "untold"])
async def test_tokens_that_end_in_the_course_of_a_scan_are_renewed(google, end):
    """Told: each is said to be about to end. Untold: each is taken for ten requests and refused from then on."""
    google.objects = {f"{number:03}": Stored(b"x", 7) for number in range(300)}
    google.most = 5
    google.lasts_s, google.taken = (0, None) if end == "told" else (3600, 10)
    options = {"endpoint_url": google.url, "token": user(google)}
    manifest = await scan([Target(uri="gs://bucket/")], storage_options=options, limits=Limits(concurrency=2))
    assert [entry.path for entry in manifest] == sorted(google.objects)
    assert len(tokens_asked(google)) > 3
    assert any(asked.query.get("pageToken") for asked in google.asked)


async def test_a_token_that_is_refused_again_is_no_loop(google, monkeypatch):
    monkeypatch.setattr(google, "refused", (401, "authError", "Invalid Credentials"))
    with pytest.raises(CredentialsError, match="does not accept"):
        await listed(google, token=user(google))
    assert len(tokens_asked(google)) == 2


async def test_a_revoked_login_is_one_line_at_once(google):
    with pytest.raises(CredentialsError, match="invalid_grant: Bad Request"):
        await listed(google, token=user(google, refresh="revoked-refresh"))
    assert len(tokens_asked(google)) == 1


async def test_no_credentials_anywhere_says_what_to_do():
    with pytest.raises(CredentialsError, match=r"no credentials were found.*GOOGLE_APPLICATION_CREDENTIALS"):
        await scan([Target(uri="gs://bucket/")])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no Google credentials"),
        ('{"client_id": "x"}', "holds no Google credentials"),
    ],
)
def test_a_wrong_credentials_file_is_named(monkeypatch, tmp_path, content, said):
    path = tmp_path / "wrong.json"
    path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(OptionError, match=f"wrong.json {said}"):
        open_backend(parse("gs://bucket/"), {})


def test_a_credentials_file_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "lost.json"))
    with pytest.raises(OptionError, match=r"lost\.json cannot be read: No such file"):
        open_backend(parse("gs://bucket/"), {})


@pytest.mark.parametrize(
    "damage", [{"type": "unheard_of"}, {"private_key": "-----BEGIN hunter2"}, {"client_email": None}]
)
async def test_damaged_credentials_are_one_line_without_what_they_hold(google, service_account, damage):
    content = {name: value for name, value in {**service_account, **damage}.items() if value is not None}
    with pytest.raises(CredentialsError, match=r"cannot be used \(storage_options \(token\)\)") as caught:
        await listed(google, token=content)
    assert "hunter2" not in str(caught.value)


async def test_a_token_server_that_fails_is_worth_another_try(google):
    google.broken = True
    with pytest.raises(ServerError, match="no access token came: status 500"):
        await listed(google, token=user(google))


async def test_no_secret_is_shown_logged_or_recorded(google, service_account, caplog):
    caplog.set_level(logging.DEBUG)
    options = {"endpoint_url": google.url, "token": service_account}
    backend = open_backend(parse("gs://bucket/"), options)
    await backend.list_page(ListRequest())
    shown = repr(backend._access.settings) + repr(backend.source(parse("gs://bucket/")))
    await backend.aclose()
    manifest = await scan([Target(uri="gs://bucket/")], storage_options=options)
    google.refused = (401, "authError", "Invalid Credentials")
    with pytest.raises(CredentialsError) as caught:
        await scan([Target(uri="gs://bucket/")], storage_options=options)
    everything = "\n".join([shown, repr(manifest.sources), str(caught.value), caplog.text])
    secret = service_account["private_key"].splitlines()[1]
    assert not [text for text in (secret, "ya29.secret") if text in everything]


async def test_a_token_that_is_no_file_is_not_repeated():
    with pytest.raises(OptionError) as caught:
        open_backend(parse("gs://bucket/"), {"token": "hunter2"})
    assert "hunter2" not in str(caught.value)
