"""What a killed fetch had brought is not asked for again, part by part, and nothing wrong gets a final name.

`ASYNCREF_KILLS=20` kills it at twenty moments; a few of them are before a part came, some kills follow on each other.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from hypothesis import given
from hypothesis import strategies as st

from asyncref.engine.fetch import fetch
from asyncref.engine.fetch.journal import Journal
from asyncref.engine.fetch.plan import parts_of
from asyncref.engine.scan import Target, scan
from asyncref.manifest import Manifest
from asyncref.model import Limits, Pin
from asyncref.testing import MemoryStore, mounted
from tests.fetch import noise, pinned, tree
from tests.servers import S3Server, wait_until
from tests.servers.proxy import Proxy

KILLS = int(os.environ.get("ASYNCREF_KILLS", "3"))
SIZE = 36 * 2**20
PARTS = parts_of(SIZE)
PIN = Pin(size=SIZE, etag='"a"')
HEAD_BYTES, RECORD_BYTES = 32, 8


def journal(folder: Path, ref: str = "s3://b/k", pin: Pin = PIN) -> Journal:
    return Journal(str(folder / "j"), ref, pin, PARTS, inode=7)


def test_what_was_noted_is_there_in_the_next_run(tmp_path: Path) -> None:
    first = journal(tmp_path)
    assert not first.load()
    first.note(PARTS[2])
    first.note(PARTS[0])
    first.close()
    second = journal(tmp_path)
    assert second.load()
    assert second.done == {0, 2}
    assert second.has(PARTS[2])
    assert not second.has(PARTS[1])


@pytest.mark.parametrize("other", [("s3://b/other", PIN), ("s3://b/k", Pin(size=SIZE, etag='"b"'))])
def test_a_journal_about_something_else_counts_for_nothing(other: tuple[str, Pin], tmp_path: Path) -> None:
    journal(tmp_path).note(PARTS[0])
    second = journal(tmp_path, *other)
    assert not second.load()
    second.note(PARTS[1])
    second.close()
    third = journal(tmp_path, *other)
    assert third.load()
    assert third.done == {1}


@given(cut=st.integers(0, HEAD_BYTES + 3 * RECORD_BYTES))
def test_a_torn_journal_names_fewer_parts_never_others(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("j")
    whole = journal(folder)
    for number in (2, 1, 0):
        whole.note(PARTS[number])
    whole.close()
    os.truncate(folder / "j", cut)
    torn = journal(folder)
    torn.load()
    assert torn.done == set([2, 1, 0][: max(0, cut - HEAD_BYTES) // RECORD_BYTES])
    torn.note(PARTS[1])
    torn.close()
    again = journal(folder)
    assert again.load()
    assert again.done == torn.done


@given(garbage=st.binary(max_size=100))
def test_garbage_behind_the_head_names_no_part(garbage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("j")
    whole = journal(folder)
    whole.note(PARTS[1])
    whole.close()
    with (folder / "j").open("ab") as file:
        file.write(garbage)
    found = journal(folder)
    assert found.load()
    assert found.done == {1}


async def test_a_cancelled_fetch_goes_on_with_the_parts_that_had_come(tmp_path: Path) -> None:
    store = MemoryStore(latency_s=0.2)
    data = noise(SIZE)
    store.overwrite("large", data)
    manifest = pinned(store)
    with mounted(store):
        task = asyncio.create_task(fetch(manifest, tmp_path, limits=Limits(concurrency=1)))
        await asyncio.to_thread(wait_until, lambda: noted(tmp_path) >= 2, what="two parts")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(name.rpartition(".")[2] for name in tree(tmp_path)) == ["journal", "part"]
        store.requests.clear()
        report = await fetch(manifest, tmp_path)
    assert tree(tmp_path) == {"large": data}
    assert store.requests["get"] <= len(PARTS) - 2
    assert any("continued" in note for note in report.notes)


KILLED = """
import asyncio, json, sys
from pathlib import Path
from asyncref.engine.fetch import fetch
from asyncref.manifest import Manifest
from asyncref.manifest import Manifest
from asyncref.model import Limits
manifest, root, options = sys.argv[1:]
limits = Limits(concurrency=2, bytes_per_second=50e6)
asyncio.run(fetch(Manifest.load(manifest), Path(root), storage_options=json.loads(options), limits=limits, overwrite=True))
"""


def noted(root: Path) -> int:
    """Parts in the journal."""
    sizes = [path.stat().st_size for path in root.glob(".asyncref-*.journal")] if root.exists() else []
    return (sizes[0] - HEAD_BYTES) // RECORD_BYTES if sizes else 0


@dataclass(frozen=True)
class Versions:
    """A bucket that keeps two versions of one large object, whose ETags are no MD5, beside a small one."""

    manifests: dict[str, Manifest]
    contents: dict[str, dict[str, bytes]]
    options: dict[str, Any]
    proxy: Proxy
    folder: Path

    def killed(self, version: str, root: Path, parts: int, wait_s: float) -> None:
        """Fetch, and kill that some time after so many parts were noted; 0: after the first bytes were asked for."""
        self.proxy.forget()
        command = [sys.executable, "-c", KILLED, str(self.folder / version), str(root), json.dumps(self.options)]
        process = subprocess.Popen(command)
        try:
            came = (lambda: noted(root) >= parts) if parts else (lambda: self.proxy.counts["get"] > 0)
            wait_until(came, what="the moment")
            time.sleep(wait_s)
        finally:
            process.kill()
            process.wait()
        assert tree(root).get("large") in (None, *(contents["large"] for contents in self.contents.values()))


@pytest.fixture
async def versions(moto: S3Server, bucket: str, tmp_path: Path, proxy_to: Callable[[str], Proxy]) -> Versions:
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    config = TransferConfig(multipart_threshold=2**20, multipart_chunksize=16 * 2**20)
    manifests, contents = {}, {}
    for version in ("old", "new"):
        contents[version] = {"large": noise(SIZE, version), "small": noise(1000, version)}
        for key, data in contents[version].items():
            client.upload_fileobj(io.BytesIO(data), bucket, key, Config=config)
        manifests[version] = await scan([Target(uri=f"s3://{bucket}/")], storage_options=moto.storage_options)
        assert str(manifests[version]["large"].pin.etag).endswith('-3"')
        manifests[version].save(tmp_path / version)
    proxy = proxy_to(moto.endpoint)
    return Versions(manifests, contents, {**moto.storage_options, "endpoint_url": proxy.endpoint}, proxy, tmp_path)


async def test_kill_at_any_moment_costs_no_more_than_the_parts_in_flight(versions: Versions) -> None:
    draw = random.Random(5)
    for trial in range(KILLS):
        root = versions.folder / f"out{trial}"
        for kill in range(1 + trial % 2):  # the second goes on with the first
            await asyncio.to_thread(versions.killed, "old", root, (trial + kill) % 3, draw.uniform(0, 0.3))
        before = noted(root)
        versions.proxy.forget()
        await fetch(versions.manifests["old"], root, storage_options=versions.options)
        assert tree(root) == versions.contents["old"]
        assert versions.proxy.counts["get"] <= len(PARTS) - before + 1


async def test_two_runs_that_were_killed_in_a_row_never_mix_two_versions(versions: Versions) -> None:
    draw = random.Random(5)
    for trial in range(max(2, KILLS)):
        root = versions.folder / f"out{trial}"
        await asyncio.to_thread(versions.killed, "old", root, 2, 0.0)
        await asyncio.to_thread(versions.killed, "new", root, trial % 2, draw.uniform(0, 0.2) if trial > 1 else 0.0)
        await fetch(versions.manifests["old"], root, storage_options=versions.options, overwrite=True)
        assert tree(root) == versions.contents["old"]
