"""doctor tries what a scan and a fetch need, and names what is missing."""

from __future__ import annotations

import json

import orjson
import pytest

from asyncref.checks.doctor import doctor
from asyncref.checks.identity import credentials_of
from asyncref.checks.permissions import Permission, needed, policy
from asyncref.errors import CredentialsError, InvalidURIError, OptionError
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryStore, mounted


@pytest.fixture
def store():
    store = MemoryStore(versioned=True)
    store.seed("data/empty", b"")
    store.seed("data/object", b"x" * 100)
    with mounted(store):
        yield store


def verdicts(report):
    return {one.check: one.verdict for one in report.findings}


@pytest.mark.usefixtures("store")
async def test_all_is_well_where_all_is_allowed():
    report = await doctor("memory://bucket/data/")
    assert report.ok
    assert report.policy is None
    assert verdicts(report) == dict.fromkeys(
        ["endpoint", "credentials", "versioning", "list", "list versions", "stat", "read", "read a version"], "ok"
    )
    assert len(str(report).splitlines()) == len(report.findings)
    assert "data/object" in str(report)


@pytest.mark.parametrize(
    ("denied", "check", "ok"),
    [
        ({"versioning"}, "versioning", True),
        ({"list"}, "list", False),
        ({"get_version"}, "read a version", False),
        ({"stat"}, "stat", False),
        ({"get"}, "read", False),
    ],
)
async def test_what_is_denied_is_called_that_and_the_rest_is_still_tried(store, denied, check, ok):
    store.faults = Faults(denied=frozenset(denied))
    report = await doctor("memory://bucket/data/object")
    assert verdicts(report)[check] == "denied"
    assert verdicts(report)["read" if check != "read" else "list"] == "ok"
    assert report.ok is ok


async def test_a_missing_bucket_ends_it(store):
    store.exists = False
    report = await doctor("memory://bucket/data/")
    assert not report.ok
    assert verdicts(report)["list"] == "failed"
    assert set(verdicts(report).values()) == {"ok", "failed", "skipped"}
    assert store.requests.total() == 1


async def test_an_endpoint_that_does_not_answer_is_tried_twice_and_no_more(store):
    store.faults = Faults(reset=1.0)
    report = await doctor("memory://bucket/data/", limits=Limits(backoff_s=0.001))
    assert not report.ok
    assert store.requests.total() == 2


@pytest.mark.usefixtures("store")
async def test_an_empty_prefix_has_nothing_to_try_on():
    report = await doctor("memory://bucket/nothing/")
    assert report.ok
    assert verdicts(report)["read"] == "skipped"


async def test_an_unversioned_bucket_needs_no_versions():
    store = MemoryStore("plain")
    store.seed("a", b"x")
    with mounted(store):
        assert "read a version" not in verdicts(await doctor("memory://plain/"))


async def test_a_folder_and_a_file_are_examined(tmp_path):
    (tmp_path / "deep/deeper").mkdir(parents=True)
    (tmp_path / "deep/deeper/file").write_bytes(b"x")
    report = await doctor(f"file://{tmp_path}")
    assert verdicts(report) == {"list": "ok", "stat": "ok", "read": "ok"}
    assert report.ok
    assert (await doctor(f"file://{tmp_path}/deep/deeper/file")).ok


async def test_a_folder_that_is_not_there_is_not_well(tmp_path):
    assert not (await doctor(f"file://{tmp_path}/nothing")).ok
    assert not (await doctor(f"file://{tmp_path}/nothing/")).ok


async def test_the_json_has_its_schema_and_every_finding(store):
    store.faults = Faults(denied=frozenset({"list"}))
    said = orjson.loads(orjson.dumps((await doctor("memory://bucket/data/")).to_json()))
    assert (said["schema"], said["uri"], said["ok"]) == ("asyncref.doctor/1", "memory://bucket/data/", False)
    listed = next(one for one in said["findings"] if one["check"] == "list")
    assert listed["verdict"] == "denied"
    assert listed["request_id"] == "list-1"


