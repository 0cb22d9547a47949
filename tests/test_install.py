"""asyncref beside boto3, s3fs and wandb: pip's resolver finds versions for all of them in one go."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


def _index_is_reachable() -> bool:
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    if asked.returncode == 0 or os.environ.get("PIP_INDEX_URL"):
        return True  # an index of one's own
    try:
        socket.create_connection(("pypi.org", 443), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.timeout(300)
def test_it_resolves_beside_boto3_s3fs_and_wandb_in_one_go(tmp_path: Path) -> None:
    if not os.environ.get("CI") and not _index_is_reachable():
        pytest.skip("no package index within reach; CI runs this")
    report = tmp_path / "report.json"
    options = ["--dry-run", "--ignore-installed", "--quiet", "--no-input", "--report", str(report)]
    packages = [str(_ROOT), "boto3", "s3fs", "wandb"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *packages], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    chosen = {one["metadata"]["name"]: one["metadata"]["version"] for one in json.loads(report.read_text())["install"]}
    assert {"asyncref", "boto3", "s3fs", "wandb", "botocore"} <= chosen.keys()
