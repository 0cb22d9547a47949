"""Where redirects may lead: a file anywhere on the web, a folder not out of the folder that a scan starts in. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from asyncref.backends.http.answers import FOLDER
from asyncref.backends.http.urls import name_of
from asyncref.errors import NotFoundError, ProtocolError

STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}


class Redirects:
    """Follows redirects of one server's files and folders.

    Args:
        start: The URL of the folder that a scan starts in. It may have moved on its server, and takes what lies below
            it along; no folder below it leads elsewhere.
    """

    def __init__(self, start: str) -> None:
        self._start = start
        self._bases = [start]

    def following(self, uri: str, url: str, location: str | None, *, folder: bool, code: str) -> str:
        """Where a redirect leads.

        Args:
            uri: What was asked for at first.
            url: What answered with the redirect.
            location: Its header.
            folder: An index page was asked for.
            code: For errors: it makes them the server's own word, which is not asked for again.

        Raises:
            NotFoundError: To a folder, where a file was asked for.
            ProtocolError: To where it must not lead.
        """
        if not location:
            raise ProtocolError("a redirect that leads nowhere", uri=uri, code=code)
        target = urljoin(url, location).partition("#")[0]
        before, after = urlsplit(url), urlsplit(target)
        if after.scheme not in _PORTS or not after.netloc or "@" in after.netloc:
            raise ProtocolError("a redirect to what is no plain HTTP URL", uri=uri, code=code)
        if before.scheme == "https" and after.scheme == "http":
            raise ProtocolError("a redirect from https to http", uri=uri, code=code, hint="what came would be anyone's")
        if not folder and before.hostname == after.hostname and name_of(after.path) == name_of(before.path) + b"/":
            raise NotFoundError("a folder, not a file", uri=uri, code=FOLDER)
        if folder and not self._may_hold(uri, target):
            raise ProtocolError(
                f"the folder's index redirects to {after.scheme}://{after.netloc}{after.path}",
                uri=uri,
                code=code,
                hint="scan that URL itself, if it is what you mean",
            )
        return target

    def _may_hold(self, uri: str, target: str) -> bool:
        """Whether a folder's index may lie there."""
        if not urlsplit(target).path.endswith("/"):
            return False
        if uri == self._start and is_same_server(uri, target):
            self._bases.append(target)
        return any(_is_below(base, target) for base in self._bases)


def is_same_server(origin: str, url: str) -> bool:
    """Whether a URL leads to the very server: also from http to https on the usual ports."""
    ours, theirs = _place(origin), _place(url)
    return ours == theirs or (ours[1:], theirs[1:]) == ((ours[1], 80), (ours[1], 443))


def _place(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _is_below(folder: str, url: str) -> bool:
    """Whether a URL is a folder's or lies in it, whichever way its path is escaped."""
    above, path = name_of(urlsplit(folder).path or "/"), name_of(urlsplit(url).path)
    return _place(folder) == _place(url) and path.startswith(above) and not {b".", b".."} & set(path.split(b"/"))
