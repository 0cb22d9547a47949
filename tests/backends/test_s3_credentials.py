"""Who asks, at the seam: what reaches the server of each way to give S3 credentials, and what happens when they end in mid-scan."""

from __future__ import annotations

import json
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import asyncref
from asyncref.backends import s3
from asyncref.checks.identity import credentials_of
from asyncref.errors import CredentialsError
from asyncref.uri import parse
from tests.servers import S3Server
from tests.servers.identity import AUTHORIZATION, identities
from tests.servers.proxy import Proxy, Status

OBJECTS = 60
EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>"
    b"<Token-0>the token itself</Token-0><RequestId>R1</RequestId></Error>"
)


@pytest.fixture
def place(moto: S3Server, bucket: str, proxy_to: Callable[[str], Proxy], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket that is listed in pages of ten, behind a proxy."""
    monkeypatch.setattr(s3, "TRAITS", replace(s3.TRAITS, page_rows=10))
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    for number in range(OBJECTS):
        client.put_object(Bucket=bucket, Key=f"{number:03}", Body=b"x")
    return f"s3://{bucket}/", proxy_to(moto.endpoint)


def askers(proxy: Proxy) -> list[str | None]:
    """The access key and whether a session token came with each request, in order."""
    found: list[str | None] = []
    for request in proxy.seen:
        key = re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))
        token = request.headers.get("x-amz-security-token")
        found.append(f"{key[1]}{' ' + token if token else ''}" if key else None)
    return found


async def scanned_by(place: Any, **options: Any) -> set[str | None]:
    """Who asked in the course of a whole scan."""
    uri, proxy = place
    options = {"endpoint_url": proxy.endpoint, "region": "us-east-1", **options}
    assert len(await asyncref.scan(uri, storage_options=options)) == OBJECTS
    return set(askers(proxy))


async def test_options_come_before_the_environment_and_that_before_files(
    place: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "credentials"
    shared.write_text(
        "[default]\naws_access_key_id = of-file\naws_secret_access_key = s\n"
        "[other]\naws_access_key_id = of-profile\naws_secret_access_key = s\naws_session_token = t2\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    _, proxy = place
    for options, expected in (
        ({}, "of-file"),
        ({"profile": "other"}, "of-profile t2"),
        ({"key": "of-option", "secret": "s", "token": "t3"}, "of-option t3"),
        ({"anon": True}, None),
    ):
        proxy.forget()
        assert await scanned_by(place, **options) == {expected}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t1")
    proxy.forget()
    assert await scanned_by(place) == {"of-environment t1"}


async def test_credentials_that_end_soon_are_renewed_in_the_course_of_a_scan(
    place: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program gives them, as an SSO or a vault does; each set says that it ends in five minutes, so each is renewed."""
    script, calls = tmp_path / "process.py", tmp_path / "calls"
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    answer = {"Version": 1, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": soon}
    script.write_text(
        f"#!{sys.executable}\nimport json, pathlib\ncalls = pathlib.Path({str(calls)!r})\n"
        f"calls.open('a').write('x')\nprint(json.dumps({answer!r} | {{'AccessKeyId': f'id{{len(calls.read_text())}}'}}))\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    found = await scanned_by(place)
    assert len(found) >= 2
    assert all(who is not None and re.fullmatch(r"id\d+ t", who) for who in found)


async def test_a_container_s_role_is_asked_for_and_renewed(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with identities() as given:
        given.lasts_s = 300  # each set is said to end in five minutes, so each is renewed
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{given.url}/container")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION)
        found = await scanned_by(place)
        assert len(found) >= 2
        assert all(
            who is not None and re.fullmatch(r"id-of-container-\d+ hidden-container-session", who) for who in found
        )
        assert await credentials_of(parse(place[0]), {}, place[0]) == "the container's role"


async def test_an_instance_s_role_is_asked_for_by_a_session_of_the_metadata_service(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    async with identities() as given:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", given.url)
        (who,) = await scanned_by(place)
        assert re.fullmatch(r"id-of-instance-\d+ hidden-instance-session", str(who))
        assert given.asked[0] == "PUT /latest/api/token"
        assert await credentials_of(parse(place[0]), {}, place[0]) == "the instance's role"


async def test_a_web_identity_is_exchanged_for_a_role_s_credentials(
    place: Any, moto: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a token of the cluster's")
    for name, value in (
        ("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token")),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader"),
        ("AWS_ENDPOINT_URL_STS", moto.endpoint),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    (who,) = await scanned_by(place)
    assert re.fullmatch(r"ASIA\w+ \S+", str(who))
    assert await credentials_of(parse(place[0]), {}, place[0]) == "a web identity token"
    (tmp_path / "token").unlink()
    with pytest.raises(CredentialsError, match="token"):
        await asyncref.scan(place[0], storage_options={"endpoint_url": place[1].endpoint, "region": "us-east-1"})


async def test_a_token_that_ends_in_mid_scan_is_one_error_and_the_scan_goes_on_with_a_new_one(
    place: Any, tmp_path: Path
) -> None:
    uri, proxy = place
    proxy.script = lambda _: [Status(400, EXPIRED)] if proxy.counts["list"] > 3 else []
    options = {"endpoint_url": proxy.endpoint, "region": "us-east-1", "key": "old", "secret": "s", "token": "hush"}
    with pytest.raises(CredentialsError, match=r"ExpiredToken.*get a new session token") as caught:
        await asyncref.scan(uri, storage_options=options, resume=tmp_path / "scans")
    said = str(caught.value)
    assert uri in said
    assert "\n" not in said
    assert "hush" not in said
    assert "the token itself" not in said
    assert proxy.counts["list"] < 40  # not tried again and again
    proxy.forget()
    fresh = options | {"key": "new", "token": "other"}
    manifest = await asyncref.scan(uri, storage_options=fresh, resume=tmp_path / "scans")
    assert len(manifest) == OBJECTS
    assert set(askers(proxy)) == {"new other"}
    assert manifest.record.resumes == 1
    assert json.dumps(manifest.record.to_json()).count("hush") == 0
