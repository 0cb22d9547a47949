"""What the host of an endpoint tells: whether it wants buckets in the host's name, and which region it signs for."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

# CoreWeave's object storage answers to virtual hosts only: https://docs.coreweave.com/products/storage/object-storage/
# using-object-storage/configure-endpoints. The hosts under coreweave.com are the older ones, which W&B's client
# asks in the same way (wandb/sdk/artifacts/storage_handlers/s3_handler.py).
_VIRTUAL: Final = re.compile(r"(.+\.)?(cwobject|cwlota)\.com|(accel-)?object\.[a-z0-9-]+\.coreweave\.com")
# Each service's page on endpoints; docs/storages.md names them.
_REGIONS: Final = (
    re.compile(
        r"s3\.(?:dualstack\.)?(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|backblazeb2\.com|wasabisys\.com)"
    ),
    re.compile(r"s3\.(?P<region>[a-z0-9-]+)\.(?:scw\.cloud|io\.cloud\.ovh\.net)"),
)
_NAMELESS: Final = (
    (re.compile(r".+\.r2\.cloudflarestorage\.com"), "auto"),
    (re.compile(r"s3\.wasabisys\.com"), "us-east-1"),
)


def default_addressing(endpoint: str | None) -> str:
    """`virtual` for services that know nothing else, `auto` for all others."""
    return "virtual" if _VIRTUAL.fullmatch(_host(endpoint)) else "auto"


def default_region(endpoint: str | None) -> str | None:
    """The region that an endpoint's host names, or the one that its service has instead of any."""
    host = _host(endpoint)
    if found := next((found for pattern in _REGIONS if (found := pattern.fullmatch(host))), None):
        return found["region"]
    return next((region for pattern, region in _NAMELESS if pattern.fullmatch(host)), None)


def _host(endpoint: str | None) -> str:
    return (urlsplit(endpoint).hostname or "") if endpoint else ""
