"""azure-storage-blob: its own iterator over List Blobs, rows counted and dropped."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import Any

from azure.storage.blob import ContainerClient


def count(options: dict[str, Any]) -> dict[str, Any]:
    """Count the first `most` rows under `uri`; `list_s` leaves out the interpreter's start and imports.

    Args:
        options: `uri`, `endpoint`, `account`, `key`, `most`; `include` as the client's method has it.
    """
    container, _, prefix = options["uri"].removeprefix("az://").partition("/")
    before = time.perf_counter()
    credential = {"account_name": options["account"], "account_key": options["key"]}
    with ContainerClient(options["endpoint"], container, credential=credential) as client:
        blobs = client.list_blobs(name_starts_with=prefix, results_per_page=5000)
        found = sum(1 for _ in islice(blobs, options["most"]))
    return {"objects": found, "list_s": time.perf_counter() - before}


if __name__ == "__main__":
    print(json.dumps(count(json.loads(sys.argv[1]))))
