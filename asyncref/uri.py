"""References: what a person types, parsed once; what a manifest holds is raw and never parsed again.

A reference is `scheme://container/key`. The key is taken as it stands: `#`, `?`, `%`, `//`, spaces and `..`
belong to it. Of a *typed* URI alone a final `?versionId=…` (S3, Azure) or `#GENERATION` (GCS) is read as the version to pin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asyncref.errors import InvalidURIError

_ONE_SLASH: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_SIGNED: Final = re.compile(r"[?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)=", re.ASCII | re.IGNORECASE)
_USER: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/@:]*:[^/]*@")  # `abfs://container@account` has none
_VERSIONS: Final = {
    "s3": re.compile(r"\?versionId=([^&?]+)$", re.ASCII),
    "gs": re.compile(r"#([0-9]+)$", re.ASCII),
    "az": re.compile(r"\?version[Ii]d=([^&?]+)$", re.ASCII),
}
_AZURE_SCHEMES: Final = frozenset({"az", "abfs", "abfss"})
# Accounts of the public cloud, of DNS zones, and of the clouds of the US government and of China.
_AZURE_HOST: Final = re.compile(
    r"[a-z0-9-]+\.(z[0-9]+\.)?blob\.(core\.(windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)|storage\.azure\.net)"
)
_PATH_SCHEMES: Final = frozenset({"file", "urls"})
_LISTS: Final = (".txt", ".csv", ".tsv")
_COLUMN: Final = "?column="
_WEB_SCHEMES: Final = {"http": ":80", "https": ":443"}
_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """One parsed reference.

    Attributes:
        scheme: Lower case.
        container: Bucket or host; empty for `file`; `ACCOUNT.blob.core.windows.net/CONTAINER` for an `https` URL of Azure.
        key: Raw key or prefix; for `file` the absolute path with its leading `/`.
        version: The version that a typed URI pins, if any.
    """

    scheme: str
    container: str
    key: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.container}{'' if self.scheme in _PATH_SCHEMES else '/'}{self.key}"


def has_scheme(text: str) -> bool:
    """Whether a text starts as a URI does."""
    return _SCHEME.match(text) is not None


def service(scheme: str, container: str) -> str:
    """Which storage a reference is of: its scheme, but `az` for all of Azure's forms."""
    azure = scheme in _AZURE_SCHEMES or (scheme == "https" and "/" in container)
    return "az" if azure else scheme


def list_of_urls(source: str, column: str | None = None) -> str:
    """The URI of a list of URLs where a source is one: a local `.txt`, `.csv` or `.tsv`, or any file with a column named.

    Args:
        source: As a person typed it; a URI stays what it is.
        column: The column that holds the URLs.

    Raises:
        InvalidURIError: A column of what is no file.
    """
    if has_scheme(source):
        if column is not None:
            raise InvalidURIError("only a local list of URLs has a column", uri=source)
        return source
    if column is None and not source.endswith(_LISTS):
        return source
    path = Path(source).expanduser().absolute()
    return f"urls://{path}{_COLUMN}{column}" if column else f"urls://{path}"


def parse(text: str) -> Reference:
    """Read a URI that a person typed.

    Raises:
        InvalidURIError: No scheme, no container, a relative file path, a NUL, or a signed URL (it would
            store a secret).
    """
    found = _SCHEME.match(text)
    if found is None:
        if begun := _ONE_SLASH.match(text):
            raise InvalidURIError("a slash is missing after the scheme", uri=text, hint=f"write {begun[1]}://")
        raise InvalidURIError("a reference needs a scheme", uri=text, hint="for a local path use file://")
    if "\0" in text:
        raise InvalidURIError("a reference cannot hold a NUL character", uri=text.replace("\0", "\\0"))
    _refuse_secrets(text)
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme in _PATH_SCHEMES:
        return _parse_path(text, scheme, rest)
    azure = scheme == "https" and _AZURE_HOST.fullmatch(rest.partition("/")[0])
    if scheme in _WEB_SCHEMES and not azure:
        return _parse_web(text, scheme, rest)
    container, _, key = rest.partition("/")
    if azure:
        inner, _, key = key.partition("/")
        if not inner:
            raise InvalidURIError(
                "no container after the account", uri=text, hint=f"write {scheme}://{container}/NAME/"
            )
        container = f"{container}/{inner}"
    if not container:
        raise InvalidURIError("no bucket or host after the scheme", uri=text, hint=f"write {scheme}://bucket/prefix")
    version = None
    if (pattern := _VERSIONS.get(service(scheme, container))) and (pinned := pattern.search(key)):
        key, version = key[: pinned.start()], pinned[1]
    return Reference(scheme, container, key, version)


def _refuse_secrets(text: str) -> None:
    """Raises `InvalidURIError`, which does not show them."""
    if _SIGNED.search(text):
        raise InvalidURIError(
            "this is a signed URL, and a manifest would keep its secret",
            uri=_USER.sub(r"\1", text.partition("?")[0]),
            hint="refer to the object itself and let storage_options hold the credentials",
        )
    if _USER.match(text):
        raise InvalidURIError(
            "this reference holds a user, and a manifest would keep the secret",
            uri=_USER.sub(r"\1", text),
            hint="storage_options: username and password, key and secret, or token",
        )


def _parse_web(text: str, scheme: str, rest: str) -> Reference:
    """A URL: its host in lower case without the usual port; the rest as it stands, for the backend to escape."""
    host, slash, key = rest.partition("/")
    if "@" in host:
        shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{key}"
        hint = "storage_options: username and password, or token"
        raise InvalidURIError("this URL holds a user, and a manifest would keep the secret", uri=shown, hint=hint)
    if "#" in key:
        hint = "write %23 for a # in a name"
        raise InvalidURIError("what follows # in a URL is never sent to a server", uri=text, hint=hint)
    host = host.lower().removesuffix(_WEB_SCHEMES[scheme])
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
    if not _HOST.fullmatch(name) or (port and not 0 < int(port) < 65536):  # noqa: PLR2004  TCP
        raise InvalidURIError("no host after the scheme", uri=text, hint=f"write {scheme}://host/folder/")
    return Reference(scheme, host, key)


def _parse_path(text: str, scheme: str, rest: str) -> Reference:
    if rest.startswith("localhost/"):
        rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise InvalidURIError("a file reference needs an absolute path", uri=text, hint="write file:///mount/folder")
    return Reference(scheme, "", rest) if scheme == "file" else Reference(scheme, rest, "")
