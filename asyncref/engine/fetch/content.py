"""Whether bytes are the pinned ones, by the checksums that a pin has.

An ETag of 32 hex digits is the MD5 of the content unless the object is encrypted with aws:kms or SSE-C; a
listing does not say so. A mismatch with such an inferred MD5 is therefore no proof of damage.
An ETag `HEX-N` is the MD5 of the MD5s of N upload parts, whose size no listing says: the usual sizes are tried.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from asyncref.engine.fetch.sums import can_sum, length_of, new_sum
from asyncref.model import Pin

_MD5_TAG: Final = re.compile(r'"?([0-9a-f]{32})"?')
_COMPOSITE_TAG: Final = re.compile(r'"?([0-9a-f]{32})-([0-9]{1,5})"?')
_MIB: Final = 2**20
# Defaults of the AWS CLI, SDKs, rclone, s5cmd, s3fs, boto3 and consoles: powers of two and multiples of five.
_USUAL_MIB: Final = (5, 8, 10, 15, 16, 17, 20, 25, 32, 50, 64, 100, 128, 256, 500, 512, 1024, 5120)
_READ_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Expected:
    """The checksum that content should have; `stated` if the storage says so, else inferred from the ETag."""

    algorithm: str
    digest: bytes
    stated: bool

    @property
    def name(self) -> str:
        """Such as `MD5`."""
        return self.algorithm.upper()


def expected_of(pin: Pin) -> Expected | None:
    """The checksum by which a pin's content can be checked here; None if it has none."""
    if stated := stated_sum(pin.checksum):
        return stated
    inferred = _MD5_TAG.fullmatch(pin.etag) if pin.etag else None
    return Expected("md5", bytes.fromhex(inferred[1]), stated=False) if inferred else None


def stated_sum(checksum: str | None) -> Expected | None:
    """A checksum that a storage states, as `algorithm:hex`; None if it is none that can be computed here."""
    algorithm, _, text = (checksum or "").partition(":")
    if not can_sum(algorithm):
        return None
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        return None
    return Expected(algorithm, digest, stated=True) if len(digest) == length_of(algorithm) else None


@dataclass(frozen=True, slots=True)
class Composite:
    """What an ETag says of an object that was uploaded in parts."""

    digest: bytes
    parts: int


def composite_of(pin: Pin) -> Composite | None:
    """What a pin's ETag says of upload parts; None if it is no such ETag."""
    found = _COMPOSITE_TAG.fullmatch(pin.etag) if pin.etag else None
    return Composite(bytes.fromhex(found[1]), int(found[2])) if found else None


class Match(Enum):
    """Whether bytes are the pinned ones, as far as checksums tell."""

    SAME = "same"  # a checksum says so
    OTHER = "other"  # the size, or a checksum that the storage states, says no
    UNLIKE = "unlike"  # the ETag looks like an MD5 and is not this content's
    UNKNOWN = "unknown"  # no checksum that tells


def match(fd: int, pin: Pin) -> Match:
    """Compare an open file with a pin. An MD5 runs at about 700 MB/s; memory 1 MiB; releases the GIL."""
    size_bytes = os.fstat(fd).st_size
    if pin.size not in (None, size_bytes):
        return Match.OTHER
    if expected := expected_of(pin):
        if sum_of(fd, 0, size_bytes, expected.algorithm) == expected.digest:
            return Match.SAME
        return Match.OTHER if expected.stated else Match.UNLIKE
    composite = composite_of(pin)
    if composite is None:
        return Match.UNKNOWN
    for part_bytes in part_sizes(size_bytes, composite.parts):
        if composite_md5(fd, size_bytes, part_bytes) == composite.digest:
            return Match.SAME
    return Match.UNKNOWN


def part_sizes(size_bytes: int, parts: int) -> list[int]:
    """Sizes of upload parts, in bytes, that give this number of parts; the usual ones and the even one."""
    if parts < 1 or not size_bytes:
        return []
    even = -(-size_bytes // parts)
    sizes = {size * _MIB for size in _USUAL_MIB} | {size * 10**6 for size in _USUAL_MIB}
    sizes |= {even, -(-even // _MIB) * _MIB}
    return sorted(size for size in sizes if -(-size_bytes // size) == parts)


def composite_md5(fd: int, size_bytes: int, part_bytes: int) -> bytes:
    """S3's checksum of a multipart upload: the MD5 of the parts' MD5s."""
    starts = range(0, size_bytes, part_bytes)
    return md5_of_md5s(sum_of(fd, start, min(start + part_bytes, size_bytes), "md5") for start in starts)


def md5_of_md5s(digests: Iterable[bytes]) -> bytes:
    """What S3 makes of the parts' MD5s."""
    return hashlib.md5(b"".join(digests), usedforsecurity=False).digest()


def sum_of(fd: int, start: int, stop: int, algorithm: str) -> bytes:
    """The checksum of a range of an open file, which may end early."""
    running = new_sum(algorithm)
    while start < stop and (data := os.pread(fd, min(_READ_BYTES, stop - start), start)):
        running.update(data)
        start += len(data)
    return running.digest()
