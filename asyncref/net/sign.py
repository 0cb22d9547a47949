"""Signature Version 4 for requests without a body, with the day's signing key kept.

botocore's signer takes 200 µs a request, most of it to build and take apart request objects; this one takes
about 20 µs and gives the same signature (tests compare the two). The rules: AWS, "Create a signed AWS API
request", https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote

EMPTY_SHA256: Final = sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_RESERVED: Final = re.compile("[^0-9A-Za-z._~-]")


@dataclass(frozen=True, slots=True)
class Keys:
    """One set of credentials at one moment; never printed."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def path_of(key: str) -> str:
    """A key as it stands in a URL's path. Nothing is normalised: `..` and `//` belong to the key."""
    return quote(key, safe="/~")


def query_of(parameters: Mapping[str, str]) -> str:
    """Parameters in canonical form: sorted and encoded, so the same text is sent and signed."""
    return "&".join(sorted([f"{_quoted(name)}={_quoted(value)}" for name, value in parameters.items()]))


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    """One name or value; kept, since all but the marker is the same in every request of a listing."""
    if text.isascii():
        return _RESERVED.sub(_escaped, text)  # a third of the time that `quote` takes, which looks at each character
    return quote(text, safe="~")


def _escaped(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


class Signer:
    """Signs for one region and service.

    Args:
        region: The region in the signature's scope.
        service: `s3`, or `s3express` for directory buckets.
        payload_sha256: What to say of the body: of the empty one, or that it is unsigned.
    """

    def __init__(self, region: str, service: str = "s3", *, payload_sha256: str = EMPTY_SHA256) -> None:
        self.region = region
        self.service = service
        self.offset_s = 0.0
        self._payload_sha256 = payload_sha256
        self._second = 0
        self._stamp = ""
        self._kept: tuple[str, str] = ("", "")
        self._keyed = hmac.new(b"", digestmod="sha256")

    def sign(  # noqa: PLR0917  the parts of a canonical request, in its order
        self, method: str, host: str, path: str, query: str, headers: Mapping[str, str], keys: Keys
    ) -> dict[str, str]:
        """The headers to send: those given, all of them signed, and the signature's own.

        Args:
            method: `GET` or `HEAD`.
            host: The Host header as it is sent, with the port where it is not the scheme's own.
            path: The encoded path (`path_of`).
            query: The canonical query (`query_of`).
            headers: Further headers to sign; names in lower case, values without outer or doubled spaces.
            keys: The credentials.
        """
        stamp = self._now()
        signed = {**headers, "host": host, "x-amz-content-sha256": self._payload_sha256, "x-amz-date": stamp}
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        names = sorted(signed)
        listed = ";".join(names)
        lines = "".join([f"{name}:{signed[name]}\n" for name in names])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{self._payload_sha256}"
        day = stamp[:8]
        scope = f"{day}/{self.region}/{self.service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signing = self._signing(day, keys.secret).copy()
        signing.update(text.encode())
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={listed}, Signature={signing.hexdigest()}"
        )
        return signed

    def correct_clock(self, server_time_s: float) -> None:
        """Sign by the server's clock from now on.

        Args:
            server_time_s: The server's Unix time now.
        """
        self.offset_s = server_time_s - time.time()
        self._second = 0

    def _now(self) -> str:
        second = int(time.time() + self.offset_s)
        if second != self._second:
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._second = second
        return self._stamp

    def _signing(self, day: str, secret: str) -> hmac.HMAC:
        """The day's key, taken in: a copy costs half as much as taking it in again."""
        if self._kept != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._keyed = hmac.new(key, digestmod="sha256")
            self._kept = (day, secret)
        return self._keyed
