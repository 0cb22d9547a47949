"""A finished URL taken apart: where it leads, and what the request line says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A server to connect to.

    Attributes:
        is_tls: Whether the scheme is https.
        host: Name or address, without brackets.
        port: Its port.
        said: As the Host header says it.
    """

    is_tls: bool
    host: str
    port: int
    said: str

    def __hash__(self) -> int:
        """Of its name only: it is looked up twice a request."""
        return hash(self.said)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.is_tls else 'http'}://{self.said}"


def origin_of(url: str) -> Origin:
    """Where a URL leads.

    Raises:
        ValueError: It is none of http or https, has no host, or carries credentials.
    """
    parts = urlsplit(url)
    default = _PORTS.get(parts.scheme)
    if default is None or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a plain http or https URL")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    port = parts.port or default
    shown = f"[{host}]" if ":" in host else host
    return Origin(parts.scheme == "https", host, port, shown if port == default else f"{shown}:{port}")


def split_url(url: str) -> tuple[str, str]:
    """A URL's origin as it is written, and the target of its request line, as it stands without the fragment."""
    begin = url.find("://") + 3
    cut = url.find("/", begin)
    place = url if cut < 0 else url[:cut]
    if "?" in place or "#" in place:  # no path at all
        cut = min(at for at in (url.find("?", begin), url.find("#", begin)) if at >= 0)
        place = url[:cut]
    target = url[len(place) :].partition("#")[0]
    return place, target if target.startswith("/") else f"/{target}"
