"""Which permission each call needs, and the IAM policy that grants those that are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Permission:
    """What has to be allowed for one call.

    Attributes:
        action: As the storage names it.
        on_objects: It is granted on objects; otherwise on the container.
    """

    action: str
    on_objects: bool


_S3: Final = {
    "list": Permission("s3:ListBucket", on_objects=False),
    "list versions": Permission("s3:ListBucketVersions", on_objects=False),
    "versioning": Permission("s3:GetBucketVersioning", on_objects=False),
    "stat": Permission("s3:GetObject", on_objects=True),
    "read": Permission("s3:GetObject", on_objects=True),
    "read a version": Permission("s3:GetObjectVersion", on_objects=True),
}
_VIEWER: Final = "(in roles/storage.objectViewer)"
_GS: Final = {
    "list": Permission(f"storage.objects.list {_VIEWER}", on_objects=False),
    "versioning": Permission("storage.buckets.get (in roles/storage.legacyBucketReader)", on_objects=False),
    "stat": Permission(f"storage.objects.get {_VIEWER}", on_objects=True),
    "read": Permission(f"storage.objects.get {_VIEWER}", on_objects=True),
}
_FILE: Final = {
    "list": Permission("read and search permission on the folder", on_objects=False),
    "stat": Permission("read permission on the file", on_objects=True),
    "read": Permission("read permission on the file", on_objects=True),
}
_TABLES: Final = {"s3": _S3, "gs": _GS, "file": _FILE}


def needed(scheme: str, check: str) -> Permission | None:
    """What a check of `doctor` needs on this storage; None where nothing is known of it."""
    return _TABLES.get(scheme, {}).get(check)


def policy(scheme: str, container: str, prefix: str, missing: Iterable[Permission]) -> dict[str, Any] | None:
    """The policy to add, ready for IAM: only what is missing, only on this bucket and prefix.

    Args:
        scheme: Only `s3` has policies.
        container: Bucket name, or the ARN of an access point.
        prefix: What the objects' keys start with.
        missing: Any number of permissions, in any order.

    Returns:
        The policy as JSON values; None if nothing is missing.
    """
    wanted = set(missing)
    if scheme != "s3" or not wanted:
        return None
    base = container if container.startswith("arn:") else f"arn:aws:s3:::{container}"
    objects = f"{base}/object/{prefix}*" if container.startswith("arn:") else f"{base}/{prefix}*"
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": resource}
        for resource, on_objects in ((base, False), (objects, True))
        if (actions := sorted(one.action for one in wanted if one.on_objects is on_objects))
    ]
    return {"Version": "2012-10-17", "Statement": statements}