async def test_what_cannot_be_a_reference_is_a_usage_error():
    with pytest.raises(InvalidURIError):
        await doctor("bucket/data")
    with pytest.raises(OptionError):
        await doctor("file:///tmp", storage_options={"nonsense": 1})


def test_the_policy_grants_what_is_missing_and_no_more():
    missing = [needed("s3", check) for check in ("list versions", "read", "stat", "read a version")]
    assert policy("s3", "my-bucket", "data/", [one for one in missing if one]) == {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:ListBucketVersions"], "Resource": "arn:aws:s3:::my-bucket"},
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": "arn:aws:s3:::my-bucket/data/*",
            },
        ],
    }
    assert policy("s3", "my-bucket", "data/", []) is None
    assert policy("file", "", "/data/", [Permission("read permission", on_objects=True)]) is None


def test_an_access_point_has_its_own_resource_names():
    point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine"
    granted = policy("s3", point, "data/", [Permission("s3:GetObject", on_objects=True)])
    assert granted
    assert granted["Statement"][0]["Resource"] == f"{point}/object/data/*"


async def test_credentials_are_named_by_their_source_and_never_shown(monkeypatch, tmp_path):
    assert await credentials_of("s3", {"anon": True}, "s3://b/") is None
    assert await credentials_of("file", {}, "file:///a") is None
    assert await credentials_of("s3", {"key": "AKIA", "secret": "hush"}, "s3://b/") == "storage_options (key, secret)"
    with pytest.raises(CredentialsError, match="no credentials found"):
        await credentials_of("s3", {}, "s3://b/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert await credentials_of("s3", {}, "s3://b/") == "the environment"
    shared = tmp_path / "credentials"
    shared.write_text("[mine]\naws_access_key_id = AKIA\naws_secret_access_key = hush\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    said = await credentials_of("s3", {"profile": "mine"}, "s3://b/")
    assert said == "the shared credentials file (profile mine)"
    with pytest.raises(CredentialsError, match="yours"):
        await credentials_of("s3", {"profile": "yours"}, "s3://b/")
    assert "hush" not in json.dumps(said)


def deny(server, bucket, *actions):
    """A bucket policy: the owner, too, is denied."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    denied = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": resources}
    statement = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    server.client().put_bucket_policy(Bucket=bucket, Policy=statement)


@pytest.mark.parametrize(
    ("action", "checks"),
    [
        ("s3:ListBucket", {"list"}),
        ("s3:ListBucketVersions", {"list versions"}),
        ("s3:GetBucketVersioning", {"versioning"}),
        ("s3:GetObject", {"stat", "read"}),
        ("s3:GetObjectVersion", {"read a version"}),
    ],
)
async def test_a_real_server_that_denies_one_call_is_told_apart(radosgw, bucket, action, checks):
    client = radosgw.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="data/object", Body=b"some bytes")
    deny(radosgw, bucket, action)
    report = await doctor(f"s3://{bucket}/data/", storage_options=radosgw.storage_options)
    denied = {one.check for one in report.findings if one.verdict == "denied"}
    assert denied == checks
    assert {one.permission for one in report.findings if one.verdict == "denied"} == {action}
    assert report.policy
    assert [one["Action"] for one in report.policy["Statement"]] == [[action]]
    assert radosgw.secret not in json.dumps(report.to_json())


async def test_a_wrong_secret_is_one_clear_line(radosgw, bucket):
    radosgw.client().create_bucket(Bucket=bucket)
    report = await doctor(f"s3://{bucket}/", storage_options=radosgw.storage_options | {"secret": "wrong"})
    assert not report.ok
    failed = [one for one in report.findings if one.verdict == "failed"]
    assert len(failed) == 1
    assert "SignatureDoesNotMatch" in failed[0].message
    assert failed[0].request_id
