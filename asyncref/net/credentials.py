"""Credentials from aiobotocore's chain: profiles, environment, SSO, roles, containers, instances; refreshed by it."""

from __future__ import annotations

from typing import Any

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from asyncref.errors import CredentialsError
from asyncref.net.sign import Keys

_HINT = "give key= and secret=, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or use anon=True"


class Chain:
    """Credentials that are looked up on first use and kept fresh; never printed.

    Args:
        session: Where profile and settings were chosen.
        fixed: Credentials given outright; the chain is not asked then.
    """

    def __init__(self, session: AioSession, fixed: Keys | None = None) -> None:
        self._session = session
        self._fixed = fixed
        self._found: Any = None

    async def get(self, uri: str) -> Keys:
        """The credentials for one request, refreshed if they are about to expire.

        Args:
            uri: Whom the request is for; for the error.

        Raises:
            CredentialsError: None found, or the chain failed.
        """
        if self._fixed is not None:
            return self._fixed
        try:
            if self._found is None:
                self._found = await self._session.get_credentials()
            if self._found is None:
                raise CredentialsError("no credentials were found", uri=uri, hint=_HINT)
            frozen = await self._found.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError) as error:
            raise CredentialsError(f"credentials could not be had: {error}", uri=uri) from error
        keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
        if not hasattr(self._found, "refresh_needed"):
            self._fixed = keys
        return keys
