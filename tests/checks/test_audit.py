"""audit says whether what is pinned will still be readable: on moto for S3, replayed for Azure, by file and by memory."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from azure.storage.blob import StandardBlobTier

import asyncref
from asyncref.backends import open_backend
from asyncref.backends.retention import Retention, Rule
from asyncref.checks.audit import audit
from asyncref.checks.findings import KINDS
from asyncref.checks.rules import Pinned, judge
from asyncref.cli import main
from asyncref.errors import ProtocolError
from asyncref.model import Limits, ListRequest
from asyncref.testing import Faults, MemoryStore, mounted
from asyncref.uri import Reference

_RULES = [
    {
        "ID": "tidy-old",
        "Status": "Enabled",
        "Filter": {"Prefix": "data/"},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    },
    {
        "ID": "away",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "data/", "Tags": [{"Key": "cold", "Value": "yes"}]}},
        "Transitions": [{"Days": 90, "StorageClass": "GLACIER"}, {"Days": 10, "StorageClass": "STANDARD_IA"}],
    },
    {"ID": "switched-off", "Status": "Disabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}},
    {"ID": "elsewhere", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}},
]


@pytest.fixture
def s3_bucket(moto, bucket):
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for name in "abcd":
        client.put_object(Bucket=bucket, Key=f"data/{name}", Body=f"first {name}".encode())
    return client


def codes(report):
    return {one.code: one.entries for one in report.findings}


@pytest.mark.usefixtures("s3_bucket")
async def test_a_bucket_that_keeps_everything_has_no_findings(moto, bucket):
    manifest = await asyncref.scan(f"s3://{bucket}/data/", storage_options=moto.storage_options)
    report = await asyncref.audit(manifest, storage_options=moto.storage_options)
    assert report.ok
    assert report.findings == ()
    assert report.said[f"s3://{bucket}/data/"] == Retention(versioning="kept", rules=())


async def test_what_was_overwritten_and_deleted_is_kept_until_its_version_is_removed(moto, s3_bucket, bucket):
    options = moto.storage_options
    manifest = await asyncref.scan(f"s3://{bucket}/data/", storage_options=options)
    for name in "ab":
        s3_bucket.put_object(Bucket=bucket, Key=f"data/{name}", Body=b"other bytes")
    for name in "cd":
        s3_bucket.delete_object(Bucket=bucket, Key=f"data/{name}")
    report = await asyncref.audit(manifest, storage_options=options)
    assert codes(report) == {"superseded": 2, "deleted": 2}
    assert report.ok
    for name in "ac":
        s3_bucket.delete_object(Bucket=bucket, Key=f"data/{name}", VersionId=manifest[name].pin.version)
    report = await asyncref.audit(manifest, storage_options=options)
    assert codes(report) == {"lost": 2, "superseded": 1, "deleted": 1}
    assert report.findings[0].examples == ("a", "c")
    assert not report.ok


async def test_rules_that_remove_old_versions_or_archive_are_named_with_their_times(moto, s3_bucket, bucket):
    options = moto.storage_options
    s3_bucket.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": _RULES})
    manifest = await asyncref.scan(f"s3://{bucket}/data/", storage_options=options)
    s3_bucket.put_object(Bucket=bucket, Key="data/a", Body=b"other bytes")
    report = await asyncref.audit(manifest, storage_options=options)
    assert codes(report) == {"expires-old": 4, "archives": 4, "superseded": 1}
    old, away = (next(one for one in report.findings if one.code == code) for code in ("expires-old", "archives"))
    due = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    assert old.message == (
        f"rule 'tidy-old' removes old versions 30 days after they were replaced; the first pinned one about {due}"
    )
    assert "rule 'away' moves to GLACIER objects 90 days after upload if the tag cold=yes" in away.message


async def test_versioning_that_is_off_or_suspended_is_a_risk(moto, s3_bucket, bucket):
    options = moto.storage_options
    s3_bucket.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    manifest = await asyncref.scan(f"s3://{bucket}/data/", storage_options=options)
    assert codes(await asyncref.audit(manifest, storage_options=options)) == {"versioning-suspended": 4}
    plain = f"{bucket}-plain"
    s3_bucket.create_bucket(Bucket=plain)
    s3_bucket.put_object(Bucket=plain, Key="kept", Body=b"x")
    s3_bucket.put_object(Bucket=plain, Key="overwritten", Body=b"x")
    manifest = await asyncref.scan(f"s3://{plain}", storage_options=options)
    s3_bucket.put_object(Bucket=plain, Key="overwritten", Body=b"y")
    report = await asyncref.audit(manifest, storage_options=options)
    assert codes(report) == {"lost": 1, "versioning-off": 2}


async def test_entries_in_an_archive_tier_are_found_by_version_and_by_name(moto, s3_bucket, bucket):
    options = moto.storage_options
    s3_bucket.put_object(Bucket=bucket, Key="data/é +%", Body=b"cold", StorageClass="DEEP_ARCHIVE")
    s3_bucket.put_object(Bucket=bucket, Key="data/instant", Body=b"cold", StorageClass="GLACIER_IR")
    manifest = await asyncref.scan(f"s3://{bucket}/data/", storage_options=options)
    report = await asyncref.audit(manifest, storage_options=options)
    assert codes(report) == {"archived": 1}
    assert report.findings[0].examples == ("é +%",)
    s3_bucket.put_object(Bucket=bucket, Key="data/é +%", Body=b"warm")  # the pinned version stays where it is
    assert codes(await asyncref.audit(manifest, storage_options=options)) == {"superseded": 1, "archived": 1}
    plain = f"{bucket}-plain"
    s3_bucket.create_bucket(Bucket=plain)
    s3_bucket.put_object(Bucket=plain, Key="a b", Body=b"cold", StorageClass="GLACIER")
    report = await asyncref.audit(f"s3://{plain}", storage_options=options)
    assert codes(report) == {"versioning-off": 1, "archived": 1}


def test_the_command_leaves_with_3_and_says_what_to_do(moto, s3_bucket, bucket, monkeypatch, capsys):
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["audit", f"s3://{bucket}/data/", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["ok"] is True
    s3_bucket.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": _RULES})
    assert main(["audit", f"s3://{bucket}/data/", "--json"]) == 3
    said = orjson.loads(capsys.readouterr().out)
    assert said["schema"] == "asyncref.audit/1"
    assert {one["code"] for one in said["findings"]} == {"expires-old", "archives"}
    assert [rule["name"] for rule in said["sources"][0]["retention"]["rules"]] == ["tidy-old", "away", "elsewhere"]
    assert main(["audit", f"s3://{bucket}/data/"]) == 3
    shown = capsys.readouterr().out
    assert KINDS["expires-old"].advice in shown
    assert shown.endswith("4 entries: 2 risk\n")


async def test_a_denied_version_is_told_with_its_permission():
    store = MemoryStore(versioned=True)
    store.seed("data/a", b"one")
    store.seed("data/b", b"two")
    with mounted(store):
        manifest = await asyncref.scan("memory://bucket/data/")
        store.seed("data/a", b"other")
        store.faults = Faults(denied=frozenset({"get_version"}))
        report = await audit(manifest)
        assert codes(report) == {"denied-version": None, "superseded": 1}
        store.faults = Faults(denied=frozenset({"list", "versioning"}))
        assert set(codes(await audit(manifest))) == {"not-compared"}
        store.exists = False
        assert codes(await audit(manifest)) == {"lost": 2}


async def test_files_and_references_without_pins_are_held_by_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"y")
    manifest = await asyncref.scan(f"file://{tmp_path}")
    (tmp_path / "b").write_bytes(b"z")
    report = await asyncref.audit(manifest)
    assert codes(report) == {"lost": 1, "versioning-off": 2}
    manifest = await asyncref.scan(f"file://{tmp_path}", checksum=False)
    assert codes(await asyncref.audit(manifest)) == {"by-name": 2}


async def test_a_tree_that_is_not_mounted_now_is_not_said_to_be_lost(tmp_path):
    tree = tmp_path / "mount"
    tree.mkdir()
    (tree / "a").write_text("a")
    manifest = await asyncref.scan(f"file://{tree}/")
    (tree / "a").unlink()
    tree.rmdir()
    found = codes(await audit(manifest))
    assert "not-compared" in found
    assert "lost" not in found


async def test_a_web_server_s_files_without_etags_are_mere_urls_and_what_was_overwritten_is_lost(nginx, served, bucket):
    folder = served / bucket
    folder.mkdir()
    for name in ("cut", "gone", "kept"):
        (folder / name).write_bytes(b"as it was")
    urls = folder / "urls.txt"
    urls.write_text("".join(f"{nginx.bare}/{bucket}/{name}\n" for name in ("cut", "gone", "kept")))
    manifest = await asyncref.scan(str(urls))
    assert all(entry.pin.version and entry.digest == entry.ref for entry in manifest)
    (folder / "cut").write_bytes(b"cut")
    (folder / "gone").unlink()
    assert codes(await asyncref.audit(manifest)) == {"lost": 2, "by-name": 3}
    manifest = await asyncref.scan(f"{nginx.bare}/{bucket}/kept")
    assert codes(await asyncref.audit(manifest)) == {"by-name": 1}
    assert codes(await asyncref.audit(f"{nginx.url}/{bucket}/kept")) == {"versioning-off": 1}


def test_rules_that_cannot_touch_what_is_pinned_are_no_findings():
    pinned = Pinned(uri="s3://b/", entries=3, versions=3, under={"": 3, "x/": 0})
    old = Rule(name="r", effect="expire", of="old", after_days=1)

    def judged(versioning, *rules):
        said = Retention(versioning=versioning, rules=rules)
        return {one.code: one.severity for one in judge(pinned, said, keeps_versions=None)}

    assert judged("kept", Rule(name="r", effect="expire", of="old", prefixes=("x/",))) == {}
    assert judged("kept", old) == {"expires-old": "risk"}
    assert judged("never", old) == {"versioning-off": "risk"}
    current = Rule(name="r", effect="expire", of="current", after_days=1)
    assert judged("kept", current) == {"expires-current": "info"}
    assert judged("never", current)["expires-current"] == "risk"


@asynccontextmanager
async def answering(body, status=200):
    async def answer(_):
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def retention_of(scheme, body, status=200):
    async with answering(body, status) as endpoint:
        backend = open_backend(Reference(scheme, "bucket", ""), {"endpoint_url": endpoint, "anon": True})
        try:
            return await backend.retention()
        finally:
            await backend.aclose()


async def test_what_moto_lacks_of_s3_s_documented_lifecycle_is_understood():
    rules = """
      <Rule><ID>keep</ID><Filter/><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>5</NoncurrentDays>
        <NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>
      <Rule><ID>old form</ID><Prefix>a&amp;b/</Prefix><Status>Enabled</Status>
        <Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration></Rule>
      <Rule><ID>markers</ID><Filter><Prefix/></Filter><Status>Enabled</Status>
        <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>
      <Rule><ID>big</ID><Filter><And><Prefix>x/</Prefix><ObjectSizeGreaterThan>500</ObjectSizeGreaterThan></And></Filter>
        <Status>Enabled</Status><NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays>
        <StorageClass>DEEP_ARCHIVE</StorageClass></NoncurrentVersionTransition></Rule>"""
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    said = await retention_of("s3", f"<LifecycleConfiguration {space}>{rules}</LifecycleConfiguration>")
    assert said.rules == (
        Rule(name="keep", effect="expire", of="old", after_days=5, keep_newest=2),
        Rule(
            name="old form",
            effect="expire",
            of="current",
            prefixes=("a&b/",),
            condition="from 2030-01-01T00:00:00.000Z on",
        ),
        Rule(
            name="big",
            effect="archive",
            of="old",
            prefixes=("x/",),
            after_days=1,
            condition="more than 500 bytes",
            tier="DEEP_ARCHIVE",
        ),
    )


async def test_a_lifecycle_that_makes_no_sense_is_an_error_and_not_a_clean_bill():
    rule = "<Rule><Status>Enabled</Status><Expiration><Days>soon</Days></Expiration></Rule>"
    for body in (f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>", "<LifecycleConfiguration>"):
        with pytest.raises(ProtocolError):
            await retention_of("s3", body)


@pytest.mark.parametrize(
    ("scheme", "permission"), [("s3", "s3:GetLifecycleConfiguration"), ("gs", "storage.buckets.get")]
)
async def test_what_is_denied_stays_unknown_with_its_permission(scheme, permission):
    body = (
        "<Error><Code>AccessDenied</Code></Error>" if scheme == "s3" else {"error": {"message": "me does not have it"}}
    )
    said = await retention_of(scheme, body, status=403)
    assert (said.versioning, said.rules) == ("unknown", None)
    assert any(permission in reason for reason in said.unknown)
    found = {one.code for one in judge(Pinned(uri="x", entries=1), said, keeps_versions=None)}
    assert found == {"versioning-unknown", "rules-unknown"}


async def test_google_s_documented_bucket_resource_is_understood():
    said = {
        "versioning": {"enabled": True},
        "softDeletePolicy": {"retentionDurationSeconds": "604800"},
        "retentionPolicy": {"retentionPeriod": "86400"},
        "lifecycle": {
            "rule": [
                {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 7, "matchesPrefix": ["a/"]}},
                {"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": True, "matchesSuffix": [".tmp"]}},
                {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 3}},
                {"action": {"type": "Delete"}, "condition": {"age": 365}},
                {"action": {"type": "SetStorageClass", "storageClass": "ARCHIVE"}, "condition": {"age": 1}},
            ]
        },
    }
    retention = await retention_of("gs", said)

    def rule(of, **more):
        return Rule(name="", effect="expire", of=of, **more)

    assert retention == Retention(
        versioning="kept",
        restorable_days=7.0,
        locked_days=1.0,
        rules=(
            rule("old", prefixes=("a/",), after_days=7),
            rule("current", after_days=30, condition="a name that ends in .tmp"),
            rule("old", keep_newest=2),
            rule("current", after_days=365),
            rule("old", condition="365 days after its upload"),
        ),
    )


async def test_azure_says_little_and_the_audit_says_so(azurite, bucket):
    client = azurite.container(bucket)
    client.upload_blob("data/a", b"warm")
    client.upload_blob("data/é", b"cold", standard_blob_tier=StandardBlobTier.ARCHIVE)
    manifest = await asyncref.scan(f"az://{bucket}/data/", storage_options=azurite.storage_options)
    report = await asyncref.audit(manifest, storage_options=azurite.storage_options)
    assert codes(report) == {"archived": 1, "versioning-unknown": 2, "rules-unknown": None}
    assert report.findings[0].examples == ("é",)
    backend = open_backend(Reference("az", bucket, ""), azurite.storage_options, Limits())
    _, archived = await backend.archived(ListRequest(prefix="data/", limit=5000))
    await backend.aclose()
    assert [(one.key, one.tier) for one in archived] == [("data/é", "Archive")]


def test_every_kind_of_finding_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert rows == [(code, kind.severity, kind.meaning, kind.advice) for code, kind in KINDS.items()]
