"""Scans that end early, at the command line: exit code 4, and what was listed is kept where that was allowed."""

from __future__ import annotations

import signal

import anyio

from asyncref.manifest import Manifest
from tests.cli.conftest import Cli
from tests.servers.crooked import NAME, Answer, crooked_server


def _web_page(answer: Answer) -> None:
    answer.body = b"<html><body>Log in</body></html>"


async def test_a_scan_that_errs_is_kept_with_leave_and_ends_with_four(cli: Cli) -> None:
    async with crooked_server([f"p/{number:03d}" for number in range(100)]) as server:
        server.lie, server.lies_at = _web_page, frozenset(range(6, 99))
        reach = cli.having(AWS_ENDPOINT_URL=server.endpoint, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")
        scan = ("scan", f"s3://{NAME}/p/", "-o", "m.parquet")
        refused = await anyio.to_thread.run_sync(lambda: reach.refused(*scan))
        assert "cannot be used" in refused
        assert not (cli.folder / "m.parquet").exists()
        server.requests.clear()
        done = await anyio.to_thread.run_sync(lambda: reach(*scan, "--allow-partial", "-v", code=4))
        assert "no: this scan was cut short" in done.stdout
        assert "note: incomplete: " in done.stderr
        assert f"list s3://{NAME}/: window" in done.stderr
        manifest = Manifest.load(cli.folder / "m.parquet")
        assert not manifest.record.complete
        assert 10 <= len(manifest) < 100
        shown = await anyio.to_thread.run_sync(lambda: reach.json("show", "m.parquet"))
        assert shown["manifest"]["record"]["proof"]["kept"] == len(manifest)
        server.requests.clear()
        log = ("log", "data", f"s3://{NAME}/p/")
        assert "cannot be used" in await anyio.to_thread.run_sync(lambda: reach.refused(*log))
        server.requests.clear()
        await anyio.to_thread.run_sync(lambda: reach(*log, "--allow-partial", code=4))


async def test_ctrl_c_keeps_what_was_listed_where_that_was_allowed(cli: Cli) -> None:
    hangs = anyio.Event()

    def lie(answer: Answer) -> None:
        answer.silent = True
        hangs.set()

    async with crooked_server([f"p/{number:03d}" for number in range(100)]) as server:
        server.lie, server.lies_at = lie, frozenset(range(6, 99))
        reach = cli.having(AWS_ENDPOINT_URL=server.endpoint, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")
        running = reach.start("scan", f"s3://{NAME}/p/", "-o", "m.parquet", "--allow-partial")
        with anyio.fail_after(60):
            await hangs.wait()
        running.send_signal(signal.SIGINT)
        _, errors = await anyio.to_thread.run_sync(lambda: running.communicate(timeout=60))
    assert running.returncode == 4, errors
    assert "note: incomplete: the scan was interrupted" in errors
    manifest = Manifest.load(cli.folder / "m.parquet")
    assert 10 <= len(manifest) < 100
    assert not manifest.record.complete
