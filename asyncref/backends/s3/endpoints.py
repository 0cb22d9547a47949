"""Where a bucket answers, and what its requests are signed for.

botocore's own endpoint rules say so (addressing, FIPS, dualstack, accelerate, access points, partitions). They are asked
once a bucket and not once a request: a call through botocore costs 1.8 ms. The first one costs 60 to 90 ms, so the one
case in which they have nothing to decide is answered without them: a plain name at an endpoint that was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, MissingDependencyException

from asyncref.backends.s3.settings import S3Settings
from asyncref.errors import OptionError

_SIGV4A: Final = "this bucket needs signatures of kind SigV4A, which asyncref does not make"
_PROBE: Final = "k"  # any key: the rules only put it at the end of the URL
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535
_REGION: Final = "us-east-1"
# What no rule of botocore's looks at twice. Hyphens in a row mark directory buckets and access points' aliases.
_PLAIN_BUCKET: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_PLAIN_REGION: Final = re.compile(r"[a-z]{2}-[a-z]+-[0-9]{1,3}|auto")
_LABEL: Final = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_PLAIN_ENDPOINT: Final = re.compile(rf"(https?)://({_LABEL}(?:\.{_LABEL})*)(?::([1-9][0-9]{{0,4}}))?/?")
_ADDRESS: Final = re.compile(r"[0-9.]+")
_OWN_RULES: Final = ("amazonaws", "api.aws")
_DECIDING: Final = ("use_accelerate_endpoint", "use_dualstack_endpoint", "use_fips_endpoint", "data_path")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a bucket answers.

    Attributes:
        origin: Scheme, host and port.
        host: As the Host header says it.
        path: What comes before `/key` in the path: `/bucket`, or nothing.
        region: For the signature.
        service: For the signature.
    """

    origin: str
    host: str
    path: str
    region: str
    service: str


def resolve(settings: S3Settings, bucket: str, region: str | None) -> Endpoint:
    """Where a bucket answers; blocking, no request.

    Raises:
        OptionError: Nowhere, or by signatures that are not made here.
    """
    return plain(settings, bucket, region) or by_rules(settings, bucket, region)


def plain(settings: S3Settings, bucket: str, region: str | None) -> Endpoint | None:
    """What the rules would say where they have nothing to decide; None where they may have."""
    found = _PLAIN_ENDPOINT.fullmatch(settings.endpoint_url or "")
    if found is None or any(own in found[2] for own in _OWN_RULES) or any(map(settings.decides, _DECIDING)):
        return None
    if not _PLAIN_BUCKET.fullmatch(bucket) or not (region is None or _PLAIN_REGION.fullmatch(region)):
        return None
    scheme, name, port = found.groups()
    if port is not None and int(port) > _LAST_PORT:
        return None
    is_virtual = settings.addressing == "virtual"
    if is_virtual and _ADDRESS.fullmatch(name):
        return None
    host = f"{bucket}.{name}" if is_virtual else name
    if port is not None and int(port) != _PORTS[scheme]:
        host = f"{host}:{port}"
    path = "" if is_virtual else f"/{bucket}"
    return Endpoint(origin=f"{scheme}://{host}", host=host, path=path, region=region or _REGION, service="s3")


def by_rules(settings: S3Settings, bucket: str, region: str | None) -> Endpoint:
    """Ask botocore's rules where the bucket answers; see `resolve`."""
    session = botocore.session.Session()
    profile = settings.session.get_config_variable("profile")
    if profile:
        session.set_config_variable("profile", profile)
    config = settings.config.merge(Config(retries={"max_attempts": 0}))
    caught: list[Mapping[str, Any]] = []

    def catch(params: Mapping[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        caught.append(params)
        return SimpleNamespace(status_code=200, headers={}), {}

    try:
        client: Any = session.create_client(
            "s3",
            region_name=region or _REGION,
            endpoint_url=settings.endpoint_url,
            use_ssl=settings.use_ssl,
            aws_access_key_id="never-sent",
            aws_secret_access_key="never-sent",  # noqa: S106  the rules want credentials, the caller signs
            config=config,
        )
        client.meta.events.register_first("before-call.s3.GetObject", catch)
        client.get_object(Bucket=bucket, Key=_PROBE)
    except MissingDependencyException as error:  # multi-region access points
        raise OptionError(_SIGV4A, uri=f"s3://{bucket}/") from error
    except (BotoCoreError, ValueError) as error:
        raise OptionError(f"no endpoint for this bucket: {error}", uri=f"s3://{bucket}/") from error
    return _endpoint(caught[0], settings, bucket, region)


def _endpoint(request: Mapping[str, Any], settings: S3Settings, bucket: str, region: str | None) -> Endpoint:
    context = request["context"]
    signing = context.get("signing") or {}
    auth = context.get("auth_type") or ""
    uri = f"s3://{bucket}/"
    if auth == "v4a":
        raise OptionError(_SIGV4A, uri=uri)
    if auth == "v4-s3express" and not settings.express:
        hint = "set AWS_S3_DISABLE_EXPRESS_SESSION_AUTH=true to read it with plain signatures"
        raise OptionError("sessions of directory buckets are not offered", uri=uri, hint=hint)
    base = request["url"].removesuffix(f"/{_PROBE}")
    parts = urlsplit(base)
    default = _PORTS.get(parts.scheme)
    host = parts.netloc if parts.port != default else parts.netloc.removesuffix(f":{default}")
    return Endpoint(
        origin=f"{parts.scheme}://{host}",
        host=host,
        path=parts.path,
        region=signing.get("region") or region or _REGION,
        service=signing.get("signing_name") or "s3",
    )
