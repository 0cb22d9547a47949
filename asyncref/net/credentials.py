"""Credentials from botocore's chain: profiles, environment, SSO, roles, containers, instances; refreshed by it, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import anyio
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from asyncref.errors import CredentialsError
from asyncref.net.aside import aside
from asyncref.net.sign import Keys

_THREADS: Final = 4  # while one refreshes, botocore lets the others go on with what they have, as long as that holds
_HINT: Final = (
    "give key= and secret=, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or use anon=True"
)


class Chain:
    """Credentials that are looked up on first use and kept fresh; never printed.

    Args:
        session: Where profile and settings were chosen.
        fixed: Credentials given outright; the chain is not asked then.

    Attributes:
        fixed: The credentials, once known, if they do not expire; else `get` has to be asked for every request.
    """

    def __init__(self, session: Session, fixed: Keys | None = None) -> None:
        self._session = session
        self.fixed = fixed
        self._found: Any = None
        self._looking = anyio.Lock()
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def get(self, uri: str) -> Keys:
        """The credentials for one request, refreshed if they are about to expire.

        Args:
            uri: Whom the request is for; for the error.

        Raises:
            CredentialsError: None found, or the chain failed.
        """
        if self.fixed is not None:
            return self.fixed
        try:
            if self._found is None:
                async with self._looking:
                    self._found = self._found or await self._in_thread(self._session.get_credentials)
            found = self._found
            if found is None:
                raise CredentialsError("no credentials were found", uri=uri, hint=_HINT)
            if isinstance(found, RefreshableCredentials) and found.refresh_needed():
                frozen = await self._in_thread(found.get_frozen_credentials)
            else:
                frozen = found.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:  # the last: what a process prints is no JSON
            raise CredentialsError(f"credentials could not be had: {error}", uri=uri) from error
        keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
        if not isinstance(found, RefreshableCredentials):
            self.fixed = keys
        return keys

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        """Run a call that may ask a server."""
        async with self._threads:
            return await aside(call)
