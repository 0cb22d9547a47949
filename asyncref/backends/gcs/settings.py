"""Settings of Google Cloud Storage: storage options in gcsfs's names and the environment, honoured or refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import orjson

from asyncref.errors import OptionError
from asyncref.model import Limits
from asyncref.net.settings import HttpSettings

OPTIONS: Final = {
    "endpoint_url": "base URL of the service",
    "token": "anon, google_default, cloud, a credentials file or its content, or an access token",
    "anon": "ask without credentials",
    "requester_pays": "True: pay for the requests by `project`; or the project itself",
    "project": "the project that pays for the requests",
    "account_name": "the same, as a manifest records it",
    "verify": "False, or the file of trusted authorities",
}
DEFAULT_ENDPOINT: Final = "https://storage.googleapis.com"
_GOOGLE: Final = ".googleapis.com"
_DEFAULT_TOKENS: Final = ("google_default", "cloud")
_REFUSED_TOKENS: Final = ("browser", "cache")
_ACCESS_TOKEN: Final = "ya29."  # noqa: S105  how every access token of Google's begins

Kind = Literal["none", "default", "metadata", "content", "access"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Attributes:
        kind: `none`: nobody; `default`: Application Default Credentials; `metadata`: the machine's service account;
            `content`: a credentials file, read; `access`: an access token as it stands.
        secret: The content or the token.
        shown: Where it came from, in words, never what it is.
    """

    kind: Kind
    secret: Mapping[str, Any] | str | None = field(default=None, repr=False)
    shown: str = ""


@dataclass(frozen=True, slots=True)
class GcsSettings:
    """What was chosen, and nothing secret in its `repr`.

    Attributes:
        endpoint: Base URL, without a final slash.
        identity: Who asks.
        user_project: The project that pays for the requests; None: the bucket's owner does.
        http: For the pool.
    """

    endpoint: str
    identity: Identity
    user_project: str | None
    http: HttpSettings

    @property
    def anon(self) -> bool:
        """Whether requests go without credentials."""
        return self.identity.kind == "none"


def read_settings(options: Mapping[str, Any], limits: Limits, *, concurrency: int) -> GcsSettings:
    """Put together options and environment; no request is sent, a credentials file named outright is read.

    Args:
        options: In gcsfs's names.
        limits: Bounds of connections.
        concurrency: Requests of one kind in flight at most.

    Raises:
        OptionError: Unknown, malformed or refused; names the setting.
    """
    for name in options:
        if name not in OPTIONS:
            raise OptionError(f"unknown storage option {name!r} for gs", hint=f"known are {', '.join(OPTIONS)}")
    endpoint = _endpoint(options.get("endpoint_url"))
    identity = _identity(options, endpoint)
    verify = options.get("verify")
    return GcsSettings(
        endpoint=endpoint,
        identity=identity,
        user_project=_user_project(options, identity),
        http=HttpSettings(
            connections=2 * (limits.concurrency or concurrency),
            connect_timeout_s=limits.connect_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
            verify=True if verify is None else verify,
        ),
    )


def _endpoint(chosen: str | None) -> str:
    """The service's URL; STORAGE_EMULATOR_HOST, which may lack its scheme, names it where no option does."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if chosen is None and emulator:
        chosen = emulator if "://" in emulator else f"http://{emulator}"
    elif chosen is None:
        return DEFAULT_ENDPOINT
    parts = urlsplit(chosen)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OptionError(f"endpoint_url {chosen!r} is no URL", hint="write https://host or http://host:port")
    return chosen.rstrip("/")


def _identity(options: Mapping[str, Any], endpoint: str) -> Identity:
    token = options.get("token")
    if token == "anon" or (options.get("anon") and token is None):  # noqa: S105  gcsfs's word
        return Identity("none")
    if options.get("anon"):
        raise OptionError("anon and token are both given")
    if token is None:
        # A bearer token is the account itself, unlike a signature: it goes to Google only, unless it is named.
        foreign = not f".{urlsplit(endpoint).hostname}".endswith(_GOOGLE)
        return Identity("none") if foreign else _default()
    return _named(token)


def _default() -> Identity:
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not path:
        return Identity("default", shown="Application Default Credentials")
    return Identity("content", _content(Path(path), "GOOGLE_APPLICATION_CREDENTIALS"), f"the file {path}")


def _named(token: Any) -> Identity:
    if isinstance(token, Mapping):
        return Identity("content", token, "storage_options (token)")
    if not isinstance(token, str | os.PathLike):
        raise OptionError("token is neither text, a path nor a mapping")
    text = os.fspath(token)
    if text in _REFUSED_TOKENS:
        raise OptionError(f"token={text!r} is refused: asyncref opens no browser", hint="use token='google_default'")
    if text in _DEFAULT_TOKENS:
        return _default() if text == "google_default" else Identity("metadata", shown="the metadata server")
    if text.startswith(_ACCESS_TOKEN):
        return Identity("access", text, "storage_options (token)")
    if not Path(text).is_file():  # it may be a secret, so it is not shown
        raise OptionError("token is no credentials file that is there, and no access token (ya29...)")
    return Identity("content", _content(Path(text), "token"), f"the file {text}")


def _content(path: Path, named_by: str) -> Mapping[str, Any]:
    """A credentials file, read here: gcloud-aio-auth would take a damaged one for none."""
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise OptionError(f"{named_by}: {path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise OptionError(f"{named_by}: {path} is no JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise OptionError(f"{named_by}: {path} holds no Google credentials (it has no type)")
    return content


def _user_project(options: Mapping[str, Any], identity: Identity) -> str | None:
    pays = options.get("requester_pays")
    if not pays:
        return None
    named = pays if isinstance(pays, str) else options.get("project") or options.get("account_name")
    project = named or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if project is None and isinstance(identity.secret, Mapping):
        project = identity.secret.get("project_id")
    if not project:
        raise OptionError("requester_pays needs the project that pays", hint="give project=")
    return str(project)
