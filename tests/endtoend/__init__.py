"""The whole job through the public face, on real servers and on files: what the tests share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.servers import S3Server


class Place(Protocol):
    """Where objects lie: a bucket or a folder."""

    @property
    def uri(self) -> str:
        """Of everything that lies there; ends in a slash."""
        ...

    @property
    def options(self) -> dict[str, Any] | None:
        """`storage_options` of a scan."""
        ...

    @property
    def secrets(self) -> dict[str, Any] | None:
        """`storage_options` of a fetch: what no manifest knows."""
        ...

    def put(self, objects: Mapping[str, bytes]) -> None: ...
    def delete(self, keys: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own, everything under `set/`."""

    server: S3Server
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/set/"

    @property
    def options(self) -> dict[str, Any]:
        return self.server.storage_options

    @property
    def secrets(self) -> dict[str, Any]:
        return {"key": self.server.key, "secret": self.server.secret}

    def make(self) -> Bucket:
        self.server.client().create_bucket(Bucket=self.name)
        return self

    def keep_versions(self) -> None:
        status = {"Status": "Enabled"}
        self.server.client().put_bucket_versioning(Bucket=self.name, VersioningConfiguration=status)

    def put(self, objects: Mapping[str, bytes], **options: Any) -> None:
        self._send(objects.items(), options)

    def put_again(self, key: str, bodies: Iterable[bytes]) -> None:
        """Many versions of one key, in any order."""
        self._send(((key, body) for body in bodies), {})

    def _send(self, objects: Iterable[tuple[str, bytes]], options: Mapping[str, Any]) -> None:
        client = self.server.client(max_pool_connections=8)

        def send(pair: tuple[str, bytes]) -> None:
            client.put_object(Bucket=self.name, Key=f"set/{pair[0]}", Body=pair[1], **options)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(send, objects))

    def delete(self, keys: Iterable[str]) -> None:
        client = self.server.client()
        for key in keys:
            client.delete_object(Bucket=self.name, Key=f"set/{key}")

    def current(self) -> dict[str, tuple[str, str | None]]:
        """What boto3 says lies there: ETag and version id of every current object, by path."""
        pages = self.server.client().get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix="set/")
        rows = [row for page in pages for row in page.get("Versions", ()) if row["IsLatest"]]
        return {row["Key"].removeprefix("set/"): (row["ETag"], row["VersionId"]) for row in rows}


@dataclass(frozen=True)
class Folder:
    """A folder of files."""

    root: Path
    options: None = None
    secrets: None = None

    @property
    def uri(self) -> str:
        return f"file://{self.root}/"

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, body in objects.items():
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(body)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self.root / key).unlink()
