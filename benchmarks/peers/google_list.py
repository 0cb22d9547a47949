"""google-cloud-storage: its own iterator over objects.list, rows counted and dropped."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage


def count(options: dict[str, Any]) -> dict[str, Any]:
    """Count the first `most` rows under `uri`; `list_s` leaves out the interpreter's start and imports."""
    bucket, _, prefix = options["uri"].removeprefix("gs://").partition("/")
    before = time.perf_counter()
    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client(project="bench", credentials=nobody, client_options={"api_endpoint": options["endpoint"]})
    found = sum(1 for _ in islice(client.list_blobs(bucket, prefix=prefix), options["most"]))
    return {"objects": found, "list_s": time.perf_counter() - before}


if __name__ == "__main__":
    print(json.dumps(count(json.loads(sys.argv[1]))))
