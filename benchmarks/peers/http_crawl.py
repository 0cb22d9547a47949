"""A serial crawl: one connection of the standard library's client, one index page and one HEAD after the other."""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

_LINK: Final = re.compile(rb'<a href="([^"./][^"]*)">')


def crawl(options: dict[str, Any]) -> dict[str, Any]:
    """Crawl.

    Args:
        options: `uri`, `most` (requests after which it stops).
    """
    start, start_cpu, parts = time.perf_counter(), time.process_time(), urlsplit(options["uri"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    pending, found, requests = [parts.path], 0, 0
    while pending and requests < options["most"]:
        path = pending.pop()
        requests += 1
        connection.request("GET" if path.endswith("/") else "HEAD", path)
        answer = connection.getresponse()
        body = answer.read()
        if path.endswith("/"):
            pending += [urljoin(path, link.decode()) for link in reversed(_LINK.findall(body))]
        else:
            found += int(answer.headers["ETag"] is not None)
    taken_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    return {"objects": found, "requests": requests, "scan_s": taken_s, "scan_cpu_s": cpu_s}


if __name__ == "__main__":
    print(json.dumps(crawl(json.loads(sys.argv[1]))))
