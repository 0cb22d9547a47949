"""Every error that asyncref raises: one tree, closed, with the URI and the server's request id inside.

    AsyncrefError                      exit 1
    ├── UsageError                     exit 2: the request itself is off; nothing was asked of a server
    │   ├── InvalidURIError
    │   ├── UnknownSchemeError
    │   ├── OptionError                an unknown or refused setting
    │   ├── InvalidNameError           an artifact, alias or project name
    │   └── NotOfferedError            a name of W&B's that asyncref does not have, such as run.log
    ├── StorageError                   a storage answered, and the answer is final
    │   ├── NotFoundError              no such object, version, file or folder
    │   │   └── ContainerNotFoundError no such bucket or container
    │   ├── NothingFoundError          the listing is complete and empty
    │   ├── AccessDeniedError          403: never called missing
    │   ├── CredentialsError           none found, or refused before anything was asked
    │   ├── ChangedError               the pinned bytes are no longer what lies under the key
    │   ├── ArchivedError              in an archive tier; has to be restored first
    │   ├── WrongRegionError           the bucket lives elsewhere (`region`); followed once
    │   ├── UnsupportedError           the storage cannot do this at all (501 and the like)
    │   └── ProtocolError              the server contradicts itself or its protocol
    │       └── OrderError             keys out of order: the engine relists serially
    ├── RetryableError                 the same request may succeed if sent again
    │   ├── ThrottledError             429, 503, SlowDown; may carry `retry_after_s`
    │   ├── ServerError                500, 502, 504 and error bodies under status 200
    │   ├── ConnectionFailedError      nothing answered: endpoint down, DNS, proxy, TLS
    │   └── BrokenBodyError            the answer ended early, stalled or was cut
    │       └── SilentError            nothing came for too long
    ├── ScanError
    │   ├── TooManyObjectsError        more than `max_objects`: an error, never a cut
    │   ├── BadKeyError                keys that no path can stand for; names them
    │   └── DuplicatePathError         one path, two pins; names both
    ├── FetchError                     exit 4: part of a fetch failed; `failures` names every entry
    │   ├── PathConflictError          exit 1: names the file system cannot hold; nothing was written
    │   ├── TargetError                exit 1: nothing can be written to the folder at all; nothing was
    │   └── SpaceError                 exit 1: more bytes than the disk has room for; nothing was written
    ├── ManifestError
    │   ├── ManifestFormatError        not a manifest, damaged or edited
    │   └── ManifestVersionError       written by a newer asyncref
    └── RegistryError
        ├── UnknownArtifactError       also unknown versions and aliases; lists what exists
        ├── PartialScanError           a partial manifest logged without `allow_partial`
        ├── RegistryVersionError       a newer or older schema
        └── RegistryUnavailableError   cannot be opened or written

Retryable is a type, not a list of strings: the engine retries `RetryableError` and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

_SHOWN: Final = 3


class AsyncrefError(Exception):
    """What went wrong, where, and what to do about it, in one line.

    Args:
        message: What happened, without the URI and without a final full stop.
        uri: The reference, bucket, file or URL that it happened to.
        hint: What the user can do.
        request_id: The server's own id of the failed request.
        code: The server's own error code, such as `NoSuchBucket`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        uri: str | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.uri = uri
        self.hint = hint
        self.request_id = request_id
        self.code = code

    def __str__(self) -> str:
        """One line: `uri: message (code, request id): hint`."""
        where = f"{self.uri}: " if self.uri else ""
        notes = [note for note in (self.code, self.request_id and f"request {self.request_id}") if note]
        aside = f" ({', '.join(notes)})" if notes else ""
        todo = f"; {self.hint}" if self.hint else ""
        return " ".join(f"{where}{self.message}{aside}{todo}".split("\n"))


class UsageError(AsyncrefError, ValueError):
    """The request itself is off; nothing was asked of a server."""

    exit_code = 2


class InvalidURIError(UsageError):
    """A reference that cannot be read: no scheme, no bucket, a signed URL."""


class UnknownSchemeError(UsageError):
    """No backend for this scheme; the message lists those there are."""


class OptionError(UsageError):
    """A storage option or a botocore setting that is unknown, malformed or refused by name."""


class InvalidNameError(UsageError):
    """An artifact, alias, project or entity name with characters that it may not have."""


class NotOfferedError(UsageError, AttributeError):
    """A name of W&B's face that asyncref does not have: it tracks data and uploads nothing."""


class StorageError(AsyncrefError):
    """A storage answered, and asking again would not change the answer."""


class NotFoundError(StorageError, FileNotFoundError):
    """No such object, version, file or folder."""


class ContainerNotFoundError(NotFoundError):
    """No such bucket or container."""


