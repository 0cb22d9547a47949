"""Dates and pauses as headers say them; whatever cannot be read is as if it were not there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST_S: Final = 1e9
"""Any longer pause is as good as this one: 30 years. A number of 400 digits would be an infinite one."""


def date_s(text: str) -> float | None:
    """Unix time of an HTTP date, in any of its three forms (RFC 9110 §5.6.7); None if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def pause_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After: a number, or a date as far from the answer's own (RFC 9110 §10.2.3).

    Returns:
        Finite and not negative; None if no pause is named.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_S)
    until_s = date_s(value)
    if until_s is None:
        return None
    now_s = date_s(headers.get("Date", ""))
    return min(max(0.0, until_s - (time.time() if now_s is None else now_s)), _LONGEST_S)
