"""obstore (Rust): its listing as Arrow batches, counted and dropped; no manifest, no version ids."""

from __future__ import annotations

import json
import sys
from typing import Any

import obstore
from obstore.store import S3Store

_BATCH_ROWS = 1000  # one page; its default of 50 is slower


def count(options: dict[str, Any]) -> int:
    """Count what lies under `uri`; `endpoint` is the store's base URL."""
    bucket, _, prefix = options["uri"].removeprefix("s3://").partition("/")
    client: Any = {"allow_http": True, "allow_invalid_certificates": options["endpoint"].startswith("https")}
    store = S3Store(bucket, endpoint=options["endpoint"], region="us-east-1", client_options=client)
    batches = obstore.list(store, prefix=prefix, chunk_size=_BATCH_ROWS, return_arrow=True)
    return sum(batch.num_rows for batch in batches)


if __name__ == "__main__":
    print(json.dumps({"objects": count(json.loads(sys.argv[1]))}))
