"""Scans that are interrupted and continued: nothing lost, little asked for twice, nothing of another request used."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asyncref.engine.flow import Meter
from asyncref.engine.scan import Target, resume, scan, spool
from asyncref.engine.scan.ledger import header
from asyncref.errors import ConnectionFailedError, DuplicatePathError, OptionError, ProtocolError, ScanError
from asyncref.globs import Filter
from asyncref.manifest import Manifest
from asyncref.model import Limits
from asyncref.testing import Faults, MemoryStore, mounted
from benchmarks.measure import python
from benchmarks.store.process import StoreProcess, running
from benchmarks.store.render import Spec
from tests.servers.crooked import NAME, Answer, crooked_server

FRAGILE = Limits(backoff_s=0.0, concurrency=4, attempts=1)
FILTER = Filter.of(exclude="*7")


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore("b", page_rows=10)
    for number in range(1_000):
        store.seed(f"p/{number * 7919 % 100_000:05d}", str(number).encode())
    store.seed("p/00000/", b"")
    with mounted(store):
        yield store


@pytest.fixture
def versioned() -> Iterator[MemoryStore]:
    store = MemoryStore("v", page_rows=10, versioned=True)
    for number in range(300):
        for _ in range(1 + number % 3):
            store.seed(f"p/{number:03d}", str(number).encode())
        if number % 5 == 0:
            store.delete(f"p/{number:03d}")
    for number in range(45):
        store.seed("p/100", str(number).encode())
    with mounted(store):
        yield store


async def scanned(uri: str, folder: Path | None, **options: object) -> Manifest:
    return await scan([Target(uri=uri)], **{"limits": FRAGILE, "resume": folder, **options})  # type: ignore[arg-type]


async def interrupted(store: MemoryStore, folder: Path, after: int, **options: object) -> None:
    """A scan whose connection is lost for good after so many list requests."""
    asked = store.requests["list"]
    store.faults = Faults(script={("list", asked + number): "reset" for number in range(after + 1, after + 100)})
    with pytest.raises(ConnectionFailedError):
        await scanned(f"memory://{store.container}/p/", folder, **options)
    store.faults = Faults()


def inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Another process has the lock."""
    program = "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.flock(file, 2); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.communicate(b"\n")


