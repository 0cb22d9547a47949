"""Credentials come from botocore's chain and are refreshed by it."""

from __future__ import annotations

import datetime as dt
import json
import stat
import subprocess
import sys

import pytest
from botocore.session import Session

from asyncref.errors import CredentialsError
from asyncref.net.credentials import Chain
from asyncref.net.sign import Keys


async def test_keys_given_outright_win(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    assert (await Chain(Session(), Keys("mine", "s")).get("u")).access == "mine"


async def test_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert await Chain(Session()).get("u") == Keys("id", "secret", "token")


async def test_keys_that_expire_are_refreshed_and_others_kept(monkeypatch, tmp_path):
    script, calls = tmp_path / "process.py", tmp_path / "calls"
    script.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"calls = pathlib.Path({str(calls)!r}); calls.open('a').write('x'); n = len(calls.read_text())\n"
        "answer = {'Version': 1, 'AccessKeyId': f'id{n}', 'SecretAccessKey': 's', 'SessionToken': 't'}\n"
        "answer |= {'Expiration': sys.argv[1]} if len(sys.argv) > 1 else {}\n"
        "print(json.dumps(answer))\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)).isoformat()
    config = tmp_path / "config"
    config.write_text(
        f"[default]\ncredential_process = {script} {soon}\n[profile kept]\ncredential_process = {script}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    chain = Chain(Session())
    assert [(await chain.get("u")).access for _ in range(2)] == ["id2", "id3"]  # due at once, so asked again
    kept = Chain(Session(profile="kept"))
    assert [(await kept.get("u")).access for _ in range(2)] == ["id4", "id4"]


@pytest.mark.parametrize("process", ["/no/such/program", "/bin/echo this is no JSON"])
async def test_a_chain_that_fails_says_so_for_whom(monkeypatch, tmp_path, process):
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {process}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(CredentialsError, match="s3://b/: credentials could not be had"):
        await Chain(Session()).get("s3://b/")


def test_a_chain_that_is_not_answered_does_not_keep_the_process():
    """A server of credentials that says nothing; anyio would join the thread that waits for it."""
    program = """
import threading, anyio
from asyncref.net.credentials import Chain

asked = threading.Event()

class Silent:
    def get_credentials(self):
        print("asked", flush=True)
        asked.set()
        threading.Event().wait()

async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(Chain(Silent()).get, "s3://b/")
        while not asked.is_set():
            await anyio.sleep(0.001)
        group.cancel_scope.cancel()

anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "asked\n"


def test_a_chain_does_not_show_what_it_found():
    assert "hush" not in json.dumps(repr(Chain(Session(), Keys("id", "hush"))))
