"""Google Cloud Storage and HTTP: W&B's digest and entries where its client breaks nothing, and where it does, what asyncref does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

import asyncref
from asyncref.errors import NothingFoundError, TooManyObjectsError
from tests.servers.authority import Authority
from tests.servers.azurite import ACCOUNT, KEY, azurite_server
from tests.servers.fake_gcs import GcsServer, fake_gcs_server
from tests.servers.tunnel import tunnel_to
from tests.wandb import Client, Tracked, contents

NAMES = ["a b", "a+b", "100%", "é", "\U0001f600", ".hidden", "deep/er/x.jpg", "deep/er/y.jpg", "empty"]
OTHERS = ["mnist", "digits2/x", "digits/y", "one#two", "a//b", "deeper/a//b", "marked/", "marked/x"]


def ours(*references: dict[str, Any], options: dict[str, Any] | None = None) -> asyncref.Manifest:
    """The same references, added to an artifact of asyncref's."""
    artifact = asyncref.Artifact("probe", type="dataset")
    for reference in references:
        artifact.add_reference(**reference, storage_options=options)
    return artifact.manifest


def assert_alike(ours: asyncref.Manifest, theirs: Tracked) -> None:
    """The digest, and of every entry what W&B says of it: its generation is a number there and a text here."""
    assert not theirs.error
    assert ours.digest == theirs.digest
    mine = contents(ours)
    assert mine.keys() == theirs.contents.keys()
    for path, entry in theirs.contents.items():
        assert {name: mine[path][name] for name in entry.keys() - {"extra"}} == {
            name: entry[name] for name in entry.keys() - {"extra"}
        }
        said = {name: str(value) for name, value in entry.get("extra", {}).items()}
        if ours[path].ref.startswith("https://"):  # Azure's ETag stands without its quotes there
            said |= {"etag": f'"{said["etag"]}"'} if "etag" in said else {}
        assert said.items() <= mine[path].get("extra", {}).items()


def shown(references: list[dict[str, Any]]) -> str:
    return " and ".join(" ".join(f"{name}={value}" for name, value in one.items()) for one in references)


# Google Cloud Storage


@pytest.fixture(scope="module")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with fake_gcs_server(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="module")
def google(fake_gcs: GcsServer) -> tuple[GcsServer, str]:
    """A bucket that has seen overwrites."""
    fake_gcs.make_bucket("same")
    for key in [*(f"sets/data/{name}" for name in NAMES), *OTHERS]:
        for body in (b"first", b"" if key.endswith(("empty", "/")) else f"bytes of {key}".encode()):
            fake_gcs.put("same", key, body)
    return fake_gcs, "same"


def on_google(client: Client, server: GcsServer) -> Client:
    """W&B's client, whose Google library takes an emulator from the environment."""
    return Client(client._process, {"STORAGE_EMULATOR_HOST": server.endpoint})


@pytest.mark.parametrize(
    "references",
    [
        [{"uri": "gs://same/sets/data"}],
        [{"uri": "gs://same/sets/data/"}],
        [{"uri": "gs://same/sets/data", "name": "train"}],
        [{"uri": "gs://same/sets", "name": "a/b"}],
        [{"uri": "gs://same/sets/data/deep/er/x.jpg"}],
        [{"uri": "gs://same/sets/data/empty"}],
        [{"uri": "gs://same/mnist", "name": "one/digits.bin"}],
        [{"uri": "gs://same/sets/data", "checksum": False}],
        [{"uri": "gs://same/sets/data"}, {"uri": "gs://same/mnist"}, {"uri": "gs://same/digits2/", "name": "two"}],
    ],
    ids=shown,
)
def test_references_to_google_give_the_entries_and_the_digest_of_wandb(
    google: tuple[GcsServer, str], theirs: Client, references: list[dict[str, Any]]
) -> None:
    server, _ = google
    assert_alike(ours(*references, options=server.storage_options), on_google(theirs, server).track(*references))