@pytest.fixture(params=["at the end", "every page"])
def flushes(request, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "every page":
        monkeypatch.setattr(spool, "FLUSH_BYTES", 1)
        monkeypatch.setattr(spool, "FLUSH_SHARE", 0)


@pytest.mark.usefixtures("flushes")
@pytest.mark.parametrize("cuts", [[1], [30], [20, 0, 25, 10]])
@pytest.mark.parametrize("name", ["store", "versioned"])
async def test_a_scan_that_failed_goes_on_where_it_was(name: str, cuts: list[int], tmp_path: Path, request) -> None:
    store: MemoryStore = request.getfixturevalue(name)
    uri = f"memory://{store.container}/p/"
    calm = await scanned(uri, None, filter=FILTER)
    undisturbed = store.requests["list"]
    store.requests.clear()
    ends = []
    for cut in cuts:
        await interrupted(store, tmp_path, cut, filter=FILTER)
        ends.append(datetime.now(UTC))
    meter: list[Meter] = []
    resumed = await scanned(uri, tmp_path, filter=FILTER, progress=meter.append)
    assert (resumed.digest, resumed.identity, len(resumed)) == (calm.digest, calm.identity, len(calm))
    record = resumed.record
    assert record.skipped == calm.record.skipped
    assert record.complete
    assert record.resumes == len([cut for cut in cuts if cut])
    assert calm.record.ended <= record.started <= ends[0]
    assert (meter[0].objects, meter[0].bytes) == (len(calm), calm.size)
    assert store.requests["list"] <= undisturbed * 1.1 + 10 * len(cuts)
    assert inside(tmp_path) == []


@pytest.mark.parametrize("after", range(20, 70, 10))
async def test_what_came_between_the_runs_is_not_taken_for_what_was_there_from_the_start(
    after: int, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = store.keys_from("", inclusive=True)
    with monkeypatch.context() as context:  # the first run was two hours ago
        context.setattr(resume, "header", lambda request, now: header(request, now - timedelta(hours=2)))
        await interrupted(store, tmp_path, after)
    store._puts += round((datetime.now(UTC) - timedelta(hours=1) - store.seed("q", b"").modified).total_seconds())
    for key in keys:
        store.seed(f"{key[:-1]}{chr(ord(key[-1]) - 1)}z", b"new")
        store.seed(f"{key}a", b"new")
    manifest = await scanned("memory://b/p/", tmp_path)
    assert {f"p/{entry.path}" for entry in manifest} >= {key for key in keys if not key.endswith("/")}
    assert [note for note in manifest.record.notes if "serially" in note] == []
    assert manifest.record.resumes == 1


async def test_requests_of_all_runs_are_counted(store: MemoryStore, tmp_path: Path) -> None:
    store.requests.clear()
    await interrupted(store, tmp_path, 25)
    await interrupted(store, tmp_path, 25)
    manifest = await scanned("memory://b/p/", tmp_path)
    assert manifest.record.requests["list"] == store.requests["list"]
    assert manifest.record.resumes == 2
    assert any(note.startswith("continues the scan begun at") for note in manifest.record.notes)


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("memory://b/p/", {"filter": Filter.of(include="*1")}),
        ("memory://b/p/", {"filter": Filter.of(exclude="*1")}),
        ("memory://b/p/", {"bad_keys": "skip"}),
        ("memory://b/p/", {"heads": "never"}),
        ("memory://b/p", {}),
        ("memory://b/", {}),
    ],
)
async def test_another_request_uses_nothing_of_it(
    uri: str, options: dict[str, object], store: MemoryStore, tmp_path: Path
) -> None:
    calm = await scanned(uri, None, **options)
    await interrupted(store, tmp_path, 30)
    manifest = await scanned(uri, tmp_path, **options)
    assert manifest.record.resumes == 0
    assert manifest.digest == calm.digest
    assert (await scanned("memory://b/p/", tmp_path)).record.resumes == 1


async def test_another_reference_beside_it_is_another_request(store: MemoryStore, tmp_path: Path) -> None:
    store.seed("q/00000.bin", b"x")
    await interrupted(store, tmp_path, 30)
    both = [Target(uri="memory://b/p/"), Target(uri="memory://b/q/")]
    assert (await scan(both, limits=FRAGILE, resume=tmp_path)).record.resumes == 0


@pytest.mark.usefixtures("store")
async def test_max_objects_may_be_raised_and_counts_what_was_listed_before(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="max_objects=400"):
        await scanned("memory://b/p/", tmp_path, max_objects=400)
    with pytest.raises(ScanError, match="max_objects=999"):
        await scanned("memory://b/p/", tmp_path, max_objects=999)
    manifest = await scanned("memory://b/p/", tmp_path, max_objects=1_000)
    assert (len(manifest), manifest.record.resumes) == (1_000, 2)


async def test_several_references_go_on_each_where_it_was(store: MemoryStore, tmp_path: Path) -> None:
    for number in range(100):
        store.seed(f"q/{number:03d}", b"x")
    targets = [Target(uri="memory://b/q/", name="q"), Target(uri="memory://b/p/")]
    calm = await scan(targets, limits=FRAGILE)
    store.faults = Faults(script={("list", store.requests["list"] + number): "reset" for number in range(40, 140)})
    with pytest.raises(ConnectionFailedError):
        await scan(targets, limits=FRAGILE, resume=tmp_path)
    store.faults = Faults()
    asked = store.requests["list"]
    manifest = await scan(targets, limits=FRAGILE, resume=tmp_path)
    assert (manifest.identity, manifest.record.resumes) == (calm.identity, 1)
    assert store.requests["list"] - asked < 100
    assert inside(tmp_path) == []


async def test_two_scans_of_one_request_at_once_are_refused(store: MemoryStore, tmp_path: Path) -> None:
    await interrupted(store, tmp_path, 30)
    folder = inside(tmp_path)[0]
    with held(folder / "lock"), pytest.raises(ScanError, match="another process has this very scan under way"):
        await scanned("memory://b/p/", tmp_path)
    assert (await scanned("memory://b/p/", tmp_path)).record.resumes == 1


