"""doctor tries what a scan and a fetch need, and names what is missing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from asyncref import uri
from asyncref.checks.doctor import doctor
from asyncref.checks.identity import credentials_of
from asyncref.checks.permissions import Permission, needed, policy
from asyncref.errors import CredentialsError, InvalidURIError, OptionError
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryStore, mounted
from asyncref.uri import Reference
from tests.servers.azurite import ACCOUNT, KEY
from tests.servers.google import Stored, replayed

S3 = Reference("s3", "my-bucket", "data/")


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
    missing = [needed(S3, check) for check in ("list versions", "read", "stat", "read a version")]
    assert policy(S3, [one for one in missing if one]) == {
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
    assert policy(S3, []) is None
    assert policy(Reference("file", "", "/data/"), [Permission("read permission", on_objects=True)]) is None


def test_an_access_point_has_its_own_resource_names():
    point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine"
    granted = policy(Reference("s3", point, "data/"), [Permission("s3:GetObject", on_objects=True)])
    assert granted
    assert granted["Statement"][0]["Resource"] == f"{point}/object/data/*"


async def test_credentials_are_named_by_their_source_and_never_shown(monkeypatch, tmp_path):
    assert await credentials_of(S3, {"anon": True}, "s3://b/") is None
    assert await credentials_of(Reference("file", "", "/a"), {}, "file:///a") is None
    assert await credentials_of(S3, {"key": "AKIA", "secret": "hush"}, "s3://b/") == "storage_options (key, secret)"
    with pytest.raises(CredentialsError, match="no credentials found"):
        await credentials_of(S3, {}, "s3://b/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert await credentials_of(S3, {}, "s3://b/") == "the environment"
    shared = tmp_path / "credentials"
    shared.write_text("[mine]\naws_access_key_id = AKIA\naws_secret_access_key = hush\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    said = await credentials_of(S3, {"profile": "mine"}, "s3://b/")
    assert said == "the shared credentials file (profile mine)"
    with pytest.raises(CredentialsError, match="yours"):
        await credentials_of(S3, {"profile": "yours"}, "s3://b/")
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


def of(report, check):
    return next(one for one in report.findings if one.check == check)


@pytest.mark.parametrize("typed", ["az://{}/data/", "abfs://{}@devstoreaccount1/data/"])
async def test_azure_s_credentials_are_named_and_what_only_its_management_tells_is_skipped(azurite, bucket, typed):
    azurite.container(bucket).upload_blob("data/object", b"some bytes")
    report = await doctor(typed.format(bucket), storage_options=azurite.storage_options)
    assert report.ok
    assert report.commands == ()
    assert of(report, "credentials").message == "from storage_options (account_key), an account key"
    assert (of(report, "versioning").verdict, of(report, "versioning").permission) == ("skipped", None)
    assert verdicts(report)["list"] == verdicts(report)["stat"] == verdicts(report)["read"] == "ok"
    assert KEY not in json.dumps(report.to_json())


async def test_a_sas_that_may_not_list_is_told_the_role_and_the_command(azurite, bucket):
    azurite.container(bucket).upload_blob("data/object", b"some bytes")
    expiry = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(
        ACCOUNT, bucket, account_key=KEY, permission=ContainerSasPermissions(read=True), expiry=expiry
    )
    options = {"endpoint_url": azurite.endpoint, "account_name": ACCOUNT, "sas_token": sas}
    report = await doctor(f"az://{bucket}/data/object", storage_options={"az": options})
    assert not report.ok
    assert (of(report, "list").verdict, of(report, "read").verdict) == ("denied", "ok")
    assert of(report, "list").permission == "the role Storage Blob Data Reader, or list (l) in the SAS of the container"
    scope = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/"
        f"{ACCOUNT}/blobServices/default/containers/{bucket}"
    )
    assert report.commands == (
        f"az role assignment create --assignee IDENTITY --role 'Storage Blob Data Reader' --scope '{scope}'",
    )
    assert report.commands[0] in str(report)
    assert of(report, "credentials").message == "from storage_options (sas_token), a shared access signature"


async def test_google_s_missing_role_is_told_with_its_command():
    async with replayed() as google:
        google.objects = {"a": Stored(b"x", 7)}
        google.refused = (403, "forbidden", "me does not have storage.objects.list access to the bucket.")
        report = await doctor("gs://bucket/", storage_options={"endpoint_url": google.url, "anon": True})
    assert of(report, "list").verdict == "denied"
    bind = "gcloud storage buckets add-iam-policy-binding gs://bucket --member=MEMBER"
    assert report.commands == (f"{bind} --role=roles/storage.objectViewer",)
    assert report.policy is None


async def test_a_web_server_s_credentials_are_named_and_a_folder_without_an_index_is_denied(nginx, served, bucket):
    (served / bucket).mkdir()
    (served / bucket / "object").write_bytes(b"some bytes")
    options = {"username": "user", "password": "secret"}
    report = await doctor(f"{nginx.basic}/{bucket}/", storage_options=options)
    assert report.ok
    assert of(report, "credentials").message == "from storage_options (username, password)"
    report = await doctor(f"{nginx.bare}/{bucket}/")
    assert of(report, "credentials").message == "none are used"
    assert (of(report, "list").verdict, of(report, "list").permission) == (
        "denied",
        "GET of the folder's index page, by the server's own rules",
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AZURE_STORAGE_KEY", "aGlkZGVu", "AZURE_STORAGE_KEY, an account key"),
        ("AZURE_STORAGE_SAS_TOKEN", "sig=hidden", "AZURE_STORAGE_SAS_TOKEN, a shared access signature"),
        (
            "AZURE_STORAGE_CONNECTION_STRING",
            "AccountName=mine;AccountKey=aGlkZGVu",
            "AZURE_STORAGE_CONNECTION_STRING, an account key",
        ),
        (
            "HOME",
            "/nowhere",
            "azure-identity's DefaultAzureCredential: environment, workload or managed identity, az login",
        ),
    ],
)
async def test_where_azure_s_credentials_come_from_is_said_for_every_source(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    for typed in ("https://mine.blob.core.windows.net/box/", "abfs://box@mine.dfs.core.windows.net/"):
        assert await credentials_of(uri.parse(typed), {}, typed) == said
    assert await credentials_of(uri.parse("az://box/"), {"account_name": "mine", "anon": True}, "az://box/") is None


def test_the_policy_in_the_documentation_grants_all_that_any_check_or_audit_asks_for_and_no_more():
    text = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()
    policy_of_docs = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    granted = {
        (action, one["Resource"].endswith("/*")) for one in policy_of_docs["Statement"] for action in one["Action"]
    }
    needs = [needed(S3, check) for check in ("list", "list versions", "versioning", "stat", "read", "read a version")]
    assert granted == {(one.action, one.on_objects) for one in needs} | {("s3:GetLifecycleConfiguration", False)}
    for scheme, container in (("gs", "my-bucket"), ("az", "box")):
        found = [needed(Reference(scheme, container, ""), check) for check in ("list", "read", "versioning")]
        assert all(one.role in text for one in found if one)
