"""Azurite, Microsoft's own emulator of Azure Blob: keys, SAS and conditions right; keeps no versions, knows no start_from.

It echoes no version and answers a nonsense version id with the current blob (status 200).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.servers import accepts, end, free_ports, wait_until

FOLDER = Path(__file__).parents[2] / "build" / "azurite"
_MAIN = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "devstoreaccount1"
# Published by Microsoft for the emulator: no secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Azurite:
    """One running Azurite: where it listens, and who may ask it."""

    endpoint: str

    @property
    def storage_options(self) -> dict[str, Any]:
        """What a scan of this server needs, in adlfs's names."""
        return {"endpoint_url": self.endpoint, "account_name": ACCOUNT, "account_key": KEY}

    @property
    def connection_string(self) -> str:
        """The same as one text."""
        return f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"

    def container(self, name: str) -> ContainerClient:
        """Microsoft's client of a container, which is made if it is not there."""
        client = BlobServiceClient(self.endpoint, credential=KEY, retry_total=0).get_container_client(name)
        if not client.exists():
            client.create_container()
        return client


@contextmanager
def azurite_server(folder: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[Azurite]:
    """An Azurite of one's own, in memory; its log lies in `folder`. With TLS by a certificate and its key, if given.

    Bearer tokens are taken with TLS only; all but their signature is checked.
    """
    node = shutil.which("node")
    if node is None or not _MAIN.exists():
        sentence = f"Azurite not found; install with: npm install --prefix {FOLDER} azurite@3 (186 MB)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    (port,) = free_ports(1)
    settings = ["--silent", "--loose", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
    if tls is not None:
        settings += ["--cert", str(tls[0]), "--key", str(tls[1]), "--oauth", "basic"]
    with (folder / "azurite.log").open("wb") as log:
        process = subprocess.Popen(
            [str(node), str(_MAIN), "--blobHost", "127.0.0.1", "--blobPort", str(port), *settings],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: accepts(port), what="Azurite")
        yield Azurite(f"http{'s' if tls else ''}://127.0.0.1:{port}/{ACCOUNT}")
    finally:
        end(process)