@pytest.mark.parametrize("damage", ["rows", "no rows", "ledger", "age"])
async def test_what_cannot_be_trusted_is_listed_anew(
    damage: str, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupted(store, tmp_path, 30)
    folder = inside(tmp_path)[0]
    rows, ledger = folder / "rows-000.arrow", folder / "ledger"
    if damage == "rows":
        rows.write_bytes(rows.read_bytes()[:-1])
    elif damage == "no rows":
        rows.unlink()
    elif damage == "ledger":
        ledger.write_bytes(b"x" + ledger.read_bytes()[2:])
    else:
        monkeypatch.setattr(resume, "KEPT_FOR", timedelta(0))
    manifest = await scanned("memory://b/p/", tmp_path)
    assert (len(manifest), manifest.record.resumes) == (1_000, 0)
    assert inside(tmp_path) == []


@pytest.mark.usefixtures("flushes")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 0.999])
@pytest.mark.parametrize("is_given_back", [False, True])
async def test_rows_that_are_not_what_was_written_are_listed_again(
    share: float, is_given_back: bool, store: MemoryStore, tmp_path: Path
) -> None:
    calm = await scanned("memory://b/p/", None)
    store.requests.clear()
    await interrupted(store, tmp_path, 60)
    rows = inside(tmp_path)[0] / "rows-000.arrow"
    written = rows.read_bytes()
    place = int(share * len(written))
    rows.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
    await interrupted(store, tmp_path, 20)
    if is_given_back and rows.stat().st_size >= len(written):
        with rows.open("r+b") as file:  # by the disk: nothing may be there twice
            file.write(written)
    manifest = await scanned("memory://b/p/", tmp_path)
    assert (manifest.digest, manifest.identity, len(manifest)) == (calm.digest, calm.identity, len(calm))
    assert manifest.record.complete
    assert inside(tmp_path) == []


async def test_what_is_not_damaged_is_not_asked_for_again(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "FLUSH_BYTES", 1)
    monkeypatch.setattr(spool, "FLUSH_SHARE", 0)
    await interrupted(store, tmp_path, 80)
    rows = inside(tmp_path)[0] / "rows-000.arrow"
    rows.write_bytes(b"x" + rows.read_bytes()[1:])
    manifest = await scanned("memory://b/p/", tmp_path)
    record = manifest.record
    assert (len(manifest), record.resumes) == (1_000, 1)
    assert record.notes[1:] == ("some of what it had set aside was damaged, and is listed again",)


