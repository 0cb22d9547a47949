"""What to ask for, in which order, and whether an answer is the pinned one: pure decisions of a fetch.

One object is cut into parts; each part is one request. Which request, the pin decides, and where the
first is refused, the kind of refusal decides the next (docs/design.md §6). Servers ignore conditions that
they do not know, so no answer is used before `check` has compared it with the pin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from asyncref.errors import AccessDeniedError, ChangedError, NotFoundError, ProtocolError, StorageError
from asyncref.model import Answer, Pin, ReadRequest

PART_BYTES: Final = 16 * 2**20
"""Most bytes a part. The parts of a larger object have at least half of it, so that a broken one costs little
and a request's fixed cost (about 0.3 ms of CPU) is spread over 8 MiB or more."""
_BLOCK_BYTES: Final = 4096  # file systems allocate in blocks: parts that share none do not wait for each other


class Part(NamedTuple):
    """The bytes `start` to `stop` (exclusive) of one object; `stop` None: to an end not known before."""

    start: int
    stop: int | None


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one object or of a slice of it, in order; made one by one, since there may be hundreds of thousands."""

    size_bytes: int | None
    step_bytes: int
    first_byte: int = 0

    def __len__(self) -> int:
        return -(-self.size_bytes // self.step_bytes) if self.size_bytes else 1

    def __getitem__(self, index: int) -> Part:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.size_bytes is None:
            return Part(0, None)
        start = self.first_byte + index * self.step_bytes
        return Part(start, min(start + self.step_bytes, self.first_byte + self.size_bytes))


def parts_of(size_bytes: int | None, *, part_bytes: int = PART_BYTES, first_byte: int = 0) -> Parts:
    """Cut one object or a slice of it: no gap, no overlap, at least one part.

    Args:
        size_bytes: None if unknown: one part without an end.
        part_bytes: Most bytes a part; those of an object of several parts have at least half of it, less
            one block of 4 KiB for the last.
        first_byte: Where the slice begins; `size_bytes` is its length.
    """
    if size_bytes is None or size_bytes <= part_bytes:
        return Parts(size_bytes, part_bytes, first_byte)
    even = -(-size_bytes // -(-size_bytes // part_bytes))
    return Parts(size_bytes, min(part_bytes, -(-even // _BLOCK_BYTES) * _BLOCK_BYTES), first_byte)


class Step(Enum):
    """Where an attempt stands in the sequence."""

    VERSION = "version"  # the pinned version id
    CURRENT = "current"  # whatever lies under the key, on condition of the ETag
    NULL = "null"  # S3's version of before versioning, which a later put left standing
    SEARCH = "search"  # no request for bytes: look through the key's versions for the ETag
    FOUND = "found"  # the version that the search found
    UNVERSIONED = "unversioned"  # a versioned read was denied: the current object, on condition of the ETag


class Attempt(NamedTuple):
    """One way to ask for a pinned object. A weak ETag is never in `if_match` (RFC 9110 §13.1.1)."""

    step: Step
    version: str | None = None
    if_match: str | None = None


def first(pin: Pin, *, versioned: bool) -> Attempt:
    """The first attempt for a pin.

    Args:
        pin: What the manifest says.
        versioned: The storage may keep versions.
    """
    strong = strong_etag(pin)
    if not versioned or pin.version is None:
        return Attempt(Step.CURRENT, pin.version if not versioned else None, strong)
    if pin.version == "null":
        # If-Match first: `versionId=null` needs s3:GetObjectVersion, and most such objects still lie on top.
        return Attempt(Step.CURRENT, None, strong) if pin.etag else Attempt(Step.NULL, "null")
    return Attempt(Step.VERSION, pin.version, strong)


def after(attempt: Attempt, refusal: StorageError, pin: Pin, *, versioned: bool) -> Attempt | None:
    """What to try once an attempt was refused for good; None if nothing is left.

    Args:
        attempt: The one that was refused.
        refusal: How. Only a missing, changed or denied object has a next attempt.
        pin: What the manifest says.
        versioned: The storage may keep versions.
    """
    gone, denied = isinstance(refusal, NotFoundError | ChangedError), isinstance(refusal, AccessDeniedError)
    if not versioned or pin.etag is None or not (gone or denied):
        return None
    strong = strong_etag(pin)
    match attempt.step:
        case Step.VERSION if denied:
            return Attempt(Step.UNVERSIONED, None, strong)
        case Step.CURRENT:
            # Denied too: S3 answers 403 for a missing key to whoever may not list.
            return Attempt(Step.NULL, "null", strong)
        case Step.NULL if gone:
            return Attempt(Step.SEARCH)
    return None


def found(history: Sequence[tuple[str | None, str | None, int | None]], pin: Pin) -> Attempt | None:
    """The attempt that a search leads to.

    Args:
        history: Version, ETag and size of every version of exactly the pinned key, newest first.
        pin: What the manifest says.
    """
    for version, etag, size_bytes in history:
        if version is not None and _same_tag(etag, pin.etag) and (pin.size is None or size_bytes in (None, pin.size)):
            return Attempt(Step.FOUND, version, strong_etag(pin))
    return None


def request_for(key: str, attempt: Attempt, part: Part, pin: Pin) -> ReadRequest:
    """One request. The whole object is asked for without a range: an empty one has none (416)."""
    whole = part.start == 0 and part.stop in (None, pin.size)
    return ReadRequest(key, part.start, None if whole else part.stop, attempt.version, attempt.if_match)


def check(answer: Answer, request: ReadRequest, pin: Pin, *, uri: str) -> bool:
    """Compare an answer with its pin before a byte of it is used.

    Returns:
        True if the body is what was asked for; False if it is the whole pinned object, range ignored.

    Raises:
        ChangedError: Another object: other ETag, version or size.
        ProtocolError: Neither ETag nor version came although the pin has them, or a range nobody asked for.
    """
    _check_identity(answer, request, pin, uri)
    stop = request.stop if request.stop is not None else pin.size
    if answer.start == request.start and (None in (answer.stop, stop) or answer.stop == stop):
        return True
    if answer.start == 0 and answer.stop in (None, answer.total):
        return False
    raise ProtocolError(
        f"the server sends bytes {answer.start} to {answer.stop} where {request.start} to {stop} were asked for",
        uri=uri,
        request_id=answer.request_id,
    )


def is_pinned(answer: Answer, request: ReadRequest, pin: Pin) -> bool:
    """Whether an answer without a body speaks of the pinned object."""
    try:
        _check_identity(answer, request, pin, "")
    except StorageError:
        return False
    return True


def _check_identity(answer: Answer, request: ReadRequest, pin: Pin, uri: str) -> None:
    if pin.etag is not None and answer.etag is not None and not _same_tag(answer.etag, pin.etag):
        raise _changed("ETag", pin.etag, answer, answer.etag, uri)
    if request.version is not None and answer.version not in (None, request.version):
        raise _changed("version", request.version, answer, answer.version, uri)
    if pin.size is not None and answer.total not in (None, pin.size):
        raise _changed("size", pin.size, answer, answer.total, uri)
    by_etag = pin.etag is not None and answer.etag is not None
    by_version = request.version is not None and answer.version is not None
    pinned = pin.etag is not None or request.version is not None
    if pinned and not (by_etag or by_version or content_md5(pin)):
        raise ProtocolError(
            "the answer has neither ETag nor version, so nothing tells that these are the pinned bytes",
            uri=uri,
            request_id=answer.request_id,
        )


def _changed(what: str, pinned: object, answer: Answer, came: object, uri: str) -> ChangedError:
    text = f"another object came: its {what} is {came}, pinned is {pinned}"
    return ChangedError(text, uri=uri, request_id=answer.request_id)


def outcome(refusals: Sequence[StorageError], uri: str) -> StorageError:
    """The one error that says why every attempt was refused, in the order in which they were made.

    A denial outranks all: with the permission the bytes may still be there. Otherwise the first one counts.
    """
    told = next((refusal for refusal in refusals if isinstance(refusal, AccessDeniedError)), refusals[0])
    about = {"uri": uri, "request_id": told.request_id, "code": told.code}
    if isinstance(told, AccessDeniedError) and len(refusals) > 1:
        hint = "reading a version that is not the current one needs s3:GetObjectVersion"
        return AccessDeniedError("reading the pinned version is denied", hint=hint, **about)
    if isinstance(told, ChangedError):
        return ChangedError("overwritten: the pinned bytes are no longer kept", **about)
    if type(told) is NotFoundError:
        return NotFoundError("gone: the pinned object no longer exists", **about)
    return told


def strong_etag(pin: Pin) -> str | None:
    """The ETag to send as a condition; None for a weak one, which never matches in a strong comparison."""
    return pin.etag if pin.etag and not pin.etag.startswith("W/") else None


def content_md5(pin: Pin) -> str | None:
    """The MD5 that the storage states for the content, in hex; None if it states none."""
    return pin.checksum.removeprefix("md5:") if pin.checksum and pin.checksum.startswith("md5:") else None


def _same_tag(one: str | None, other: str | None) -> bool:
    """Weak comparison; some servers leave the quotes out in one place and not in another."""
    return one is not None and other is not None and (one == other or _opaque(one) == _opaque(other))


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
