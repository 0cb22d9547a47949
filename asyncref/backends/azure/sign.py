"""Shared Key signatures for requests without a body.

The rules: Microsoft, "Authorize with Shared Key", Blob service, version 2009-09-19 and later,
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key. Tests compare the result with
azure-storage-blob's.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, Self

from asyncref.errors import OptionError

# Their values, in this order, stand in the text that is signed; a GET or HEAD has none of the others.
_HEADERS: Final = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountKey:
    """An account's key; never printed."""

    account: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, account: str, text: str) -> Self:
        """The key from its base64 form.

        Raises:
            OptionError: It is no base64.
        """
        try:
            return cls(account, base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise OptionError(
                "the account key is no base64", hint="copy it from the portal's page Access keys"
            ) from error


class Signer:
    """Signs for one account.

    Args:
        key: The account's.
    """

    def __init__(self, key: AccountKey) -> None:
        self._key = key

    def sign(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """The Authorization header.

        Args:
            method: `GET` or `HEAD`.
            path: The encoded path, as it is sent.
            query: The parameters, not encoded, names in lower case.
            headers: As sent; names in lower case.
        """
        text = string_to_sign(self._key.account, method, path, query, headers)
        digest = hmac.digest(self._key.secret, text.encode(), "sha256")
        return f"SharedKey {self._key.account}:{base64.b64encode(digest).decode()}"


def string_to_sign(account: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The text whose HMAC is the signature."""
    plain = "\n".join(headers.get(name, "") for name in _HEADERS)
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
    parameters = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
    return f"{method}\n{plain}\n{own}/{account}{path}{parameters}"


def http_date(offset_s: float = 0.0) -> str:
    """The time now as `x-ms-date` has it.

    Args:
        offset_s: By how much the server's clock is ahead of this machine's.
    """
    return formatdate(time.time() + offset_s, usegmt=True)
