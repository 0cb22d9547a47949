"""Forecasts and costs as JSON values and as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncref.checks.forecast import SCHEMA, SourceForecast
from asyncref.checks.prices import Cost
from asyncref.cli.options import Output
from asyncref.cli.output import emit_fields, emit_json
from asyncref.display import counted, human_bytes, human_count

PricesFile = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE.toml", help="Another table of prices; see docs/forecast.md."),
]


def describe_cost(cost: Cost | None) -> dict[str, Any] | None:
    """A cost as JSON values; None where no price is known."""
    return cost.to_json() if cost else None


def show_forecasts(forecasts: Sequence[SourceForecast], output: Output) -> None:
    """Print forecasts, as one JSON document or a paragraph each."""
    if output.as_json:
        emit_json(SCHEMA, {"sources": [one.to_json() for one in forecasts]})
        return
    for one in forecasts:
        how = "" if one.exact else "at least " if one.at_least else "about "
        kinds = ", ".join(f"{human_count(count)} {kind}" for kind, count in sorted(one.scan_requests.items()))
        emit_fields(
            {
                "source": one.uri,
                "objects": f"{how}{human_count(one.objects)}, {human_bytes(one.bytes)}",
                "a scan": f"{how}{kinds}; {_duration(one.scan_s)} at the rate of the sample",
                "it costs": one.scan_cost or _UNKNOWN,
                "a fetch": f"{how}{human_count(one.fetch_requests)} get, {human_bytes(one.bytes)}",
                "that costs": one.fetch_cost or _UNKNOWN,
                "sampled": counted(one.sampled, "page") + (", all there are" if one.exact else ""),
            }
        )


_UNKNOWN = "no price is known for this storage; --prices takes a table of your own"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
