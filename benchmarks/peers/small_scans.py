"""Many small scans in one warm process: asyncref as it is, asyncref one request at a time, aiobotocore's paginator."""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any, Final
from urllib.request import urlopen

import uvloop
from aiobotocore.session import get_session

import asyncref

WAYS: Final = ("asyncref", "asyncref, one at a time", "aiobotocore")


async def _asyncref(options: dict[str, Any], concurrency: int | None) -> int:
    limits = asyncref.Limits(concurrency=concurrency)
    storage = {"endpoint_url": options["endpoint"]}
    return len(await asyncref.scan(options["uri"], storage_options=storage, limits=limits))


async def _aiobotocore(options: dict[str, Any]) -> int:
    bucket, _, prefix = options["uri"].removeprefix("s3://").partition("/")
    call = "list_object_versions" if options["versions"] else "list_objects_v2"
    rows = 0
    async with get_session().create_client("s3", endpoint_url=options["endpoint"]) as client:
        async for page in client.get_paginator(call).paginate(Bucket=bucket, Prefix=prefix):
            rows += sum(len(page.get(kind, ())) for kind in ("Contents", "Versions"))
    return rows


async def _once(way: str, options: dict[str, Any]) -> float:
    """Milliseconds of one scan, client and all made anew."""
    gc.collect()  # a session's models are megabytes in circles: without this the next way pays for the last one's
    before = time.perf_counter()
    if way == "aiobotocore":
        rows = await _aiobotocore(options)
    else:
        rows = await _asyncref(options, 1 if way.endswith("time") else None)
    if rows != options["rows"]:
        raise RuntimeError(f"{way} found {rows} rows, of {options['rows']}")
    return (time.perf_counter() - before) * 1000


async def main(options: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Scan in each way in turn, `rounds` times, at each of `latencies_ms`; one scan of each first, to count its requests.

    The control requests between scans block the loop; no scan is under way then.
    """
    found = []
    for latency_ms in options["latencies_ms"]:
        _control(options, f"set?latency_ms={latency_ms}")
        asked = {}
        for way in WAYS:
            _control(options, "reset")
            await _once(way, options)
            asked[way] = _control(options, "counts")["requests"]
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(options["rounds"]):
            turn = number % len(WAYS)
            for way in [*WAYS[turn:], *WAYS[:turn]]:
                taken[way].append(await _once(way, options))
        found += [
            {"way": way, "latency_ms": latency_ms, "taken_ms": taken[way], "requests": asked[way]} for way in WAYS
        ]
    return {"scans": found}


def _control(options: dict[str, Any], verb: str) -> dict[str, Any]:
    with urlopen(f"{options['endpoint']}/-/{verb}") as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(json.loads(sys.argv[1])))))
