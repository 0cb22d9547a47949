"""What Azure's answers mean: one table from its error codes and statuses to our errors. Nothing secret is quoted."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from asyncref import errors
from asyncref.errors import AsyncrefError
from asyncref.net.dates import pause_s

_ELEMENT: Final = re.compile(r"<(Code|Message|AuthenticationErrorDetail|QueryParameterName|Reason)>([^<]*)</\1>")
# The other details of refused signatures repeat what was signed, so only those about time are passed on.
_TIMES: Final = re.compile(r"(?:Signature not valid in the specified time frame|Signed expiry time)[^\r\n<]*")
_UNSIGNED: Final = "Make sure the value of the Authorization header is formed correctly"

_KEYS: Final = "the server does not accept the credentials for container {container!r}"
_DENIED: Final = "access denied to container {container!r}: {needs}"
_GONE: Final = "no such blob"
_SLOW: Final = "the server asks to slow down"
_FAILED: Final = "the server failed: {message}"
_ARCHIVED: Final = "the blob lies in the archive tier"
_NO_CONTAINER: Final = "no such container: {container!r}"

_Kind = tuple[type[AsyncrefError], str]

_BY_CODE: Final[dict[str, _Kind]] = {
    "AccountIsDisabled": (errors.AccessDeniedError, "the account is disabled"),
    "AuthenticationFailed": (errors.CredentialsError, _KEYS),
    "InvalidAuthenticationInfo": (errors.CredentialsError, _KEYS),
    "NoAuthenticationInformation": (errors.CredentialsError, "container {container!r} is not public"),
    "MissingRequiredHeader": (errors.CredentialsError, _KEYS),
    "AuthorizationFailure": (errors.AccessDeniedError, _DENIED),
    "AuthorizationPermissionMismatch": (errors.AccessDeniedError, _DENIED),
    "AuthorizationProtocolMismatch": (errors.AccessDeniedError, "the account accepts https only"),
    "AuthorizationResourceTypeMismatch": (errors.AccessDeniedError, _DENIED),
    "AuthorizationServiceMismatch": (errors.AccessDeniedError, _DENIED),
    "AuthorizationSourceIPMismatch": (errors.AccessDeniedError, "this machine's address is not allowed"),
    "InsufficientAccountPermissions": (errors.AccessDeniedError, _DENIED),
    "KeyBasedAuthenticationNotPermitted": (errors.AccessDeniedError, "the account forbids keys and their SAS tokens"),
    "PublicAccessNotPermitted": (errors.AccessDeniedError, "the account forbids public access"),
    "ContainerNotFound": (errors.ContainerNotFoundError, _NO_CONTAINER),
    "ContainerBeingDeleted": (errors.ContainerNotFoundError, "the container {container!r} is being deleted"),
    "ContainerDisabled": (errors.ContainerNotFoundError, "the container {container!r} is disabled"),
    "BlobNotFound": (errors.NotFoundError, _GONE),
    "PathNotFound": (errors.NotFoundError, "no such folder"),
    "ConditionNotMet": (errors.ChangedError, "the blob is not what it was"),
    "TargetConditionNotMet": (errors.ChangedError, "the blob is not what it was"),
    "InvalidRange": (errors.ChangedError, "the blob is shorter than it was"),
    "BlobArchived": (errors.ArchivedError, _ARCHIVED),
    "BlobBeingRehydrated": (errors.ArchivedError, "the blob is still on its way out of the archive tier"),
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": (errors.UnsupportedError, "not offered: {message}"),
    "UnsupportedQueryParameter": (errors.UnsupportedError, "not offered: {message}"),
    "ServerBusy": (errors.ThrottledError, _SLOW),
    "TooManyRequests": (errors.ThrottledError, _SLOW),
    "IngressIsHigherThanLimit": (errors.ThrottledError, _SLOW),
    "EgressIsOverAccountLimit": (errors.ThrottledError, _SLOW),
    "OperationTimedOut": (errors.ServerError, _FAILED),
    "InternalError": (errors.ServerError, _FAILED),
}
_BY_STATUS: Final[dict[int, _Kind]] = {
    401: (errors.CredentialsError, _KEYS),
    403: (errors.AccessDeniedError, _DENIED),
    404: (errors.NotFoundError, _GONE),
    407: (errors.AccessDeniedError, "the proxy wants a user and a password"),
    408: (errors.ServerError, _FAILED),
    412: (errors.ChangedError, "the blob is not what it was"),
    416: (errors.ChangedError, "the blob is shorter than it was"),
    429: (errors.ThrottledError, _SLOW),
    501: (errors.UnsupportedError, "not offered: {message}"),
    503: (errors.ThrottledError, _SLOW),
}
_HINTS: Final[dict[str, str]] = {
    "AuthorizationFailure": "a firewall or network rule of the account may be the reason",
    "BlobArchived": "move it to the hot or cool tier (az storage blob set-tier), wait until that is done, then try again",
    "BlobBeingRehydrated": "wait; this takes hours",
    "NoAuthenticationInformation": "leave anon=True out, or make the container public",
    "PublicAccessNotPermitted": "leave anon=True out",
    "KeyBasedAuthenticationNotPermitted": "use an identity: az login, a managed identity or a service principal",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was for, as its error has to say it.

    Attributes:
        uri: The blob or the container.
        container: Its name.
        needs: The role or SAS permission that the request needs.
        version: Whether a version was named.
        of_container: Whether the container was asked and not a blob.
    """

    uri: str
    container: str
    needs: str
    version: bool = False
    of_container: bool = False