class NothingFoundError(NotFoundError):
    """The listing is complete and holds nothing."""


class AccessDeniedError(StorageError, PermissionError):
    """The identity may not do this. Never used for something that is missing."""


class CredentialsError(StorageError):
    """No credentials, or credentials that the server does not know."""


class ChangedError(StorageError):
    """The pinned bytes are no longer what lies under the key."""


class ArchivedError(StorageError):
    """The object lies in an archive tier and has to be restored before it can be read."""


class UnsupportedError(StorageError):
    """The storage does not offer this call at all."""


class WrongRegionError(StorageError):
    """The bucket lives in another region.

    Args:
        region: Where it lives, as the server said.
    """

    def __init__(self, message: str, *, region: str, uri: str | None = None) -> None:
        super().__init__(message, uri=uri, hint=f"the server names region {region!r}")
        self.region = region


class ProtocolError(StorageError):
    """The server contradicts itself or its protocol; nothing of the answer is used."""


class OrderError(ProtocolError):
    """Keys arrived out of byte order; the source has to be listed again serially, then sorted."""


class RetryableError(AsyncrefError):
    """The same request may succeed if it is sent again."""


class ThrottledError(RetryableError):
    """The server asked to slow down.

    Args:
        retry_after_s: The pause in seconds that it asked for, if it named one.
    """

    def __init__(
        self,
        message: str,
        *,
        uri: str | None = None,
        request_id: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, uri=uri, request_id=request_id, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class ServerError(RetryableError):
    """The server failed on its side."""


class ConnectionFailedError(RetryableError, ConnectionError):
    """Nothing answered: the endpoint is down, or DNS, the proxy or TLS failed."""


class BrokenBodyError(RetryableError):
    """An answer began and did not end as it should: cut, stalled or reset."""


class SilentError(BrokenBodyError):
    """Nothing came of an answer, or of the rest of one, for as long as `Limits.idle_timeout_s`."""


class ScanError(AsyncrefError):
    """A scan that cannot give a manifest."""


class TooManyObjectsError(ScanError):
    """More objects than `max_objects` allows. The scan is not cut: it fails."""


class BadKeyError(ScanError):
    """Keys that no path can stand for (`.` or `..` segments, NUL, not UTF-8).

    Args:
        keys: The first of them, at most 20.
        count: How many there are.
    """

    def __init__(self, message: str, *, keys: tuple[str, ...], count: int, uri: str | None = None) -> None:
        super().__init__(message, uri=uri, hint="bad_keys='skip' leaves them out and counts them")
        self.keys = keys
        self.count = count


class DuplicatePathError(ScanError):
    """Two different pins for one path."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry that could not be fetched, and why."""

    path: str
    ref: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.path}: {self.error}"


class FetchError(AsyncrefError):
    """Part of a fetch failed; nothing wrong or half-written lies under a final name.

    Args:
        failures: Every entry that failed, in path order.

    Attributes:
        report: The `FetchReport` of what was done all the same.
    """

    exit_code = 4
    report: Any = None  # its class is of a layer above

    def __init__(self, message: str, *, failures: tuple[Failure, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.failures = failures

    def __str__(self) -> str:
        """One line, naming the first failures; `failures` has them all."""
        shown = "; ".join(str(failure) for failure in self.failures[:_SHOWN])
        more = f"; and {len(self.failures) - _SHOWN} more" if len(self.failures) > _SHOWN else ""
        head = super().__str__()
        return f"{head}: {shown}{more}" if shown else head


class PathConflictError(FetchError):
    """Names that the target's file system cannot hold side by side; found before anything was written."""

    exit_code = 1


class TargetError(FetchError):
    """The target takes nothing at all, since it is closed or can be no folder; nothing was written."""

    exit_code = 1


class SpaceError(FetchError):
    """More bytes are still to come than the target has room for; found before anything was written."""

    exit_code = 1


class ManifestError(AsyncrefError):
    """A manifest that cannot be used."""


class ManifestFormatError(ManifestError):
    """Not a manifest, or one that was damaged or edited by hand."""


class ManifestVersionError(ManifestError):
    """A manifest in a format newer than this asyncref reads."""


class RegistryError(AsyncrefError):
    """The registry cannot do what was asked."""


class UnknownArtifactError(RegistryError, LookupError):
    """No such artifact, version or alias; the message lists what there is."""


class PartialScanError(RegistryError):
    """A partial manifest is logged only with `allow_partial=True`."""


class RegistryVersionError(RegistryError):
    """The registry's schema is newer, or older and not yet upgraded."""


class RegistryUnavailableError(RegistryError):
    """The registry cannot be opened or written."""