def test_a_generation_in_a_reference_is_tracked_by_both(google: tuple[GcsServer, str], theirs: Client) -> None:
    server, bucket = google
    generation = ours({"uri": f"gs://{bucket}/mnist"}, options=server.storage_options)["mnist"].pin.version
    reference = {"uri": f"gs://{bucket}/mnist#{generation}"}
    assert_alike(ours(reference, options=server.storage_options), on_google(theirs, server).track(reference))


def test_google_s_siblings_markers_empty_segments_and_hashes_are_what_they_are(
    google: tuple[GcsServer, str], theirs: Client
) -> None:
    server, bucket = google
    client = on_google(theirs, server)

    def paths(uri: str, **more: Any) -> tuple[list[str], list[str] | str]:
        mine = ours({"uri": uri, **more}, options=server.storage_options)
        tracked = client.track({"uri": uri, **more})
        return [entry.path for entry in mine], tracked.error.partition(":")[0] or sorted(tracked.contents)

    assert paths(f"gs://{bucket}/digits") == (["y"], ["x", "y"])  # W&B lists the sibling digits2/ too
    wrong = client.track(f"gs://{bucket}/digits").contents["x"]["ref"]
    assert wrong == f"gs://{bucket}/digits"  # under a reference that is neither
    assert paths(f"gs://{bucket}/marked/") == (["x"], ["x"])
    assert paths(f"gs://{bucket}/deeper/") == (["a//b"], ["a/b"])
    assert paths(f"gs://{bucket}/deeper", name="n") == (["n/a//b"], ["n/a/b"])
    assert paths(f"gs://{bucket}/one#two") == (["one#two"], "ValueError")
    with pytest.raises(NothingFoundError):
        ours({"uri": f"gs://{bucket}/none/"}, options=server.storage_options)
    assert client.track(f"gs://{bucket}/none/").contents == {}
    with pytest.raises(TooManyObjectsError):
        ours({"uri": f"gs://{bucket}/sets/data", "max_objects": 2}, options=server.storage_options)
    assert len(client.track({"uri": f"gs://{bucket}/sets/data", "max_objects": 2}).contents) == 2


# Azure: W&B knows it by its public host name alone, so Azurite answers under that, through a tunnel that leads there.

HOST = f"{ACCOUNT}.blob.core.windows.net"


@dataclass(frozen=True)
class Microsoft:
    """A container as it is reached in public.

    Attributes:
        uri: Of it.
        environment: What leads there.
        options: Who asks.
    """

    uri: str
    environment: dict[str, str]
    options: dict[str, Any]


@pytest.fixture(scope="module")
def microsoft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Microsoft]:
    folder = tmp_path_factory.mktemp("azurite-tls")
    authority = Authority(folder, HOST)
    with azurite_server(folder, tls=(folder / "server.pem", folder / "server.key")) as server:
        client = BlobServiceClient(server.endpoint, credential=KEY, connection_verify=str(authority.ca))
        container = client.create_container("same") and client.get_container_client("same")
        for key in [
            *(f"sets/data/{name}" for name in NAMES),
            "mnist",
            "digits/y",
            "digits2/x",
            "deeper/a//b",
            "stubs/deep/x",
        ]:
            container.upload_blob(key, b"" if key.endswith("empty") else f"bytes of {key}".encode())
        container.upload_blob("stubs/deep", b"", metadata={"hdi_isfolder": "true"})
        with tunnel_to(int(server.endpoint.split(":")[2].partition("/")[0])) as proxy:
            trust = {"REQUESTS_CA_BUNDLE": str(authority.ca), "HTTPS_PROXY": proxy, "PROBE_AZURE_KEY": KEY}
            options = {"account_key": KEY, "verify": str(authority.ca)}
            yield Microsoft(f"https://{HOST}/same", trust, options)


