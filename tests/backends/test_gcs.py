"""The GCS backend against answers that Google documents, replayed over real HTTP: no free server gives them."""

from __future__ import annotations

import gzip

import pytest

from asyncref.backends import open_backend
from asyncref.backends.gcs.settings import read_settings
from asyncref.checks.doctor import doctor
from asyncref.checks.status import status
from asyncref.engine.fetch import fetch
from asyncref.engine.scan import Target, scan
from asyncref.errors import (
    AccessDeniedError,
    ChangedError,
    ContainerNotFoundError,
    FetchError,
    NotFoundError,
    OptionError,
    ProtocolError,
    ServerError,
    ThrottledError,
)
from asyncref.model import KeyRange, Limits, ListRequest, ReadRequest
from asyncref.testing import body_of
from asyncref.uri import parse
from tests.servers.google import Stored, replayed


@pytest.fixture
async def google():
    async with replayed() as google:
        google.objects = {"data/a": Stored(b"the bytes of a", 1700000000000001), "data/b": Stored(b"b" * 100, 2)}
        yield google


@pytest.fixture
async def backend(google):
    opened = open_backend(parse("gs://bucket/data/"), {"endpoint_url": google.url})
    yield opened
    await opened.aclose()


async def scanned(google):
    return await scan([Target(uri="gs://bucket/data/")], storage_options={"endpoint_url": google.url})


async def test_a_listing_asks_for_the_fields_that_pin_and_starts_at_its_key(google, backend):
    page = await backend.list_page(ListRequest(prefix="data/", keys=KeyRange("data/a", "data/b"), limit=7))
    (asked,) = google.asked
    assert asked.query == {
        "fields": "items(name,size,generation,md5Hash,crc32c,etag,timeCreated),nextPageToken",
        "prettyPrint": "false",
        "prefix": "data/",
        "startOffset": "data/a",
        "maxResults": "7",
    }
    assert page.batch["key"].to_pylist() == ["data/b"]
    assert (page.first, page.last, page.seen) == ("data/b", "data/b", 1)


async def test_every_range_names_the_generation_and_no_condition_that_an_edit_of_metadata_breaks(google, backend):
    pin = await backend.stat("data/b")
    google.objects["data/b"].metageneration += 1
    google.asked.clear()
    answer, data = await body_of(backend, ReadRequest("data/b", start=10, stop=20, version="2", if_match=pin.etag))
    (asked,) = google.asked
    assert asked.query == {"alt": "media", "generation": "2"}
    assert (asked.headers["Range"], asked.headers.get("If-Match")) == ("bytes=10-19", None)
    assert (data, answer.version, answer.total) == (b"b" * 10, "2", 100)
    assert answer.etag is None
    assert answer.checksum == pin.checksum
    assert answer.request_id == "the-request"


async def test_without_a_generation_the_etag_is_the_condition(google, backend):
    etag = (await backend.stat("data/a")).etag
    assert (await body_of(backend, ReadRequest("data/a", if_match=etag)))[1] == b"the bytes of a"
    google.objects["data/a"] = Stored(b"others", 3)
    with pytest.raises(ChangedError):
        await body_of(backend, ReadRequest("data/a", if_match=etag))


async def test_compressed_objects_come_as_they_are_stored_whole_and_in_parts(google, backend):
    stored = gzip.compress(b"x" * 10_000, mtime=0)
    google.objects["data/z"] = Stored(stored, 5, encoding="gzip")
    answer, data = await body_of(backend, ReadRequest("data/z", version="5"))
    assert (data, answer.total) == (stored, len(stored))
    assert (await body_of(backend, ReadRequest("data/z", start=3, stop=9, version="5")))[1] == stored[3:9]


async def test_an_object_that_a_server_decompresses_all_the_same_is_refused(google, backend, monkeypatch):
    monkeypatch.setattr("asyncref.backends.gcs.objects._AS_STORED", {"Accept-Encoding": "identity"})
    google.objects["data/z"] = Stored(gzip.compress(b"x"), 5, encoding="gzip")
    with pytest.raises(ProtocolError, match="decompressed"):
        await body_of(backend, ReadRequest("data/z"))