async def test_what_nobody_came_back_for_is_removed(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupted(store, tmp_path, 30)
    monkeypatch.setattr(resume, "KEPT_FOR", timedelta(0))
    await scanned("memory://b/p/", tmp_path, filter=FILTER)
    assert inside(tmp_path) == []


async def test_a_storage_out_of_order_forgets_the_ledger(store: MemoryStore, tmp_path: Path) -> None:
    await interrupted(store, tmp_path, 30)
    store.faults = Faults(seed=3, unordered=True)
    meter: list[Meter] = []
    manifest = await scanned("memory://b/p/", tmp_path, progress=meter.append, max_objects=1_000)
    assert (len(manifest), manifest.record.skipped) == (1_000, {"folder_marker": 1})
    assert (meter[0].objects, meter[0].bytes) == (1_000, manifest.size)
    assert any("serially" in note for note in manifest.record.notes)
    assert inside(tmp_path) == []


async def test_two_pins_for_one_path_are_not_kept_for_ever(store: MemoryStore, tmp_path: Path) -> None:
    store.seed("q/00000", b"other")
    with pytest.raises(DuplicatePathError):
        await scan([Target(uri="memory://b/p/"), Target(uri="memory://b/q/")], limits=FRAGILE, resume=tmp_path)
    assert inside(tmp_path) == []


async def test_a_page_that_cannot_be_used_costs_nothing_of_what_was_listed(tmp_path: Path) -> None:
    keys = [f"p/{number:03d}" for number in range(300)]
    async with crooked_server(keys) as server:
        server.lie, server.lies_at = _web_page, frozenset(range(9, 1_000))
        with pytest.raises(ProtocolError):
            await scanned(f"s3://{NAME}/p/", tmp_path, storage_options=server.storage_options)
        assert len(inside(tmp_path)) == 1
        server.lie = None
        manifest = await scanned(f"s3://{NAME}/p/", tmp_path, storage_options=server.storage_options)
    assert ([entry.path for entry in manifest], manifest.record.resumes) == ([key[2:] for key in keys], 1)
    assert inside(tmp_path) == []


def _web_page(answer: Answer) -> None:
    answer.body = b"<html><body>Log in</body></html>"


async def test_what_was_listed_is_kept_until_the_manifest_is_saved(store: MemoryStore, tmp_path: Path) -> None:
    def fail(manifest: Manifest) -> None:
        assert len(manifest) == 1_000
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await scanned("memory://b/p/", tmp_path, save=fail)
    store.requests.clear()
    saved: list[Manifest] = []
    manifest = await scanned("memory://b/p/", tmp_path, save=saved.append)
    assert (saved, len(manifest), manifest.record.resumes) == ([manifest], 1_000, 1)
    assert store.requests["list"] < 5
    assert inside(tmp_path) == []


@pytest.mark.parametrize("command", ["scan", "log"])
def test_a_command_that_is_killed_while_it_saves_goes_on_at_little_cost(command: str, tmp_path: Path) -> None:
    with running(Spec(keys=20_000)) as server:
        environment = {
            **server.environment(),
            "ASYNCREF_HOME": str(tmp_path / "home"),
            "ASYNCREF_REGISTRY": f"sqlite:///{tmp_path}/registry.db",
        }
        kill = (
            "import os; from asyncref.manifest import Manifest, ManifestStore; "
            "Manifest.save = ManifestStore.put = lambda *_, **__: os.kill(os.getpid(), 9); "
        )
        given = [server.uri, "--resume", "--endpoint-url", server.endpoint]
        given = ["log", "mnist", *given] if command == "log" else ["scan", *given, "-o", str(tmp_path / "m.parquet")]
        run = f"import sys; from asyncref.cli import main; sys.argv = ['asyncref', *{given!r}]; sys.exit(main())"
        killed = subprocess.run([sys.executable, "-c", kill + run], env=environment, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(inside(tmp_path / "home" / "scans")) == 1
        server.reset()
        again = subprocess.run([sys.executable, "-c", run], env=environment, capture_output=True, check=False)
        assert again.returncode == 0, again.stderr
        assert server.counts()["rows_sent"] <= 1_000  # the first page tells what the reference means
        assert inside(tmp_path / "home" / "scans") == []


@pytest.mark.usefixtures("store")
async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OptionError, match="cannot be kept here"):
        await scanned("memory://b/p/", tmp_path / "file")


def _scan(server: StoreProcess, folder: Path) -> subprocess.Popen[bytes]:
    command = python("benchmarks.peers.asyncref_scan", uri=server.uri, endpoint=server.endpoint, resume=str(folder))
    return subprocess.Popen(command, env=server.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("versions", [False, True])
def test_a_killed_scan_goes_on_with_the_same_digest(versions: bool, tmp_path: Path) -> None:
    spec = Spec(keys=60_000, versioned=versions, versions=2 if versions else 1, delete_share=0.1 if versions else 0.0)
    with running(spec, page_rows=200, latency_ms=100) as server:
        calm = _scan(server, tmp_path / "calm").communicate()[0]
        server.reset()
        choose = random.Random(5)
        kills = 0
        for after in sorted(choose.sample(range(3_000, 55_000), 3)):
            process = _scan(server, tmp_path / "kept")
            while process.poll() is None and server.counts()["rows_sent"] < after:
                pass
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            process.stderr.close()
        resumed, errors = _scan(server, tmp_path / "kept").communicate()
        assert not errors
        assert kills == 3
    before, after_all = (json.loads(text.splitlines()[-1]) for text in (calm, resumed))
    assert (after_all["digest"], after_all["objects"]) == (before["digest"], before["objects"])
    assert inside(tmp_path / "kept") == []
