"""What requests cost by a published table of prices, which a user may replace. Pure, but for reading the table."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from asyncref.errors import OptionError
from asyncref.model import Source
from asyncref.uri import service

_LISTS: Final = frozenset({"list", "history"})
_GB: Final = 1e9
_TINY: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one storage charges.

    Attributes:
        name: Of what, as shown.
        schemes: Of its references.
        hosts: Ends of its endpoints' hosts; an empty text is the provider's own.
        list_per_1000: For 1,000 requests that list.
        read_per_1000: For 1,000 of any other kind.
        internet_per_gb: For 10^9 bytes sent over the internet, at the first tier.
        sources: Where that stands.
    """

    name: str
    schemes: tuple[str, ...]
    hosts: tuple[str, ...]
    list_per_1000: float
    read_per_1000: float
    internet_per_gb: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something costs.

    Attributes:
        requests: For its requests.
        internet: For its bytes, if they go over the internet; within the region nothing.
        currency: Of both.
        price: By which they were reckoned.
    """

    requests: float
    internet: float
    currency: str
    price: Price

    def __str__(self) -> str:
        """In one line, with the table's row."""
        over = f", and {_money(self.internet, self.currency)} for bytes over the internet" if self.internet else ""
        return f"about {_money(self.requests, self.currency)} for requests{over} ({self.price.name})"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "requests": self.requests,
            "internet": self.internet,
            "currency": self.currency,
            "by": self.price.name,
            "sources": list(self.price.sources),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A table of prices.

    Attributes:
        read: When it was read from its sources.
        currency: Of all prices.
        rows: A storage each; the first that fits counts.
    """

    read: date
    currency: str
    rows: tuple[Price, ...]

    def of(self, source: Source) -> Price | None:
        """The row of a source; None if there is none, as for files and servers of one's own."""
        scheme = service(source.scheme, source.container)
        host = (urlsplit(source.endpoint).hostname or "") if source.endpoint else ""
        for row in self.rows:
            if scheme in row.schemes and any(
                not host if not end else host == end or host.endswith(f".{end}") for end in row.hosts
            ):
                return row
        return None

    def cost(self, sources: Sequence[Source], requests: Mapping[str, int], *, sent_bytes: int = 0) -> Cost | None:
        """What requests to sources cost; None where no row, or more than one, is theirs.

        Args:
            sources: Who was asked.
            requests: How often, by kind.
            sent_bytes: Of the bodies.
        """
        rows = {self.of(source) for source in sources}
        row = rows.pop() if len(rows) == 1 else None
        if row is None:
            return None
        lists = sum(count for kind, count in requests.items() if kind in _LISTS)
        reads = sum(requests.values()) - lists
        return Cost(
            requests=(lists * row.list_per_1000 + reads * row.read_per_1000) / 1000,
            internet=sent_bytes / _GB * row.internet_per_gb,
            currency=self.currency,
            price=row,
        )


def load(path: str | Path | None = None) -> Prices:
    """Read a table of prices.

    Args:
        path: A TOML file; None: the one that comes with asyncref (`asyncref/checks/prices.toml`).

    Raises:
        OptionError: It cannot be read, or lacks or adds a field; names the row.
    """
    try:
        text = files(__package__).joinpath("prices.toml").read_text("utf-8") if path is None else _text(path)
        table = tomllib.loads(text)
        rows = tuple(_row(row, number) for number, row in enumerate(table["storage"], 1))
        return Prices(read=_day(table["read"]), currency=str(table["currency"]), rows=rows)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise OptionError(f"the table of prices cannot be used: {said}", uri=str(path)) from error


def _text(path: str | Path) -> str:
    return Path(path).expanduser().read_text("utf-8")


def _day(value: object) -> date:
    if not isinstance(value, date):
        raise TypeError("read has to be a date such as 2026-01-31")
    return value


def _row(row: Mapping[str, Any], number: int) -> Price:
    known = {field.name for field in fields(Price)}
    if unknown := row.keys() - known:
        raise ValueError(f"row {number} has an unknown field {min(unknown)!r}")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    for name in ("list_per_1000", "read_per_1000", "internet_per_gb"):
        if not isinstance(values[name], int | float) or not 0 <= values[name] < float("inf"):
            raise ValueError(f"row {number}: {name} has to be a number, not less than 0")
    return Price(**values)


def _money(amount: float, currency: str) -> str:
    sign = "$" if currency == "USD" else f"{currency} "
    if 0 < amount < _TINY:
        return f"{sign}{amount:.2g}" if amount >= 1e-4 else f"less than {sign}0.0001"  # noqa: PLR2004  four digits
    return f"{sign}{amount:,.2f}"