@pytest.mark.parametrize(
    "references",
    [
        [{"uri": "/sets/data"}],
        [{"uri": "/sets/data", "name": "train"}],
        [{"uri": "/sets", "name": "a/b"}],
        [{"uri": "/sets/data/deep/er/x.jpg"}],
        [{"uri": "/sets/data/empty"}],
        [{"uri": "/mnist", "name": "one/digits.bin"}],
        [{"uri": "/digits"}],
        [{"uri": "/sets/data", "checksum": False}],
    ],
    ids=shown,
)
def test_references_to_azure_give_the_entries_and_the_digest_of_wandb(
    microsoft: Microsoft, theirs: Client, references: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", microsoft.environment["HTTPS_PROXY"])
    meant = [{**one, "uri": microsoft.uri + one["uri"]} for one in references]
    client = Client(theirs._process, microsoft.environment)
    assert_alike(ours(*meant, options=microsoft.options), client.track(*meant))


def test_azure_s_slashes_and_stubs_of_folders_are_what_they_are(
    microsoft: Microsoft, theirs: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", microsoft.environment["HTTPS_PROXY"])
    client = Client(theirs._process, microsoft.environment)
    assert [entry.path for entry in ours({"uri": f"{microsoft.uri}/deeper"}, options=microsoft.options)] == ["a//b"]
    assert list(client.track(f"{microsoft.uri}/deeper").contents) == ["a/b"]
    assert len(ours({"uri": f"{microsoft.uri}/sets/data/"}, options=microsoft.options)) == len(NAMES)
    assert client.track(f"{microsoft.uri}/sets/data/").contents == {}  # it looks for what lies under `sets/data//`
    assert [entry.path for entry in ours({"uri": f"{microsoft.uri}/stubs"}, options=microsoft.options)] == ["deep/x"]
    assert sorted(client.track(f"{microsoft.uri}/stubs").contents) == ["deep", "deep/x"]


# HTTP


@pytest.fixture
def site(nginx: Any, served: Path, bucket: str) -> Iterator[Callable[[str], str]]:
    """Files under a folder of their own; gives a name's URL."""
    folder = served / bucket
    folder.mkdir()
    for name in ("plain.bin", "a b", "é", "empty", "100%"):
        (folder / name).write_bytes(b"" if name == "empty" else f"bytes of {name}".encode())
    yield lambda name: f"{nginx.url}/{bucket}/{name}"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    "reference",
    [
        {"uri": "plain.bin"},
        {"uri": "plain.bin", "name": "train/x.bin"},
        {"uri": "a%20b"},
        {"uri": "%C3%A9", "name": "e"},
        {"uri": "100%25", "name": "p"},
        {"uri": "empty"},
        {"uri": "plain.bin", "checksum": False},
    ],
    ids=lambda one: shown([one]),
)
def test_a_url_gives_the_entry_and_the_digest_of_wandb(
    site: Callable[[str], str], theirs: Client, reference: dict[str, Any]
) -> None:
    meant = {**reference, "uri": site(reference["uri"])}
    assert_alike(ours(meant), theirs.track(meant))


def test_a_url_without_an_etag_has_the_url_for_a_digest_in_both(
    nginx: Any, site: Callable[[str], str], theirs: Client
) -> None:
    bare = {"uri": site("plain.bin").replace(nginx.url, nginx.bare)}
    mine, tracked = ours(bare), theirs.track(bare)
    assert mine.digest == tracked.digest
    assert {path: entry["digest"] for path, entry in contents(mine).items()} == {"plain.bin": bare["uri"]}
    assert tracked.contents["plain.bin"]["digest"] == bare["uri"]


def test_a_folder_s_index_is_one_entry_for_wandb_and_its_files_here(site: Callable[[str], str], theirs: Client) -> None:
    mine = ours({"uri": site("")})
    assert sorted(entry.path for entry in mine) == sorted(["plain.bin", "a b", "é", "empty", "100%"])
    tracked = theirs.track({"uri": site(""), "name": "all"})
    assert list(tracked.contents) == ["all"]
