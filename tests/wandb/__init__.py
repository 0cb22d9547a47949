"""asyncref beside W&B's own client, both asked to track the same place: what the tests share."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

import asyncref
from asyncref.manifest.formats import to_wandb
from tests.servers import S3Server

EMPTY_DIGEST = "64e7c61456b10382e2f3b571ac24b659"
"""W&B's digest of an artifact without entries."""


@dataclass(frozen=True)
class Tracked:
    """What W&B's client made of references.

    Attributes:
        digest: The artifact's.
        manifest: As it would write `wandb_manifest.json`.
        data: The bytes of the entry that was to be read.
        error: What it raised, with its type; all else is empty then.
    """

    digest: str = ""
    manifest: Mapping[str, Any] | None = None
    data: bytes | None = None
    error: str = ""

    @property
    def contents(self) -> dict[str, Any]:
        assert self.manifest is not None, self.error
        return dict(self.manifest["contents"])


class Client:
    """W&B's client, for one server or for files.

    Args:
        process: Runs `client.py`.
        environment: What it needs to reach the server.
    """

    def __init__(self, process: subprocess.Popen[str], environment: Mapping[str, str]) -> None:
        self._process = process
        self._environment = dict(environment)

    def on(self, server: S3Server) -> Client:
        """The same client, asking this server."""
        return self.at(server.endpoint, server)

    def at(self, endpoint: str, server: S3Server) -> Client:
        """The same client, asking a proxy before this server."""
        return Client(self._process, {**server.environment, "AWS_S3_ENDPOINT_URL": endpoint})

    def track(self, *references: str | dict[str, Any], read: str | None = None) -> Tracked:
        """Add references to a new artifact; then read an entry's bytes as a download would."""
        return self._ask(references=[_keywords(one) for one in references], manifest=None, read=read)

    def load(self, manifest: Mapping[str, Any], *, read: str | None = None) -> Tracked:
        """Take a `wandb_manifest.json`."""
        return self._ask(references=[], manifest=manifest, read=read)

    def _ask(self, **request: Any) -> Tracked:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**request, "environment": self._environment}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "data" in answer:
            answer["data"] = bytes.fromhex(answer["data"])
        return Tracked(**answer)


def track(*references: str | dict[str, Any], server: S3Server | None = None) -> asyncref.Manifest:
    """The same references, added to an artifact of asyncref's."""
    artifact = asyncref.Artifact("probe", type="dataset")
    options = server.storage_options if server else None
    for reference in references:
        keywords = _keywords(reference)
        s3 = keywords["uri"].startswith("s3:")
        artifact.add_reference(**keywords, storage_options=options if s3 else None)
    return artifact.manifest


def contents(manifest: asyncref.Manifest) -> dict[str, Any]:
    """The entries as the W&B client would write them."""
    return dict(orjson.loads(b"".join(to_wandb(manifest, form="sdk")))["contents"])


def assert_same(ours: asyncref.Manifest, theirs: Tracked) -> None:
    """Every entry, every field of it, and the digest."""
    assert not theirs.error
    assert contents(ours) == theirs.contents
    assert ours.digest == theirs.digest


def _keywords(reference: str | dict[str, Any]) -> dict[str, Any]:
    return {"uri": reference} if isinstance(reference, str) else reference
