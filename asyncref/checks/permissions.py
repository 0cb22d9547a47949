"""Which permission each call needs, and the policy or the commands that grant those that are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from asyncref.uri import Reference, service


@dataclass(frozen=True, slots=True)
class Permission:
    """What has to be allowed for one call.

    Attributes:
        action: As the storage names it.
        on_objects: It is granted on objects; otherwise on the container.
        role: The least that grants it, where the storage grants by roles.
    """

    action: str
    on_objects: bool
    role: str | None = None


_S3: Final = {
    "list": Permission("s3:ListBucket", on_objects=False),
    "list versions": Permission("s3:ListBucketVersions", on_objects=False),
    "versioning": Permission("s3:GetBucketVersioning", on_objects=False),
    "stat": Permission("s3:GetObject", on_objects=True),
    "read": Permission("s3:GetObject", on_objects=True),
    "read a version": Permission("s3:GetObjectVersion", on_objects=True),
}
_VIEWER: Final = "roles/storage.objectViewer"
_BUCKET_READER: Final = "roles/storage.legacyBucketReader"
_GS: Final = {
    "list": Permission(f"storage.objects.list (in {_VIEWER})", on_objects=False, role=_VIEWER),
    "versioning": Permission(f"storage.buckets.get (in {_BUCKET_READER})", on_objects=False, role=_BUCKET_READER),
    "stat": Permission(f"storage.objects.get (in {_VIEWER})", on_objects=True, role=_VIEWER),
    "read": Permission(f"storage.objects.get (in {_VIEWER})", on_objects=True, role=_VIEWER),
}
# Azure's data roles hold all three; a SAS names them one by one. Versioning is told by the management API alone.
_READER: Final = "Storage Blob Data Reader"
_AZ_LIST: Final = Permission(
    f"the role {_READER}, or list (l) in the SAS of the container", on_objects=False, role=_READER
)
_AZ_READ: Final = Permission(f"the role {_READER}, or read (r) in the SAS", on_objects=True, role=_READER)
_AZ: Final = {
    "list": _AZ_LIST,
    "list versions": _AZ_LIST,
    "stat": _AZ_READ,
    "read": _AZ_READ,
    "read a version": _AZ_READ,
}
_HTTP: Final = {
    "list": Permission("GET of the folder's index page, by the server's own rules", on_objects=False),
    "stat": Permission("HEAD of the file, by the server's own rules", on_objects=True),
    "read": Permission("GET of the file, by the server's own rules", on_objects=True),
}
_FILE: Final = {
    "list": Permission("read and search permission on the folder", on_objects=False),
    "stat": Permission("read permission on the file", on_objects=True),
    "read": Permission("read permission on the file", on_objects=True),
}
_TABLES: Final = {"s3": _S3, "gs": _GS, "az": _AZ, "http": _HTTP, "https": _HTTP, "file": _FILE}


def needed(reference: Reference, check: str) -> Permission | None:
    """What a check of `doctor` needs on this storage; None where nothing is known of it."""
    return _TABLES.get(service(reference.scheme, reference.container), {}).get(check)


def askable(reference: Reference, check: str) -> bool:
    """Whether some permission lets a reader of data learn this; so, too, where nothing is known of the storage."""
    table = _TABLES.get(service(reference.scheme, reference.container))
    return table is None or check in table


def commands(reference: Reference, account: str | None, missing: Iterable[Permission]) -> tuple[str, ...]:
    """The commands that grant the roles which are missing, on this container alone; words in capitals are to be filled in.

    Args:
        reference: Only `gs` and Azure's have roles.
        account: Azure's storage account.
        missing: Any number of permissions, in any order.
    """
    roles = sorted({one.role for one in missing if one.role})
    container = reference.container
    if service(reference.scheme, container) == "gs":
        bind = f"gcloud storage buckets add-iam-policy-binding gs://{container}"
        return tuple(f"{bind} --member=MEMBER --role={role}" for role in roles)
    name = container.rpartition("/")[2].partition("@")[0]
    scope = (
        f"/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/{account}"
        f"/blobServices/default/containers/{name}"
    )
    return tuple(f"az role assignment create --assignee IDENTITY --role '{role}' --scope '{scope}'" for role in roles)


def policy(reference: Reference, missing: Iterable[Permission]) -> dict[str, Any] | None:
    """The policy to add, ready for IAM: only what is missing, only on this bucket and prefix.

    Args:
        reference: Only `s3` has policies; its container is a bucket's name or the ARN of an access point.
        missing: Any number of permissions, in any order.

    Returns:
        The policy as JSON values; None if nothing is missing.
    """
    wanted, container, prefix = set(missing), reference.container, reference.key
    if reference.scheme != "s3" or not wanted:
        return None
    base = container if container.startswith("arn:") else f"arn:aws:s3:::{container}"
    objects = f"{base}/object/{prefix}*" if container.startswith("arn:") else f"{base}/{prefix}*"
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": resource}
        for resource, on_objects in ((base, False), (objects, True))
        if (actions := sorted(one.action for one in wanted if one.on_objects is on_objects))
    ]
    return {"Version": "2012-10-17", "Statement": statements}