async def test_who_pays_is_named_in_every_request(google):
    google.pays = True
    with pytest.raises(AccessDeniedError, match=r"paid for by who asks.*requester_pays"):
        await scanned(google)
    options = {"endpoint_url": google.url, "requester_pays": True, "project": "mine"}
    manifest = await scan([Target(uri="gs://bucket/data/")], storage_options=options)
    source = manifest.sources[0]
    assert (source.requester_pays, source.account) == (True, "mine")
    assert google.asked[-1].query["userProject"] == "mine"


async def test_a_fetch_pays_by_the_project_that_the_manifest_records(google, tmp_path):
    google.pays = True
    options = {"endpoint_url": google.url, "requester_pays": "mine"}
    manifest = await scan([Target(uri="gs://bucket/data/")], storage_options=options)
    google.asked.clear()
    await fetch(manifest, tmp_path / "out")
    assert {asked.query["userProject"] for asked in google.asked} == {"mine"}
    assert (tmp_path / "out" / "a").read_bytes() == b"the bytes of a"


async def test_edited_metadata_is_told_apart_and_the_bytes_are_fetched(google, tmp_path):
    manifest = await scanned(google)
    google.objects["data/a"].metageneration += 1
    report = await status(manifest)
    assert report.same
    assert [(word, change.path) for word, change in report] == [("metadata_only", "a")]
    assert str(report) == "1 unchanged, 0 changed, 0 newer version, 0 gone, 0 new, 1 metadata only"
    assert report.to_json()["changes"][0]["kind"] == "metadata_only"
    await fetch(manifest, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"the bytes of a"


async def test_the_same_bytes_uploaded_again_are_a_newer_version(google):
    manifest = await scanned(google)
    google.objects["data/a"] = Stored(b"the bytes of a", 9)
    google.objects["data/b"] = Stored(b"c" * 100, 9)
    report = await status(manifest)
    assert [(word, change.path) for word, change in report] == [("newer_version", "a"), ("changed", "b")]


async def test_a_generation_that_is_gone_is_named_and_nothing_else_is_fetched(google, tmp_path):
    manifest = await scanned(google)
    google.objects["data/a"] = Stored(b"other bytes, alas", 9)
    with pytest.raises(FetchError) as caught:
        await fetch(manifest, tmp_path / "out")
    assert [failure.path for failure in caught.value.failures] == ["a"]
    assert isinstance(caught.value.failures[0].error, NotFoundError)
    assert not (tmp_path / "out" / "a").exists()


async def test_a_typed_generation_is_that_one(google):
    options = {"endpoint_url": google.url}
    manifest = await scan([Target(uri="gs://bucket/data/b#2")], storage_options=options)
    assert manifest["b"].pin.version == "2"
    with pytest.raises(NotFoundError, match="no such generation"):
        await scan([Target(uri="gs://bucket/data/b#3")], storage_options=options)


@pytest.mark.parametrize(
    ("refused", "kind", "said"),
    [
        ((403, "forbidden", "me@x does not have storage.objects.list access."), AccessDeniedError, "objects.list"),
        ((403, "accountDisabled", "The billing account is closed."), AccessDeniedError, "billing account is closed"),
        ((403, "rateLimitExceeded", "Slow."), ThrottledError, "slow down"),
        ((429, "rateLimitExceeded", "Slow."), ThrottledError, "slow down"),
        ((503, "backendError", "Try again."), ThrottledError, "slow down"),
        ((500, "internalError", "Oops {x}."), ServerError, "Oops"),
        ((404, "notFound", "The specified bucket does not exist."), ContainerNotFoundError, "'bucket'"),
        ((400, "invalid", "Invalid argument."), ProtocolError, "Invalid argument"),
        ((410, "gone", "The page token is gone."), ProtocolError, "The page token is gone"),
        ((412, "conditionNotMet", "It did not hold."), ChangedError, "not what it was"),
    ],
)
async def test_each_refusal_is_one_error_with_the_request_id(google, backend, refused, kind, said):
    google.refused = refused
    with pytest.raises(kind, match=said) as caught:
        await backend.list_page(ListRequest())
    assert type(caught.value) is kind
    assert (caught.value.request_id, caught.value.code) == ("the-request", refused[1])
    assert "\n" not in str(caught.value)


async def test_nobody_where_somebody_is_wanted_is_denied_and_told_how_to_log_in(google, backend):
    google.public = False
    with pytest.raises(AccessDeniedError, match=r"storage.objects.list is needed.*GOOGLE_APPLICATION_CREDENTIALS"):
        await backend.list_page(ListRequest())


async def test_an_object_in_a_bucket_that_is_not_there_says_so(google):
    opened = open_backend(parse("gs://elsewhere/"), {"endpoint_url": google.url})
    with pytest.raises(ContainerNotFoundError, match="'elsewhere'"):
        await opened.stat("a")
    await opened.aclose()


async def test_a_version_that_is_no_number_costs_no_request(google, backend):
    with pytest.raises(NotFoundError, match="no generation"):
        await backend.stat("data/a", "null")
    assert google.asked == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tokn": "x"}, "unknown storage option 'tokn'"),
        ({"endpoint_url": "localhost:1"}, "is no URL"),
        ({"token": "cache"}, "refused"),
        ({"token": 5}, "neither"),
        ({"anon": True, "token": "google_default"}, "both"),
        ({"anon": True, "requester_pays": True}, "needs the project"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, said):
    with pytest.raises(OptionError, match=said):
        open_backend(parse("gs://bucket/"), options)


@pytest.mark.parametrize("host", ["{}", "http://{}"])
async def test_the_emulator_of_the_environment_is_asked_without_credentials(google, monkeypatch, host):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", host.format(google.url.removeprefix("http://")))
    manifest = await scan([Target(uri="gs://bucket/data/")])
    assert len(manifest) == 2
    assert (manifest.sources[0].endpoint, manifest.sources[0].anon) == (google.url, True)
    assert all("Authorization" not in asked.headers for asked in google.asked)


@pytest.mark.parametrize(
    "endpoint", ["https://storage.googleapis.com/", "https://storage.me-central2.rep.googleapis.com"]
)
def test_google_s_own_endpoint_named_outright_is_asked_with_credentials_whatever_the_emulator(monkeypatch, endpoint):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:9000")
    settings = read_settings({"endpoint_url": endpoint}, Limits(), concurrency=1)
    assert (settings.endpoint, settings.identity.kind) == (endpoint.rstrip("/"), "default")
    assert read_settings({}, Limits(), concurrency=1).anon


async def test_credentials_of_google_are_not_sent_to_another_endpoint_unless_named(google, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "any.json"))
    await scanned(google)
    assert all("Authorization" not in asked.headers for asked in google.asked)


async def test_the_doctor_says_whose_credentials_and_which_role_is_missing(google):
    options = {"endpoint_url": google.url, "token": "ya29.given"}
    report = await doctor("gs://bucket/data/", storage_options=options)
    assert report.ok, str(report)
    assert "credentials: from storage_options (token)" in str(report)
    assert "ya29" not in str(report)
    google.refused = (403, "forbidden", "me@x does not have storage.objects.list access.")
    report = await doctor("gs://bucket/data/a", storage_options=options)
    missing = {one.check: one.permission for one in report.findings if one.verdict == "denied"}
    assert missing == {
        "list": "storage.objects.list (in roles/storage.objectViewer)",
        "stat": "storage.objects.get (in roles/storage.objectViewer)",
        "read": "storage.objects.get (in roles/storage.objectViewer)",
    }