def failure(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> AsyncrefError:
    """The error for an answer that is none.

    Args:
        status: Its status.
        headers: Its headers.
        body: Its body; empty for a HEAD.
        asked: What the request was for.
    """
    said = {name: html.unescape(value) for name, value in _ELEMENT.findall(body[:8192].decode(errors="replace"))}
    code = headers.get("x-ms-error-code") or said.get("Code")
    request_id = headers.get("x-ms-request-id")
    message = (said.get("Message") or code or f"status {status}").partition("\n")[0].strip()
    if reason := said.get("Reason"):
        message = f"{message} {reason}"
    if _UNSIGNED in message:  # Azurite calls it AuthorizationFailure, which is a firewall's on Azure
        code = "AuthenticationFailed"
    kind, text = _choose(status, code, said.get("QueryParameterName"), asked)
    text = text.format(container=asked.container, needs=asked.needs, message=message)
    if kind is errors.ThrottledError:
        return errors.ThrottledError(
            text, uri=asked.uri, request_id=request_id, code=code, retry_after_s=pause_s(headers)
        )
    hint = _HINTS.get(code or "")
    if kind is errors.CredentialsError and (expired := _TIMES.search(said.get("AuthenticationErrorDetail", ""))):
        text, hint = (
            f"the SAS token is not valid now: {expired[0].strip()}",
            "get a new one, or set this machine's clock",
        )
    return kind(text, uri=asked.uri, request_id=request_id, code=code or f"status {status}", hint=hint)


def _choose(status: int, code: str | None, parameter: str | None, asked: Asked) -> _Kind:
    if found := _BY_CODE.get(code or ""):
        return found
    if status == HTTPStatus.NOT_FOUND and asked.of_container:
        return _BY_CODE["ContainerNotFound"]
    if status == HTTPStatus.BAD_REQUEST and asked.version:
        return errors.NotFoundError, "no such version: {message}"
    if status == HTTPStatus.BAD_REQUEST and parameter == "include":
        return _BY_CODE["UnsupportedQueryParameter"]
    if status == HTTPStatus.CONFLICT and asked.of_container:  # what a hierarchical namespace does not offer
        return errors.UnsupportedError, "not offered: {message}"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.OK:
        return errors.ServerError, _FAILED
    return errors.ProtocolError, "the server refused the request: {message}"


def moment(text: str | None) -> datetime | None:
    """The time of an HTTP date; None if it is none."""
    try:
        return parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
