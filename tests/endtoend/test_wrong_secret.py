"""A wrong secret, a wrong key, a bucket of somebody else: one line on the command line that names what was denied."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncref import blocking as ar
from asyncref.errors import AccessDeniedError, CredentialsError
from tests.endtoend import Bucket
from tests.servers import S3Server


@pytest.fixture
def place(radosgw: S3Server, bucket: str) -> Bucket:
    made = Bucket(radosgw, bucket).make()
    made.put({"a": b"a"})
    return made


def refused(place: Bucket, *command: str, folder: Path, **environment: str) -> str:
    """The one line, and nothing left behind."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncref", *command],
        cwd=folder,
        env={**os.environ, **place.server.environment, "ASYNCREF_HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "wrong", [{"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "nobody"}], ids=["secret", "key"]
)
@pytest.mark.parametrize("command", ["scan", "log"])
def test_wrong_credentials_give_one_line_that_names_the_bucket_and_what_was_denied(
    place: Bucket, tmp_path: Path, wrong: dict[str, str], command: str
) -> None:
    arguments = ["scan", place.uri, "-o", "m.parquet"] if command == "scan" else ["log", "mnist", place.uri]
    line = refused(place, *arguments, folder=tmp_path, **wrong)
    assert line.startswith("asyncref: error: ")
    assert f"s3://{place.name}" in line
    assert ("SignatureDoesNotMatch" if "AWS_SECRET_ACCESS_KEY" in wrong else "InvalidAccessKeyId") in line
    assert "credentials" in line
    assert "wrong" not in line
    assert not (tmp_path / "m.parquet").exists()


def test_a_fetch_with_a_wrong_secret_is_one_error_and_no_list_of_objects(place: Bucket, tmp_path: Path) -> None:
    ar.scan(place.uri, storage_options=place.options).save(tmp_path / "m.parquet")
    line = refused(place, "fetch", "m.parquet", "out", folder=tmp_path, AWS_SECRET_ACCESS_KEY="wrong")
    assert f"s3://{place.name}" in line
    assert "SignatureDoesNotMatch" in line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_anonymous_requests_are_denied_and_not_called_missing(place: Bucket) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        ar.scan(place.uri, storage_options={"endpoint_url": place.server.endpoint, "anon": True})
    assert place.name in (caught.value.uri or "")
    assert "AccessDenied" in str(caught.value)


def test_the_library_raises_its_own_error_with_the_bucket_and_the_request_id(place: Bucket) -> None:
    with pytest.raises((CredentialsError, AccessDeniedError)) as caught:
        ar.scan(place.uri, storage_options={**place.options, "secret": "wrong"})
    assert place.name in (caught.value.uri or "")
    assert caught.value.request_id
