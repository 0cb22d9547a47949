"""W&B's manifest file: what W&B writes is read, and what is written W&B reads."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode

import orjson
import pytest

from asyncref.errors import ManifestFormatError, ManifestVersionError
from asyncref.manifest import Manifest
from asyncref.manifest.formats import from_wandb, to_wandb
from asyncref.model import Entry, Pin
from tests.manifest import RECORD, SOURCES, reference_digest, s3_entry

MD5 = hashlib.md5(b"content")
FILE = Entry(
    path="f",
    ref="file:///mount/a/f",
    digest=b64encode(MD5.digest()).decode(),
    pin=Pin(size=7, checksum=f"md5:{MD5.hexdigest()}", digest=b64encode(MD5.digest()).decode()),
    source=2,
)
BARE = Entry(path="g", ref="s3://bucket/data/g", digest="s3://bucket/data/g", pin=Pin(digest="s3://bucket/data/g"))
ROWS = [s3_entry("a", version="v1"), s3_entry("b", version="null"), s3_entry("é/ü"), FILE, BARE]


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.from_entries(ROWS, sources=SOURCES, record=RECORD)


@pytest.mark.parametrize("form", ["core", "sdk"])
def test_what_is_written_is_read_again(manifest, form):
    again = from_wandb(b"".join(to_wandb(manifest, form=form)))
    assert again.digest == manifest.digest == reference_digest(ROWS)
    weak = {"b": None}  # W&B has no word for S3's version `null`
    for row in manifest:
        found = again[row.path]
        assert (found.ref, found.digest, found.size) == (row.ref, row.digest, row.size)
        assert found.pin.version == weak.get(row.path, row.pin.version)
        assert (found.pin.etag, found.pin.checksum) == (row.pin.etag, row.pin.checksum)


def test_the_core_form_has_the_fields_that_the_go_client_writes(manifest):
    values = orjson.loads(b"".join(to_wandb(manifest, form="core")))
    assert values["version"] == 1
    assert values["storagePolicy"] == "wandb-storage-policy-v1"
    assert values["storagePolicyConfig"] == {"storageLayout": "V2"}
    etag = hashlib.md5(b"a").hexdigest()
    assert values["contents"]["a"] == {
        "digest": etag,
        "ref": "s3://bucket/data/a",
        "size": 1,
        "skip_cache": False,
        "extra": {"etag": etag, "versionID": "v1"},
    }
    assert values["contents"]["g"]["size"] == 0


def test_a_manifest_without_entries_is_written_and_read():
    written = b"".join(to_wandb(Manifest.from_entries([], sources=SOURCES)))
    assert orjson.loads(written)["contents"] == {}
    assert len(from_wandb(written)) == 0


def test_many_entries_are_written_in_chunks_that_join():
    rows = [s3_entry(f"{number:05d}") for number in range(8192)]
    written = [*to_wandb(Manifest.from_entries(rows, sources=SOURCES))]
    assert len(written) > 3
    assert len(orjson.loads(b"".join(written))["contents"]) == 8192


@pytest.mark.parametrize("form", ["core", "sdk"])
def test_wandb_reads_what_is_written(manifest, form):
    pytest.importorskip("wandb")
    from wandb.sdk.artifacts.artifact_manifests.artifact_manifest_v1 import ArtifactManifestV1  # noqa: PLC0415

    theirs = ArtifactManifestV1.from_manifest_json(orjson.loads(b"".join(to_wandb(manifest, form=form))))
    assert theirs.digest() == manifest.digest
    assert theirs.size() == manifest.size


def test_what_wandb_writes_is_read():
    pytest.importorskip("wandb")
    from wandb.sdk.artifacts._generated import ArtifactDigestAlgorithm  # noqa: PLC0415
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry  # noqa: PLC0415
    from wandb.sdk.artifacts.artifact_manifests.artifact_manifest_v1 import ArtifactManifestV1  # noqa: PLC0415

    theirs = ArtifactManifestV1(digest_algorithm=ArtifactDigestAlgorithm.MANIFEST_MD5)
    for row in ROWS:
        extra = {"etag": row.digest, "versionID": row.pin.version} if row.path == "a" else {}
        theirs.add_entry(
            ArtifactManifestEntry(path=row.path, ref=row.ref, digest=row.digest, size=row.size, extra=extra)
        )
    whole = from_wandb(json.dumps(theirs.to_manifest_json()).encode())
    lines = b"".join(orjson.dumps(entry.to_json()) + b"\n" for entry in theirs.entries.values())
    handed_over = from_wandb(gzip.compress(lines))
    assert whole.digest == handed_over.digest == theirs.digest()
    assert whole["a"].pin.etag == f'"{whole["a"].digest}"'
    assert whole["f"].pin.checksum == f"md5:{MD5.hexdigest()}"
    assert whole["g"].size is None
    assert [source.prefix for source in whole.sources] == ["/mount/a/", "data/"]


def holding(contents: str) -> bytes:
    return b'{"version":1,"storagePolicy":"wandb-storage-policy-v1","contents":{%s}}' % contents.encode()


TWINS = [
    holding('"a/b":{"digest":"x","ref":"s3://b/x"},"a\\u002fb":{"digest":"y","ref":"s3://b/y"}'),
    gzip.compress(b'{"path":"a/b","digest":"x","ref":"s3://b/x"}\n{"path":"a/b","digest":"y","ref":"s3://b/y"}\n'),
    gzip.compress(b'{"path":"c","path":"a/b","digest":"x","ref":"s3://b/x"}\n'),
    holding('"a":{"digest":"x","digest":"a/b","ref":"s3://b/x"}'),
]


@pytest.mark.parametrize("data", TWINS)
def test_a_path_or_a_field_that_is_there_twice_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestFormatError, match="twice"):
        from_wandb(data)


@pytest.mark.parametrize(
    "size", ["true", "-1", "9223372036854775808", "1e3", "1.0", '"7"', "[7]", "9" * 400, "9" * 5000]
)
def test_a_size_that_is_no_count_of_bytes_is_refused(size: str) -> None:
    with pytest.raises(ManifestFormatError, match=r"the entry a has the size|damaged"):
        from_wandb(holding(f'"a":{{"digest":"x","ref":"s3://b/x","size":{size}}}'))


@pytest.mark.parametrize("depth", [900, 1000, 1100, 100_000])
def test_nesting_beyond_reason_is_a_damaged_manifest(depth: int) -> None:
    with pytest.raises(ManifestFormatError, match=r"uploaded|damaged"):
        from_wandb(holding(f'"a":{{"digest":"x","extra":{{"x":{"[" * depth}{"]" * depth}}}}}'))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", ManifestFormatError, "not a W&B manifest"),
        (b"[1]", ManifestFormatError, "not a W&B manifest"),
        (
            b'{"version":1,"storagePolicy":"wandb-storage-policy-v1","contents":{"a":{"digest":"x"',
            ManifestFormatError,
            "damaged",
        ),
        (b'{"version":2,"storagePolicy":"wandb-storage-policy-v1","contents":{}}', ManifestVersionError, "version 2"),
        (b'{"version":1,"storagePolicy":"mine","contents":{}}', ManifestFormatError, "mine"),
        (
            b'{"version":1,"storagePolicy":"wandb-storage-policy-v1","contents":{"a":{"digest":"x","size":3}}}',
            ManifestFormatError,
            "uploaded to W&B",
        ),
        (
            b'{"version":1,"storagePolicy":"wandb-storage-policy-v1","contents":{"a":{"digest":"x","ref":"nowhere"}}}',
            ManifestFormatError,
            "no scheme",
        ),
        (gzip.compress(b'{"path":"a"}\n')[:-9], ManifestFormatError, "damaged"),
    ],
)
def test_what_is_no_wandb_manifest_is_one_clear_error(data, error, words):
    with pytest.raises(error, match=words) as raised:
        from_wandb(data, uri="wandb_manifest.json")
    assert str(raised.value).startswith("wandb_manifest.json: ")
