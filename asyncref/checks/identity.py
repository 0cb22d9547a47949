"""Where the credentials for a storage come from, in words; never what they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from asyncref.backends.azure import settings as azure
from asyncref.backends.gcs import settings as google
from asyncref.backends.http import settings as web
from asyncref.errors import CredentialsError
from asyncref.model import Limits
from asyncref.net.aside import aside
from asyncref.uri import Reference, service

_METHODS: Final = {
    "env": "the environment",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS config file",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity token",
    "sso": "single sign-on",
    "login": "an AWS login session",
    "container-role": "the container's role",
    "iam-role": "the instance's role",
    "custom-process": "the profile's credential_process",
}


async def credentials_of(reference: Reference, options: Mapping[str, Any], uri: str) -> str | None:
    """The source of the credentials that a backend with these options uses.

    Args:
        reference: Where.
        options: Its storage options.
        uri: For errors.

    Returns:
        A few words; None where no credentials are needed or used.

    Raises:
        CredentialsError: None found, or the chain that was set up failed.
    """
    kind = service(reference.scheme, reference.container)
    if kind == "gs":
        return google.read_settings(options, Limits(), concurrency=1).identity.shown or None
    if kind == "az":
        return azure.read_settings(reference.container, options, Limits(), concurrency=1).shown or None
    if kind in {"http", "https"}:
        return web.shown(options, f"{kind}://{reference.container}") or None
    if kind != "s3" or options.get("anon"):
        return None
    if options.get("key"):
        return "storage_options (key, secret)"
    try:
        found = await aside(partial(_look_up, Session(profile=options.get("profile"))))
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        raise CredentialsError(f"the credentials cannot be had: {error}", uri=uri) from error
    if found is None:
        raise CredentialsError(
            "no credentials found in the environment, the AWS files or a role", uri=uri, hint="or ask with anon=True"
        )
    profile = f" (profile {options['profile']})" if options.get("profile") else ""
    return _METHODS.get(found.method, str(found.method)) + profile


def _look_up(session: Session) -> Any:
    """The chain's credentials, proven to be there; blocking."""
    found = session.get_credentials()
    if found is not None:
        found.get_frozen_credentials()
    return found
