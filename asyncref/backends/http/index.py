"""Reads a folder's index page: nginx, Apache, Caddy, lighttpd, Python's http.server, IIS; JSON and HTML. Pure.

Only what lies directly in the folder is taken: a link to another host, another folder, a parent or the page
itself in another order is no entry, whatever the page says. A page that shows no sign of being an index is an error.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

import orjson

from asyncref.backends.http.urls import escaped, name_of
from asyncref.errors import ProtocolError

_HIDDEN: Final = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_ANCHOR: Final = re.compile(
    r"""<a\s(?:[^>"']|"[^"]*"|'[^']*')*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))[^>]*>(.*?)</a\s*>""",
    re.DOTALL | re.IGNORECASE,
)
_HEADING: Final = re.compile(r"<(title|h1|h2)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")
_SAID: Final = re.compile(r"\s*(index of|directory listing (for|of)|directory:|listing of)\b", re.IGNORECASE)
_CADDY: Final = '<table aria-describedby="summary">'
_PARENT: Final = re.compile(r"\s*\[?(to )?parent directory\]?\s*", re.IGNORECASE)
_PLAIN: Final = re.compile(r"(?:\./)?([^/:?#\\\x00-\x1f\x7f]+)(/?)")  # a link that needs no base to be resolved
_FRAME: Final = re.compile(r"<(/?)(html|body|table|pre|ul)\b", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?(?:\.(\d{1,6}))?")
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d|\d{4}-[A-Z][a-z]{2}-\d\d|\d\d-[A-Z][a-z]{2}-\d{4}) (\d\d:\d\d)(:\d\d)?")
_SIZE: Final = re.compile(r"\s+(\d+)(?=\s|$)")  # without a unit, so exact: `1.2K` is not
_CADDY_SIZE: Final = re.compile(r'<td data-order="(\d+)"')
_CADDY_TIME: Final = re.compile(r'<time datetime="\s*([^"]+)"')
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class File:
    """One file that an index names.

    Attributes:
        segment: Its name, escaped.
        size: Bytes; None where the index rounds it or does not say.
        modified: UTC, as far as a page without a time zone tells.
    """

    segment: str
    size: int | None = None
    modified: datetime | None = None


@dataclass(slots=True)
class Index:
    """What lies directly in one folder.

    Attributes:
        files: By their escaped names, ascending.
        folders: Escaped names with a final `/`, ascending.
        refused: Names that no path can stand for, each with the reason.
    """

    files: list[File] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


_Found: TypeAlias = tuple[bytes, bool, int | None, datetime | None]
"""Raw name, whether it is a folder, size, time."""


def read(body: bytes, content_type: str, url: str, *, uri: str) -> Index:
    """Read an index page.

    Args:
        body: The page.
        content_type: As its header says.
        url: Where it came from; links are relative to it. Ends in `/`.
        uri: For errors.

    Raises:
        ProtocolError: It is no index, or contradicts itself.
    """
    if _is_json(content_type):
        found: Iterable[_Found] = _read_json(body, uri)
    else:
        found = _read_html(body.decode(errors="surrogateescape"), url, uri)
    files: dict[str, File] = {}
    folders: set[str] = set()
    refused: list[str] = []
    for raw, folder, size, modified in found:
        name = _text(raw)
        if name is None:
            refused.append(f"{raw.decode(errors='backslashreplace')!r} (a name that no path can hold)")
        elif folder:
            folders.add(f"{escaped(name)}/")
        else:
            segment = escaped(name)
            files.setdefault(segment, File(segment, size, modified))
    return Index([files[segment] for segment in sorted(files)], sorted(folders), refused)


def is_whole(body: bytes, content_type: str) -> bool:
    """Whether a page shows by itself that nothing of its end is missing, for servers that mark the end by hanging up.

    HTML is whole where it closes what frames its links; JSON says so itself.
    """
    if _is_json(content_type):
        text = body.strip()
        return text[:1] + text[-1:] in (b"[]", b"{}")
    opened: Counter[str] = Counter()
    frames = _FRAME.findall(_HIDDEN.sub(" ", body.decode(errors="replace")))
    for closing, name in frames:
        opened[name.lower()] += -1 if closing else 1
    return bool(frames) and all(count <= 0 for count in opened.values())


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _text(name: bytes) -> str | None:
    if b"/" in name or b"\0" in name:
        return None
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _read_json(body: bytes, uri: str) -> list[_Found]:
    try:
        rows: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the index is not JSON: {error}", uri=uri) from error
    if not isinstance(rows, list):
        raise _no_index(uri)
    return [_json_row(row, uri) for row in rows]


def _json_row(row: Any, uri: str) -> _Found:
    """One row of nginx (`type`, `mtime`) or Caddy (`is_dir`, `mod_time`)."""
    name = row.get("name") if isinstance(row, dict) else None
    if not isinstance(name, str) or not ("type" in row or "is_dir" in row):
        raise _no_index(uri)
    folder = bool(row.get("is_dir")) or row.get("type") == "directory"
    if row.get("type", "file") not in ("file", "directory"):
        raise ProtocolError(f"{name!r} is neither a file nor a folder", uri=uri)
    size = row.get("size")
    if not folder and (not isinstance(size, int) or size < 0):
        raise ProtocolError(f"the index gives {name!r} the size {size!r}", uri=uri)
    bare = name.removesuffix("/") if folder else name
    if bare in ("", ".", ".."):
        raise ProtocolError(f"the index names {name!r} as an entry", uri=uri)
    said = row.get("mod_time") or row.get("mtime")
    return bare.encode(errors="surrogatepass"), folder, size, _moment(said) if isinstance(said, str) else None


def _read_html(text: str, url: str, uri: str) -> Iterator[_Found]:
    text = _HIDDEN.sub(" ", text)
    anchors = list(_ANCHOR.finditer(text))
    if not _is_index(text, anchors):
        raise _no_index(uri)
    folder = urlsplit(url)
    path = name_of(folder.path)
    for anchor, following in zip(anchors, [*anchors, None][1:], strict=True):
        href = html.unescape(next(group for group in anchor.group(1, 2, 3) if group is not None)).strip()
        if child := _child(href, url, folder.scheme, folder.netloc, path):
            tail = text[anchor.end() : following.start() if following else len(text)]
            yield *child, *_facts(tail)


def _is_index(text: str, anchors: list[re.Match[str]]) -> bool:
    if _CADDY in text or any(_SAID.match(_TAG.sub("", heading[2])) for heading in _HEADING.finditer(text)):
        return True
    return any(_PARENT.fullmatch(_TAG.sub("", anchor[4])) for anchor in anchors)


def _child(href: str, url: str, scheme: str, netloc: str, folder: bytes) -> tuple[bytes, bool] | None:
    """The raw name that a link leads to, and whether it is a folder; None unless it lies directly in this one."""
    if plain := _PLAIN.fullmatch(href):
        name = name_of(plain[1])
        return None if name in (b".", b"..") else (name, bool(plain[2]))
    if _CONTROL.search(href) or "\\" in href or "?" in href or "#" in href:
        return None
    try:
        target = urlsplit(urljoin(url, href))
    except ValueError:
        return None
    if (target.scheme, target.netloc) != (scheme, netloc):
        return None
    above, _, last = target.path.removesuffix("/").rpartition("/")
    if name_of(f"{above}/") != folder:
        return None
    name = name_of(last)
    return None if name in (b"", b".", b"..") else (name, target.path.endswith("/"))


def _facts(tail: str) -> tuple[int | None, datetime | None]:
    """Size and time, from what stands between a link and the next."""
    if exact := _CADDY_SIZE.search(tail):
        stamp = _CADDY_TIME.search(tail)
        return int(exact[1]), _moment(stamp[1]) if stamp else None
    plain = html.unescape(_TAG.sub(" ", tail[:2000]))
    date = _DATE.search(plain)
    if date is None:
        return None, None
    size = _SIZE.match(plain, date.end())
    return int(size[1]) if size else None, _moment(f"{_numeric(date[1])} {date[2]}{date[3] or ''}")


def _numeric(date: str) -> str:
    """`23-Nov-2026` and `2026-Nov-23` as `2026-11-23`."""
    first, month, last = date.split("-")
    if month in _MONTHS:
        month = f"{_MONTHS.index(month) + 1:02}"
    return f"{first}-{month}-{last}" if len(first) == 4 else f"{last}-{month}-{first}"  # noqa: PLR2004  a year


def _moment(text: str) -> datetime | None:
    """A time of whichever kind; None if it is none."""
    try:
        if found := _ISO.match(text.strip()):
            second, fraction = int(found[6] or 0), int((found[7] or "0").ljust(6, "0"))
            year, month, day, hour, minute = map(int, found.groups()[:5])
            return datetime(year, month, day, hour, minute, second, fraction, tzinfo=UTC)
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _no_index(uri: str) -> ProtocolError:
    return ProtocolError(
        "this page is no index of files",
        uri=uri,
        hint="switch on the server's listing (autoindex, Options +Indexes, file_server browse), or scan a list of URLs",
    )
